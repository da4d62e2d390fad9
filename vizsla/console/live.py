"""What is shown while a job runs: its lines, and on a terminal a bar with images a second and the time that is left."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vizsla.console.text import safe

LINE = re.compile(r"\S+Z (?P<level>[A-Z]+) vizsla\S*\[\d+\] (?P<message>.*)")
STAGES = {"check": "checking photos", "train": "training", "test": "asking held-out photos"}
UNSHOWN = ("DEBUG", "ERROR")  # an error is what the command itself ends with


class Speed(ProgressColumn):
    """Images a second over the last half minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} img/s" if task.speed else "", style="cyan")


class Live:
    """Context manager. With `to_stderr`, stdout is left to a document; with `raw`, every line is a script's own.

    With `plain` there is no bar and no colour anywhere: a notebook's kernel says of itself that it is a terminal.
    """

    def __init__(self, to_stderr: bool, raw: bool = False, plain: bool = False) -> None:
        self._raw = raw
        fancy = False if plain else None  # None: rich finds out
        self._console = Console(
            stderr=to_stderr, highlight=False, soft_wrap=True, force_terminal=fancy, force_jupyter=fancy
        )
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            Speed(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._stage = ""

    def line(self, raw: str) -> None:
        """Shows a line of the log if vizsla wrote it; what libraries print stays in the file."""
        if self._raw:
            self._console.print(Text(safe(raw)))
            return
        found = LINE.fullmatch(raw)
        if not found or found["level"] in UNSHOWN:
            return
        warns = found["level"] == "WARNING"
        self._console.print(Text("warning: " * warns + safe(found["message"]), style="yellow" * warns))
        sys.stdout.flush()

    def progress(self, said: Mapping[str, Any]) -> None:
        """Moves the bar to what progress.json says."""
        stage = str(said.get("stage", ""))
        if stage != self._stage and stage:
            self._begin(stage)
        if self._task is not None and stage:
            epoch = f" epoch {said['epoch']}/{said['epochs']}" if said.get("epoch") else ""
            self._bar.update(
                self._task, description=STAGES.get(stage, stage) + epoch, completed=said["done"], total=said["total"]
            )

    def _begin(self, stage: str) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._stage = stage
        self._task = self._bar.add_task(STAGES.get(stage, stage), total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task("starting", total=None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()
