"""When to stop: a trial that falls behind, and a sweep that has done or cannot do what it was asked for.

Pure functions of curves and histories, so that a controller that was killed and started again decides the same. A
curve is a trial's objective after each epoch, the first epoch's first.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from vizsla.errors import UserError
from vizsla.tuning.search import Direction, Tried, cost

FAILURES = 5  # as many in a row before any success end a sweep
REDUCTION = 3  # hyperband lets one trial in three go on; Li et al. 2018 use 3 or 4


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Before the median rule speaks: as many earlier trials that came as far, and as many epochs of this one.

    SageMaker documents none. In a median of three, one diverged or lucky trial does not decide; and the first epoch is
    when the learning rate rises, so after it alone a slow starter would be taken for a bad one.
    """

    jobs: int = 3
    epochs: int = 2


class Rule(Protocol):
    """Says which running trials are not worth going on with."""

    def should_stop(self, trial: Tried, trials: Sequence[Tried], direction: Direction, judged: int = 0) -> bool:
        """Whether to stop running `trial`, by what all of `trials` (itself among them or not) have shown so far.

        judged: how many of its epochs have been judged before.
        """


@dataclass(frozen=True, slots=True)
class Median:
    """SageMaker's early stopping, "Auto", with our warm-up: `median_rule` after each epoch."""

    warm_up: WarmUp = WarmUp()

    def should_stop(self, trial: Tried, trials: Sequence[Tried], direction: Direction, judged: int = 0) -> bool:
        """Whether an epoch of `trial` that was not judged before is worse than the trials before it allow.

        Those are all that have ended and did not fail: AWS compares with "previously completed training jobs". A quick
        trial does several epochs between two looks, and each counts; one that was judged good is not judged anew.
        """
        earlier = [
            other.curve for other in trials if other.number != trial.number and other.state in ("Completed", "Stopped")
        ]
        new = list(enumerate(trial.curve, 1))[judged:]
        return any(median_rule(value, epoch, earlier, direction, self.warm_up) for epoch, value in new)


def median_rule(
    value: float, epoch: int, earlier: Sequence[Sequence[float]], direction: Direction, warm_up: WarmUp = WarmUp()
) -> bool:
    """Whether to stop a trial whose objective after `epoch` (from 1) is `value`, given the curves of earlier trials.

    It stops where the value itself is worse than the median, over the earlier trials, of the averages of their
    objectives up to the same epoch (AWS's developer guide, automatic-model-tuning-early-stopping). An earlier trial
    that ended before that epoch has no such average and is left out. What is not finite is worse than any number.
    """
    averages = [_mean_cost(curve[:epoch], direction) for curve in earlier if len(curve) >= epoch]
    if epoch < warm_up.epochs or len(averages) < max(warm_up.jobs, 1):
        return False
    return cost(value, direction) > statistics.median(averages)


@dataclass(frozen=True, slots=True)
class Hyperband:
    """Successive halving in brackets (Li et al. 2018), asynchronous as in Li et al. 2020, over epochs.

    A bracket's trials meet at rungs: after `min_resource` epochs, three times as many, and so on below
    `max_resource`; a trial that is not among the best third that came to its last rung is stopped. Each bracket
    begins one rung later than the one before, and the last has none, in case the first epochs tell little. Trials go
    into brackets by their numbers, from 1. Raises UserError where the epochs make no sense.
    """

    min_resource: int
    max_resource: int

    def __post_init__(self) -> None:
        if not 1 <= self.min_resource <= self.max_resource:
            raise UserError(
                f"hyperband cannot go from {self.min_resource} to {self.max_resource} epochs.",
                "The least has to be 1 or more, and not above the most.",
            )

    def rungs(self, number: int) -> list[int]:
        """The epochs after which trial `number` is compared with the others of its bracket."""
        rungs = self._all_rungs()
        return rungs[self.bracket(number) :]

    def bracket(self, number: int) -> int:
        """The bracket of trial `number`: 0 has all rungs, the last one none.

        As in Hyperband's outer loop, the brackets come one after the other, with so many trials that each costs about
        as many epochs as the next; after the last it begins anew.
        """
        last = len(self._all_rungs())
        sizes = [math.ceil((last + 1) / (s + 1) * REDUCTION**s) for s in range(last, -1, -1)]
        place = (number - 1) % sum(sizes)
        return next(bracket for bracket, end in enumerate(accumulate(sizes)) if place < end)

    def should_stop(self, trial: Tried, trials: Sequence[Tried], direction: Direction, judged: int = 0) -> bool:
        """Whether `trial` is outside the best third of its bracket at the last rung it came to.

        A rung that fewer than three have come to stops nobody; it counts again as others come to it.
        """
        passed = [rung for rung in self.rungs(trial.number) if rung <= len(trial.curve)]
        if not passed:
            return False
        place = passed[-1] - 1
        own = cost(trial.curve[place], direction)
        others = [
            cost(other.curve[place], direction)
            for other in trials
            if other.number != trial.number
            and len(other.curve) > place
            and self.bracket(other.number) == self.bracket(trial.number)
        ]
        go_on = (len(others) + 1) // REDUCTION
        return go_on > 0 and sum(other < own for other in others) >= go_on

    def _all_rungs(self) -> list[int]:
        rungs, epoch = [], self.min_resource
        while epoch < self.max_resource:
            rungs.append(epoch)
            epoch *= REDUCTION
        return rungs


def give_up(history: Sequence[Tried]) -> str | None:
    """Why it is no use to begin another trial: five failed and none has succeeded. None otherwise.

    A success is a completed trial, or a stopped one with an objective. Trials that still run are not waited for here;
    where one of them succeeds after all, the answer is None again.
    """
    failed = sum(trial.state == "Failed" for trial in history)
    succeeded = any(
        trial.state == "Completed" or (trial.state == "Stopped" and trial.value is not None) for trial in history
    )
    if failed < FAILURES or succeeded:
        return None
    return f"The first {failed} trials that ended have failed, and none has succeeded."


def _mean_cost(curve: Sequence[float], direction: Direction) -> float:
    return statistics.fmean(cost(value, direction) for value in curve)
