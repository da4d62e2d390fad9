"""The four points that both sides search, and the two searches: the plain one is four trainings in sequence."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

from bench import plain
from bench.home import Home
from bench.timed import Ran

LRS = ("0.001", plain.LR)  # the plain recipe's own, and the low end of what the reference system searches
BATCH_SIZES = ("64", "128")
POINTS = tuple(itertools.product(LRS, BATCH_SIZES))
USUAL = POINTS.index((plain.LR, "64"))  # the plain recipe as it is when nobody searches
PROBES = (
    "probe.l2=0.001..1.0:log"  # what a search over probes has to choose: the middle of what a probe tries by itself
)
COMPLETED = "Completed"


def plain_search(split: Path, settings: Mapping[str, str | Path]) -> list[Ran]:
    """A training a point, one after the other; the usual one asks the test photos after every epoch."""
    runs = []
    for number, (lr, batch_size) in enumerate(POINTS):
        flags = ("test-every-epoch",) if number == USUAL else ()
        runs.append(plain.run(split, {**settings, "lr": lr, "batch-size": batch_size}, *flags))
    return runs


def vizsla_search(home: Home, split: Path, settings: Mapping[str, str], name: str) -> Ran:
    """The same points as a sweep of vizsla's."""
    ranges = ("--range", f"lr={','.join(LRS)}", "--range", f"batch_size={','.join(BATCH_SIZES)}")
    return checked(home.run("tune", split, "--strategy", "grid", *ranges, "--name", name, settings=settings))


def checked(sweep: Ran) -> Ran:
    """The sweep, if all of its trials have ended well. RuntimeError else: its time would say nothing."""
    ends = [trial["status"] for trial in sweep.document["trials"]]
    if set(ends) != {COMPLETED}:
        raise RuntimeError(f"not all trials have completed: {ends}")
    return sweep
