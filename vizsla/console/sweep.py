"""A sweep while it runs: a live table on a terminal, a line a finished trial elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vizsla.console.text import duration, safe

STYLES = {"Completed": "green", "Failed": "red", "Stopped": "yellow", "Stopping": "yellow", "InProgress": "cyan"}
OVER = ("Completed", "Failed", "Stopped")


class SweepTable:
    """Context manager. With `to_stderr`, stdout is left to a document; with `plain` there is no table anywhere."""

    def __init__(self, to_stderr: bool, clock: Callable[[], float] = time.monotonic, plain: bool = False) -> None:
        fancy = False if plain else None  # None: rich finds out; a notebook's kernel passes for a terminal
        self._console = Console(
            stderr=to_stderr, highlight=False, soft_wrap=True, force_terminal=fancy, force_jupyter=fancy
        )
        self._live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        self._told: set[str] = set()
        self._clock = clock
        self._began = clock()

    def show(self, document: Mapping[str, Any], max_jobs: int, parallel: int) -> None:
        """Brings what is shown up to date with `tune --json`'s document."""
        if self._live:
            self._live.update(Group(table(document), Text(self._eta(document["trials"], max_jobs, parallel))))
            return
        for trial in document["trials"]:
            if trial["status"] in OVER and trial["name"] not in self._told:
                self._told.add(trial["name"])
                self._console.print(Text(line(trial)))

    def _eta(self, trials: Sequence[Mapping[str, Any]], max_jobs: int, parallel: int) -> str:
        over = [trial["seconds"] for trial in trials if trial["status"] in OVER]
        running = [trial["seconds"] for trial in trials if trial["status"] not in OVER]
        if not over:
            return f"{len(over)} of {max_jobs} done"
        mean = sum(over) / len(over)
        left = (mean * (max_jobs - len(over)) - sum(min(mean, seconds) for seconds in running)) / parallel
        return f"{len(over)} of {max_jobs} done, about {duration(max(0.0, left))} left"

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()


def table(document: Mapping[str, Any]) -> Table:
    """Trial, state, hyperparameters, objective; the best so far is marked."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    names = list(document["trials"][0]["hyperparameters"]) if document["trials"] else []
    for column in ("trial", "state", *map(safe, names), safe(document["objective"]["name"]), "epochs", "time"):
        shown.add_column(column)
    best = document["best"]["name"] if document["best"] else None
    for trial in document["trials"]:
        shown.add_row(
            Text(safe(trial["name"])),
            Text(trial["status"], style=STYLES[trial["status"]]),
            *(Text(safe(short(trial["hyperparameters"][name]))) for name in names),
            Text(_value(trial) + " ★" * (trial["name"] == best), style="bold" * (trial["name"] == best)),
            str(trial["epochs"]),
            duration(trial["seconds"]),
        )
    return shown


def line(trial: Mapping[str, Any]) -> str:
    """One finished trial in a line."""
    given = ", ".join(f"{safe(name)}={safe(short(value))}" for name, value in trial["hyperparameters"].items())
    why = f" ({safe(trial['reason'])})" if trial["status"] != "Completed" and trial["reason"] else ""
    return f"{safe(trial['name'])}: {trial['status']} with {_value(trial)} after {trial['epochs']} epochs; {given}{why}"


def _value(trial: Mapping[str, Any]) -> str:
    return "-" if trial["objective"] is None else f"{trial['objective']:.4f}"


def short(value: str) -> str:
    """A hyperparameter with five digits, which is what a person compares."""
    try:
        return value if value.lstrip("-").isdigit() else f"{float(value):.5g}"
    except ValueError:
        return value
