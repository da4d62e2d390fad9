"""The tuning job as a list shows it, and the ranges it searched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from vizsla.analysis import page
from vizsla.analysis.page import Section, Table
from vizsla.analysis.sweeps import SweepView, TrialView
from vizsla.words import NONE, duration, moment, number

_COLUMNS = ("Name", "Status", "Created", "Time", "Training jobs", "Completed", "Best objective")


def section(sweep: SweepView, trials: Sequence[TrialView]) -> Section:
    """A table of one row, and one of the ranges."""
    best = sweep.best_of(trials)
    states = Counter(trial.status for trial in trials)
    row = [
        sweep.name,
        status(sweep.status),
        moment(sweep.created),
        duration(sweep.seconds),
        str(len(trials)),
        str(states["Completed"]),
        number(best.value) if best else NONE,
    ]
    parts = [page.table(Table(_COLUMNS, [row], numeric=frozenset((3, 4, 5, 6)))), _ranges(sweep)]
    return Section("tuning-job", "Tuning job", page.joined(parts))


def status(word: str, reason: str | None = None) -> Markup:
    """A state as it stands in a table, with its reason below it."""
    return page.render("status.html.j2", {"status": word, "reason": reason})


def _ranges(sweep: SweepView) -> Markup:
    if not sweep.ranges:
        return Markup("")
    listing = page.table(Table(("Hyperparameter", "Range"), list(sweep.ranges.items())))
    return page.render("titled.html.j2", {"title": "What was searched", "html": listing})
