"""Two trials of the built-in classifier at a time against one after the other; the aim is at most 1.1 times as long.

On as many cores in all: two at a time share them. Each sweep is a fresh process tree with a cache of its own.
"""

from __future__ import annotations

from bench import grid
from bench.home import cold
from bench.photos import DOGS
from bench.report import Section, spread

ROUNDS = 3
TRIALS = {"epochs": "2", "train_from": "head", "data.fraction": "0.3"}


def measure() -> Section:
    """The same two trials both ways, in turn."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for parallel, taken in seconds.items():
            taken.append(_sweep(parallel))
    ratio = min(seconds[2]) / min(seconds[1])
    rows = [(f"`--parallel {parallel}`", spread(taken)) for parallel, taken in seconds.items()]
    rows.append(("two at a time / one by one, the fastest of each", f"{ratio:.2f} times"))
    text = (
        "`vizsla tune DIR --jobs 2 --range lr=0.003,0.01 --strategy grid` on the dog photos with `epochs=2`, "
        f"`train_from=head` and `data.fraction=0.3`, {ROUNDS} rounds in turn."
    )
    return Section("Parallel trials", text, ("sweep", "median (min to max)"), rows)


def _sweep(parallel: int) -> float:
    """Seconds of a sweep of two trials."""
    asked = ("--strategy", "grid", "--range", "lr=0.003,0.01", "--parallel", str(parallel))
    with cold() as home:
        return grid.checked(home.run("tune", DOGS, *asked, settings=TRIALS)).seconds
