"""A smooth function to search over, and sweeps that train nothing; also imported by the processes that tests start."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from vizsla.tuning.search import Search, Strategy, Tried, make
from vizsla.tuning.space import Space, parse_range, space

Objective = Callable[[Mapping[str, str]], float]

SMOOTH = space([parse_range(text) for text in ("lr=0.0001..0.1", "wd=0.00001..0.1", "dropout=0.0..0.5", "b=32,64,128")])
CHOICES = space([parse_range("a=x,y,z"), parse_range("b=64,128")])


def loss(point: Mapping[str, str]) -> float:
    """A bowl over SMOOTH; the learning rate matters most."""
    lr, wd = math.log10(float(point["lr"])), math.log10(float(point["wd"]))
    batch = {"32": 0.05, "64": 0.0, "128": 0.08}[point["b"]]
    return 0.3 * (lr + 2.2) ** 2 + 0.03 * (wd + 3) ** 2 + (float(point["dropout"]) - 0.2) ** 2 + batch


def run(search: Search, jobs: int, objective: Objective) -> list[Tried]:
    """Trials one after the other, numbered from 1."""
    history: list[Tried] = []
    for number in range(1, jobs + 1):
        point = search.ask(number, history)
        assert point is not None
        history.append(Tried(number, point, objective(point), "Completed"))
    return history


def sweep(strategy: Strategy, ranges: Space, jobs: int, objective: Objective, seed: int = 0) -> list[Tried]:
    """The trials of a search that is to minimize."""
    return run(make(strategy, ranges, "minimize", seed), jobs, objective)


def proposed(history: list[Tried]) -> list[dict[str, str]]:
    """What was tried, in order."""
    return [dict(trial.hyperparameters) for trial in history]
