"""A sweep and its trials as a report needs them: plain values, filled by whoever ran the search.

Nothing heavy is imported, so that the tuning side may build these without paying for the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True, slots=True)
class TrialView:
    """One training job of a sweep."""

    name: str
    number: int
    """Counts from 1, in the order they were proposed."""
    status: str
    hyperparameters: Mapping[str, str]
    objective: float | None
    """None while there is no value, and for a trial that ended without one."""
    epochs: int | None
    seconds: float
    curve: tuple[float, ...] = ()
    """The objective after each epoch, the first first."""
    reason: str | None = None
    """Why it ended, where there is something to say."""
    page: str | None = None
    """The trial's own report, as a path relative to the sweep's folder."""

    @property
    def value(self) -> float | None:
        """The objective, where it is a number that can be drawn and compared."""
        return self.objective if self.objective is not None and math.isfinite(self.objective) else None


@dataclass(frozen=True, slots=True)
class SweepView:
    """One search over hyperparameters."""

    name: str
    status: str
    created: str
    """ISO 8601, UTC."""
    objective_name: str
    direction: Direction
    strategy: str
    seconds: float
    best: str | None
    """Name of the best trial; the sweep's word, not worked out here."""
    baseline: float | None = None
    """The objective before any tuning, drawn as a line to compare with."""
    importance: Mapping[str, float] | None = None
    """Share of each hyperparameter in how the objective varied; they add up to 1."""
    ranges: Mapping[str, str] = field(default_factory=dict)
    """Hyperparameter to the range that was searched, as a user would type it."""
    linear: frozenset[str] = frozenset()
    """Hyperparameters that were searched on a linear scale because somebody said so."""
    reason: str | None = None
    """Why the sweep ended, where there is something to say."""

    def ranked(self, trials: Sequence[TrialView]) -> list[TrialView]:
        """The best trial first, then by objective, then those without a value in the order of their numbers."""
        sign = -1 if self.direction == "maximize" else 1

        def place(trial: TrialView) -> tuple[bool, float, int]:
            value = trial.value
            return trial.name != self.best, math.inf if value is None else sign * value, trial.number

        return sorted(trials, key=place)

    def best_of(self, trials: Sequence[TrialView]) -> TrialView | None:
        """The best trial, if there is one."""
        return next((trial for trial in trials if trial.name == self.best), None)
