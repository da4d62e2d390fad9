"""The training jobs of a sweep, the best on top."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from vizsla.analysis import page
from vizsla.analysis.page import Cell, Section, Table
from vizsla.analysis.sections import tuning
from vizsla.analysis.sweeps import SweepView, TrialView
from vizsla.words import NONE, duration, number


def section(sweep: SweepView, trials: Sequence[TrialView]) -> Section:
    """A row a trial, a column a hyperparameter."""
    if not trials:
        empty = page.render("sentences.html.j2", {"sentences": ["No training job has been started yet."]})
        return Section("training-jobs", "Training jobs", empty)
    ranked = sweep.ranked(trials)
    names = hyperparameters(trials)
    table = Table(
        columns=("Name", "Status", sweep.objective_name, *names, "Epochs done", "Time"),
        rows=[_row(trial, names, sweep) for trial in ranked],
        numeric=frozenset({2, *_numeric(names, trials), len(names) + 3, len(names) + 4}),
        best=0 if ranked[0].name == sweep.best else None,
        tall=len(ranked) > 15,
    )
    return Section("training-jobs", "Training jobs", page.table(table))


def hyperparameters(trials: Sequence[TrialView]) -> list[str]:
    """The names that any trial has, in the order in which they first appear."""
    return list(dict.fromkeys(name for trial in trials for name in trial.hyperparameters))


def _row(trial: TrialView, names: Sequence[str], sweep: SweepView) -> list[Cell]:
    values = {
        "name": trial.name,
        "href": quote(trial.page) if trial.page else "",  # quoted, so that it stays a path: no scheme is left in it
        "best": trial.name == sweep.best,
    }
    return [
        page.render("trial.html.j2", values),
        tuning.status(trial.status, trial.reason),
        number(trial.objective),
        *(trial.hyperparameters.get(name, NONE) for name in names),
        NONE if trial.epochs is None else str(trial.epochs),
        duration(trial.seconds),
    ]


def _numeric(names: Sequence[str], trials: Sequence[TrialView]) -> set[int]:
    """Places of the columns whose every value is a number."""
    return {
        place
        for place, name in enumerate(names, 3)
        if all(_is_number(trial.hyperparameters[name]) for trial in trials if name in trial.hyperparameters)
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
