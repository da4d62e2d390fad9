"""The vizsla program with its worker in this process.

A worker in a process of its own imports torch and timm for seconds before it does anything. What a command makes of
the worker's answers is the same either way, so here the worker is called instead of started; `vizsla`, `trained` and
test_signals.py have the real processes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import TINY, Ended
from tests.photos import write_folder
from vizsla import answers
from vizsla.backends import local
from vizsla.cli.main import main
from vizsla.errors import VizslaError
from vizsla.jobdir import Outcome
from vizsla.process import Process
from vizsla.training import classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vizsla.jobdir import Attempt, JobDir

    Here = Callable[..., Ended]


TORN = b"\xff\xd8\xff\xe0 and no more"  # the beginning of a JPEG


def tiny(*changes: str) -> list[str]:
    """--set options for the tiny network, with these in the place of its own."""
    pairs = dict(pair.partition("=")[::2] for pair in (*TINY, *changes))
    return [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A small folder of photos that a test may change."""
    folder = tmp_path / "photos"
    write_folder(folder, {"disc": 8, "rows": 8})
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Here]:
    """Runs the program in `tmp_path` as the `vizsla` fixture does, without starting a process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(local, "start", _start)
    monkeypatch.setattr(local, "ask", _ask)

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["vizsla", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _start(folder: JobDir, ready: None = None) -> Attempt:
    """backends.local.start, ended before it returns; there is no worker."""
    with folder.starting() as number:
        attempt = folder.begin(number, Process(os.getpid(), started=0.0, boot="one whose processes have all ended"))
    try:
        outcome = classifier.run(folder, number)
    except VizslaError as error:
        outcome = Outcome("Failed", error.message, error.hint, error.exit_code)
    folder.report_outcome(number, outcome)
    return attempt


def _ask(verb: str, request: dict[str, Any], long: bool = False) -> Any:
    """backends.local.ask; question and answer pass through JSON as they do between processes."""
    return json.loads(json.dumps(getattr(answers, verb)(json.loads(json.dumps(request))), allow_nan=False))
