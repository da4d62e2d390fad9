"""What to try next: the search strategies, as functions of what has been tried so far.

`make` gives a Search, and sweep.py asks it for each trial. A Search keeps nothing between two questions: every answer
is worked out from the seed, the trial's number and the history, so a controller that was killed and started again
proposes what it would have proposed.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from vizsla.errors import UserError
from vizsla.tuning import model
from vizsla.tuning.space import LISTABLE, Space, grid, holds, points, size

Direction = Literal["minimize", "maximize"]
Strategy = Literal["bayesian", "random", "grid", "hyperband"]
State = Literal["Completed", "Stopped", "Failed", "InProgress"]
Point = dict[str, str]
Key = tuple[tuple[str, str], ...]

MIN_TRIALS_FOR_IMPORTANCE = 10
TRIES = 8  # how often a search that proposes what was tried before is asked again


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial as the search sees it; `curve` is its objective after each epoch, as far as it has come.

    It counts with its objective, whatever its state, once it has ended; an objective that is no finite number is none.
    """

    number: int
    hyperparameters: Mapping[str, str]
    objective: float | None
    state: State
    curve: tuple[float, ...] = ()

    @property
    def value(self) -> float | None:
        """The objective the trial counts with; None while it runs, and where it has none."""
        if self.state == "InProgress" or self.objective is None or not math.isfinite(self.objective):
            return None
        return self.objective


@dataclass(frozen=True, slots=True)
class WarmTrial:
    """A finished trial of an earlier sweep; see parents.py.

    `sweep` is None where its objective can be compared with ours (same data and algorithm); otherwise it names the
    sweep whose objectives can be compared among each other only.
    """

    hyperparameters: Mapping[str, str]
    objective: float
    sweep: str | None = None


class Search(Protocol):
    """A strategy over a space."""

    def ask(self, number: int, history: Sequence[Tried]) -> Point | None:
        """The point for trial `number`, None when nothing is left to try; `history` may come in any order."""


def make(strategy: Strategy, space: Space, direction: Direction, seed: int, warm: Sequence[WarmTrial] = ()) -> Search:
    """The search of this name; only bayesian and hyperband learn from `warm`.

    Raises UserError for an unknown strategy or direction, and for a grid over anything but categorical ranges.
    """
    if direction not in get_args(Direction):
        raise UserError(f"{direction!r} is no direction.", f"There are {' and '.join(get_args(Direction))}.")
    match strategy:
        case "bayesian" | "hyperband":  # hyperband is these proposals, and stopping.Hyperband over them
            return Bayesian(space, direction, seed, tuple(warm))
        case "random":
            return Random(space, seed)
        case "grid":
            return Grid(tuple(grid(space)))
    raise UserError(f"There is no strategy called {strategy}.", f"There are {', '.join(get_args(Strategy))}.")


