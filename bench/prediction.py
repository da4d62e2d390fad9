"""What `vizsla plan` says a training will take, beside what it then takes."""

from __future__ import annotations

from pathlib import Path

from bench import photos
from bench.home import Home, cold
from bench.photos import DOGS
from bench.report import Section

Row = tuple[str, str, str, str]


def measure() -> Section:
    """Both data sets, cold and then warm. The cold plan is asked in a home of its own, so that it warms nothing."""
    rows: list[Row] = []
    for name, folder in (("dogs", DOGS), ("ELPV", None)):
        with cold() as home, cold() as other:
            there = folder or photos.elpv(home)
            rows.append(_row(f"{name}, cold", _predicted(other, there), _taken(home, there)))
            rows.append(_row(f"{name}, warm", _predicted(home, there), _taken(home, there)))
    text = (
        "`vizsla plan DIR` against `vizsla train DIR`, both as they are by default; the whole process of the latter. "
        "Cold: each begins with an empty cache of its own. Warm: both find what the cold training has left. "
        "Aim: within 25 %."
    )
    return Section("Prediction", text, ("photos", "predicted", "taken", "predicted / taken"), rows)


def _predicted(home: Home, folder: Path) -> float:
    return float(home.run("plan", folder).document["forecast"]["seconds"])


def _taken(home: Home, folder: Path) -> float:
    return home.run("train", folder).seconds


def _row(what: str, predicted: float, taken: float) -> Row:
    return (what, f"{predicted:.1f} s", f"{taken:.1f} s", f"{predicted / taken:.2f}")
