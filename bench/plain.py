"""Runs the plain recipe, which everything here is held against, on a folder that is split already."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import timed
from bench.photos import SPLITS
from bench.timed import Ran

RECIPE = Path(__file__).parent / "seed_recipe.py"
EPOCHS = 3
LR = "0.00358"


def run(split: Path, settings: Mapping[str, str | Path], *flags: str) -> Ran:
    """One training: `settings` and `flags` are the recipe's arguments without their dashes."""
    folders = [part for name in SPLITS for part in (f"--{name}", split / name)]
    given = [part for name, value in settings.items() for part in (f"--{name}", value)]
    return timed.run([sys.executable, RECIPE, *folders, *given, *(f"--{flag}" for flag in flags), "--json"])


def without_test(ran: Ran) -> float:
    """Seconds of a training but for the time it asked the test photos: a trial of a search leaves them alone."""
    return ran.seconds - float(ran.document["test_seconds"])


def valid_loss(ran: Ran) -> float:
    """After the last epoch: the plain recipe keeps no earlier weights."""
    return float(ran.document["epochs"][-1]["valid_loss"])


def best_test(ran: Ran) -> tuple[float, float]:
    """The lowest test loss of all epochs, and the seconds from the start to the end of that epoch.

    For a training that asked the test photos after every epoch; the asking is not counted, nor is what comes after.
    """
    epochs: list[dict[str, Any]] = ran.document["epochs"]
    best = min(range(len(epochs)), key=lambda number: epochs[number]["test_loss"])
    later = sum(epoch["seconds"] for epoch in epochs[best + 1 :])
    return float(epochs[best]["test_loss"]), without_test(ran) - later
