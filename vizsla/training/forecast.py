"""How long will a job take? Counts of what is to be done, and how fast this machine does each, make seconds by part.

After the execution is chosen and before anything long begins; `planning.py` asks it for `vizsla plan`, and a training
for the line it prints first. What is in the cache already takes no time. Nothing is computed with here but numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vizsla.words import duration

# Parts of a job in the order they happen.
PARTS = ("start", "check", "export", "features", "probe", "epochs", "evaluation", "test", "bundle")
FORWARD = 3.0  # a training step is about three passes forward: one forward, two backward (for inputs and for weights)
DISK = 250e6  # bytes a second that are written and synced; a training writes little, so it need not be exact
BUNDLES = 2  # one before the held-out photos are asked, one after


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is to be done. Photos are counted in their views where that is said."""

    unchecked: int
    """Photos that nobody has decoded yet."""
    missing: int
    """Features of train and valid that are to be computed, in views."""
    missing_test: int
    """The same of the held-out photos."""
    train: int
    valid: int
    test: int
    """Held-out photos that will be asked."""
    epochs: int
    """0 where a probe is all."""
    kept: bool
    """Whether the trained part reads features; else every epoch decodes the photos and runs the frozen part."""
    probed: bool
    weights_bytes: int
    checkpoint_bytes: int


@dataclass(frozen=True, slots=True)
class Speeds:
    """How fast this machine is. Photos a second; None where it was not measured, and seconds for what is done once."""

    read: float | None
    """Decoded, and through the frozen part meanwhile."""
    train: float | None
    """Through training steps of what is not frozen."""
    start_s: float
    """Python, its libraries and the network."""
    export_s: float = 0.0
    """Making what runs the frozen part."""
    probe_s: float = 0.0
    reread: float | None = None
    """What every epoch begins with where features are not kept, if that is another speed than `read`."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds by part, in the order of PARTS, and in all."""

    parts: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())

    def document(self) -> dict[str, object]:
        return {
            "seconds": round(self.seconds, 1),
            "parts": {name: round(seconds, 2) for name, seconds in self.parts.items()},
        }


def predict(amounts: Amounts, speeds: Speeds) -> Forecast:
    """What a job that begins now will take."""
    read_s, train_s = _seconds(speeds.read), _seconds(speeds.train)
    photo_s = 0.0 if amounts.kept else _seconds(speeds.reread or speeds.read)
    asked_s = photo_s + train_s / FORWARD
    return Forecast(
        {
            "start": speeds.start_s,
            "check": amounts.unchecked * read_s,  # decoded and no more, so this is the most it can take
            "export": speeds.export_s,
            "features": amounts.missing * read_s,
            "probe": speeds.probe_s if amounts.probed else 0.0,
            "epochs": amounts.epochs * (amounts.train * (photo_s + train_s) + amounts.checkpoint_bytes / DISK),
            "evaluation": amounts.valid * (amounts.epochs * asked_s + amounts.probed * train_s / FORWARD),
            "test": amounts.missing_test * read_s + amounts.test * asked_s,
            "bundle": BUNDLES * amounts.weights_bytes / DISK,
        }
    )


def line(forecast: Forecast) -> str:
    """One line for a log: the sum, and the parts that are most of it."""
    large = sorted(forecast.parts.items(), key=lambda part: -part[1])[:3]
    named = ", ".join(f"{name} {duration(seconds)}" for name, seconds in large if seconds >= 0.05 * forecast.seconds)
    return f"this will take about {duration(forecast.seconds)}: {named}"


def _seconds(rate: float | None) -> float:
    return 1 / rate if rate else 0.0
