"""Jobs of small scripts, with real processes: laid out, started, waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vizsla import jobdir
from vizsla.analysis.rules import parse
from vizsla.backends import local
from vizsla.job import Job, Launch, Metric
from vizsla.jobdir import Attempt, JobDir
from vizsla.segments import read_log

PATIENCE_S = 120  # a test fails after this; no machine is asked to be faster
FOREVER = "import time\nprint('begun', flush=True)\nwhile True:\n    time.sleep(0.1)\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('deaf', flush=True))\n" + FOREVER


def lay_out(
    place: Path,
    script: str,
    name: str = "job",
    *,
    metrics: Mapping[str, str] | None = None,
    launch: Launch | None = None,
    requirements: str | None = None,
    rules: Sequence[str] = (),
) -> JobDir:
    """A job of `script` in the workspace `place`/runs, not started."""
    source = place / f"source-{name}"
    source.mkdir()
    (source / "train.py").write_text(script)
    if requirements is not None:
        (source / "requirements.txt").write_text(requirements)
    folder = place / "runs" / "training" / name
    folder.mkdir(parents=True)
    job = Job(
        name=name,
        entry_point="train.py",
        source=str(source),
        channels={},
        metrics=tuple(Metric(name=name, regex=regex) for name, regex in (metrics or {}).items()),
        rules=tuple(parse(rule) for rule in rules),
        launch=launch or Launch(),
    )
    return jobdir.create(folder, job, None)


def run(folder: JobDir) -> Attempt:
    """The attempt, started and waited for."""
    local.start(folder)
    return ended(folder)


def ended(folder: JobDir) -> Attempt:
    until(lambda: state(folder).finished)
    return state(folder)


def state(folder: JobDir) -> Attempt:
    attempt = jobdir.advance(folder)
    assert attempt is not None
    return attempt


def says(folder: JobDir, text: str) -> bool:
    return any(text in line for line in log(folder))


def log(folder: JobDir) -> list[str]:
    return list(read_log(folder.logs, "job"))


def until(happened: Callable[[], object]) -> None:
    """Returns once it has happened."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