def check(strategy: Strategy, space: Space, *, jobs: int | None, early_stopping: bool) -> None:
    """Raises UserError for what excludes each other, as at AWS: hyperband and early stopping, a grid and another
    number of jobs than its own.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"A search of {jobs} jobs tries nothing.", "Ask for at least one.")
    if strategy == "hyperband" and early_stopping:
        raise UserError(
            "hyperband and early stopping exclude each other.",
            "hyperband stops trials by a rule of its own: leave early stopping off, or choose another strategy.",
        )
    if strategy == "grid" and jobs not in (None, combinations := len(grid(space))):
        raise UserError(
            f"The grid has {combinations} combinations, and {jobs} jobs were asked for.",
            "Leave the number of jobs away: a grid tries every combination once.",
        )


def best(history: Sequence[Tried], direction: Direction) -> Tried | None:
    """The trial with the best objective, the earliest of equals; None where no trial that has ended has one."""
    counted = [(cost(trial.value, direction), trial.number, trial) for trial in history if trial.value is not None]
    return min(counted, key=lambda row: row[:2])[2] if counted else None


def cost(objective: float | None, direction: Direction) -> float:
    """The objective turned so that smaller is better; infinite for one that is missing or no finite number."""
    if objective is None or not math.isfinite(objective):
        return math.inf
    return objective if direction == "minimize" else -objective


def importance(history: Sequence[Tried], space: Space, direction: Direction) -> dict[str, float] | None:
    """Each hyperparameter's share in a trial being among the best, adding up to 1; the largest first.

    None with fewer than 10 trials that have an objective, where a share would be a guess; where all are equal; and
    where no range has two values.
    """
    counted = [trial for trial in history if trial.value is not None]
    told = _told(space, direction, counted, ())
    if len(told) < MIN_TRIALS_FOR_IMPORTANCE or len({one.rank for one in told}) == 1:
        return None
    return model.shares(space, told) or None


@dataclass(frozen=True)
class Grid:
    """Every combination of a categorical space once."""

    combinations: tuple[Point, ...]

    def ask(self, number: int, history: Sequence[Tried]) -> Point | None:
        """The first combination that no other trial has, whatever became of that."""
        taken = _taken(self.combinations[0], _others(number, history))
        return next((dict(point) for point in self.combinations if _key(point) not in taken), None)


@dataclass(frozen=True)
class Random:
    """Points drawn evenly on the scale of each range, whatever the others came to."""

    space: Space
    seed: int

    def ask(self, number: int, history: Sequence[Tried]) -> Point | None:
        """A random point that no other trial has, as long as there is one."""
        taken = _taken(self.space, _others(number, history))
        return _fresh(self.space, taken, lambda attempt: model.at_random(self.space, _hash(self.seed, number, attempt)))


@dataclass(frozen=True)
class Bayesian:
    """Points that a model of the earlier trials finds promising; the first ones are random.

    The model takes a running trial for a bad one, so that trials that are asked for at the same time differ, and a
    failed one for as bad as the worst, so that the search keeps away from where trainings break.
    """

    space: Space
    direction: Direction
    seed: int
    warm: tuple[WarmTrial, ...] = ()

    def ask(self, number: int, history: Sequence[Tried]) -> Point | None:
        """The most promising point that no other trial has, as long as there is one."""
        others = _others(number, history)
        told = _told(self.space, self.direction, others, self.warm)
        taken = _taken(self.space, others)
        return _fresh(
            self.space, taken, lambda attempt: model.promising(self.space, told, _hash(self.seed, number, attempt))
        )


def _others(number: int, history: Sequence[Tried]) -> list[Tried]:
    return sorted((trial for trial in history if trial.number != number), key=lambda trial: trial.number)


def _key(point: Mapping[str, str]) -> Key:
    return tuple(sorted(point.items()))


def _taken(names: Mapping[str, object], trials: Sequence[Tried]) -> set[Key]:
    """What the trials have for the hyperparameters that are searched over; they may have others beside them."""
    return {_key({name: text for name, text in trial.hyperparameters.items() if name in names}) for trial in trials}


def _fresh(space: Space, taken: set[Key], propose: Callable[[int], Point]) -> Point:
    """The first proposal that is not taken, else an untried point of a small space, else the last proposal."""
    for attempt in range(TRIES):
        point = propose(attempt)
        if _key(point) not in taken:
            return point
    number_of_points = size(space)
    if number_of_points is None or number_of_points > LISTABLE:
        return point
    free = [candidate for candidate in points(space) if _key(candidate) not in taken]
    return min(free, key=lambda candidate: _digest(f"{_key(candidate)}{_key(point)}"), default=point)


def _hash(seed: int, number: int, attempt: int) -> int:
    """32 bits for a sampler; neighbouring trials and seeds have nothing in common."""
    return int.from_bytes(_digest(f"{seed}:{number}:{attempt}")[:4], "big")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _told(space: Space, direction: Direction, trials: Sequence[Tried], warm: Sequence[WarmTrial]) -> list[model.Told]:
    """What the model learns from: ranks, because it looks at the order only, and because a rank within its own sweep
    is all that can be compared of a trial on other data.

    Left out are trials outside the space, and those that were stopped before they had an objective.
    """
    running = [trial.hyperparameters for trial in trials if trial.state == "InProgress"]
    ended = [trial for trial in trials if trial.value is not None or trial.state in ("Failed", "Completed")]
    rows = [(one.sweep, one.hyperparameters, cost(one.objective, direction)) for one in warm]
    rows += [(None, trial.hyperparameters, cost(trial.value, direction)) for trial in ended]
    rows = [row for row in rows if holds(space, row[1])]
    of_sweep: dict[str | None, list[float]] = defaultdict(list)
    for sweep, _, own in rows:
        bisect.insort(of_sweep[sweep], own)
    told = [model.Told(point, _rank(own, of_sweep[sweep])) for sweep, point, own in rows]
    return told + [model.Told(point, None) for point in running if holds(space, point)]


def _rank(own: float, costs: Sequence[float]) -> float:
    """Where a cost stands among `costs`, which are sorted and have it: the middle of its equals, from 0 to 1."""
    if math.isinf(own):
        return 1.0
    return (bisect.bisect_left(costs, own) + bisect.bisect_right(costs, own)) / (2 * len(costs))
