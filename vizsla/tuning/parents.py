"""Warm start: what a search may learn from earlier sweeps, in SageMaker's two kinds.

IdenticalDataAndAlgorithm goes on with the same question: objectives are compared as they are, and a parent's best
trial may be the sweep's best. TransferLearning takes from a related question only where the good values lay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from vizsla.errors import UserError
from vizsla.tuning.search import Direction, Tried, WarmTrial, best, cost

Kind = Literal["IdenticalDataAndAlgorithm", "TransferLearning"]

MAX_PARENTS = 5


@dataclass(frozen=True, slots=True)
class Basis:
    """What decides whether one sweep may learn from another.

    `hyperparameters` are the names of all, searched over or not; `data` and `algorithm` are digests or names.
    """

    name: str
    objective: str
    direction: Direction
    hyperparameters: frozenset[str]
    data: str
    algorithm: str


def check_parents(kind: Kind, parents: Sequence[Basis], child: Basis) -> None:
    """Raises UserError where `child` cannot learn from `parents` by AWS's rules.

    One to five parents, with the child's objective and hyperparameters; what is searched over and what is fixed may
    change. AWS asks for the same number of hyperparameters; we ask for the same names, because a trial without a
    value for a range says nothing about it. An identical kind needs the same data and algorithm too.
    """
    if kind not in get_args(Kind):
        raise UserError(f"There is no warm start called {kind}.", f"There are {' and '.join(get_args(Kind))}.")
    names = [parent.name for parent in parents]
    if not 1 <= len(names) <= MAX_PARENTS:
        raise UserError(f"A warm start from {len(names)} sweeps is not possible.", f"Name 1 to {MAX_PARENTS}.")
    if len(set(names)) < len(names) or child.name in names:
        raise UserError("A warm start names each earlier sweep once, and never the new one.", f"Given: {names}.")
    for parent in parents:
        _check_parent(parent, child)
        if kind == "IdenticalDataAndAlgorithm":
            _check_identical(parent, child)


def learned(kind: Kind, parents: Mapping[str, Sequence[Tried]]) -> list[WarmTrial]:
    """What a search is told of its parents' trials, by the parents' names: those that have an objective."""
    return [
        WarmTrial(trial.hyperparameters, trial.value, name if kind == "TransferLearning" else None)
        for name, trials in sorted(parents.items())
        for trial in sorted(trials, key=lambda trial: trial.number)
        if trial.value is not None
    ]


def best_of_all(
    kind: Kind, parents: Mapping[str, Sequence[Tried]], own: Sequence[Tried], direction: Direction
) -> tuple[str | None, Tried] | None:
    """The best trial and the parent it comes from, None being this sweep; a parent's only in the identical kind.

    Of equals, this sweep's own. None where nothing has an objective.
    """
    sweeps: list[tuple[str | None, Sequence[Tried]]] = [(None, own)]
    if kind == "IdenticalDataAndAlgorithm":
        sweeps += sorted(parents.items())
    bests = [(name, trial) for name, trials in sweeps if (trial := best(trials, direction))]
    return min(bests, key=lambda row: cost(row[1].value, direction), default=None)  # of equals, the first


def _check_parent(parent: Basis, child: Basis) -> None:
    if (parent.objective, parent.direction) != (child.objective, child.direction):
        raise UserError(
            f"{parent.name} was to {parent.direction} {parent.objective}, "
            f"and {child.name} is to {child.direction} {child.objective}.",
            "A warm start needs the same objective and the same direction.",
        )
    if parent.hyperparameters != child.hyperparameters:
        differing = ", ".join(sorted(parent.hyperparameters ^ child.hyperparameters))
        raise UserError(
            f"{parent.name} and {child.name} do not have the same hyperparameters: {differing} is in one of them only.",
            "Give each as a range or as a fixed value in both.",
        )


def _check_identical(parent: Basis, child: Basis) -> None:
    for what in ("data", "algorithm"):
        if getattr(parent, what) != getattr(child, what):
            raise UserError(
                f"{parent.name} does not have the {what} of {child.name}.",
                "Learn from it with a warm start of the kind TransferLearning.",
            )
