"""The bar of a running job on a terminal, below its lines: images a second, and the time that is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

STAGES = {"check": "checking photos", "train": "training", "test": "asking held-out photos"}


class Speed(ProgressColumn):
    """Images a second over the last half minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} img/s" if task.speed else "", style="cyan")


class Bar:
    """Shown from `start` to `stop`; lines go above it."""

    def __init__(self, to_stderr: bool) -> None:
        self._console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            Speed(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._stage = ""

    def start(self) -> None:
        self._bar.start()

    def stop(self) -> None:
        self._bar.stop()

    def line(self, text: str, warns: bool) -> None:
        """A line above the bar; warnings are yellow."""
        self._console.print(Text(text, style="yellow" * warns))

    def progress(self, said: Mapping[str, Any]) -> None:
        """Moves the bar to what progress.json says."""
        stage = str(said.get("stage", ""))
        if not stage:
            return
        if stage != self._stage:
            self._begin(stage)
        epoch = f" epoch {said['epoch']}/{said['epochs']}" if said.get("epoch") else ""
        self._bar.update(
            self._task, description=STAGES.get(stage, stage) + epoch, completed=said["done"], total=said["total"]
        )

    def _begin(self, stage: str) -> None:
        """A bar of its own for each stage, so that speed and time are that stage's."""
        self._bar.remove_task(self._task)
        self._stage = stage
        self._task = self._bar.add_task(STAGES.get(stage, stage), total=None)
