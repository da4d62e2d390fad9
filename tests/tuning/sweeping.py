"""Sweeps over a script that trains nothing, and so takes a moment: real folders, real processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vizsla import jobdir
from vizsla.api import jobs, tuning
from vizsla.api.requests import Request, Script
from vizsla.jobdir import JobDir
from vizsla.tuning.space import parse_range
from vizsla.workspace import Workspace

PATIENCE_S = 200  # a test fails after this; no machine is asked to be faster

# The objective falls from step to step towards (width - 0.3) ** 2.
SCRIPT = """
import argparse, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=float, default=0.3)
parser.add_argument("--steps", type=int, default=2)
parser.add_argument("--sleep", type=float, default=0.02)
parser.add_argument("--fail", type=str, default="no")
given = parser.parse_args()
if given.fail == "yes":
    sys.exit("this one fails")
for step in range(given.steps):
    time.sleep(given.sleep)
    if given.fail != "silently":
        print(f"average test loss: {(given.width - 0.3) ** 2 + 0.1 / (step + 1):.6f};")
"""
LOSS = {"average test loss": "average test loss: ([0-9.]+);"}


def write_script(place: Path, text: str = SCRIPT) -> Path:
    """A source folder with trial.py in it."""
    source = place / "source"
    source.mkdir(exist_ok=True)
    (source / "trial.py").write_text(text)
    return source


def start(place: Path, *ranges: str, name: str = "search", hp: dict[str, str] | None = None, **asked: Any) -> JobDir:
    """Starts a sweep over the script in a workspace below `place`, and returns at once."""
    source = place / "source"
    script = Script("trial.py", source if source.exists() else write_script(place), hp or {}, LOSS)
    search = tuning.Search(ranges=[parse_range(each) for each in ranges], **asked)
    return tuning.submit(Request({}, {}, name, script), search, Workspace(place / "runs"))


def until(happened: Callable[[], Any]) -> None:
    """Waits until something happened."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def ended(folder: JobDir) -> dict[str, Any]:
    """Waits for a sweep to end, and hands back its document."""
    until(lambda: (attempt := jobdir.advance(folder)) and attempt.finished)
    return tuning.document(folder)


def swept(place: Path, *ranges: str, **asked: Any) -> dict[str, Any]:
    """The document of a sweep from its start to its end; nothing of it runs on, whatever happens."""
    folder = start(place, *ranges, **asked)
    try:
        return ended(folder)
    finally:
        jobs.kill(folder)


def points(document: dict[str, Any]) -> list[dict[str, str]]:
    """What the trials tried, in order."""
    return [trial["hyperparameters"] for trial in document["trials"]]
