"""How time and memory grow with the number of photos: 1,000 to 20,000 of a web page's size."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import anonymous, many
from bench.anonymous import Peak
from bench.home import cold, shown
from bench.report import Section, seconds

COUNTS = (1_000, 5_000, 20_000)
PIXELS = 500 * 375
ORIGINALS = 1_000
TRAINING = {"epochs": "1"}  # everything that a training does, its longest part once


def measure() -> Section:
    """Each from an empty cache; the last is held against the line through the others."""
    with tempfile.TemporaryDirectory(prefix="vizsla-bench-") as place:
        found = [trained(Path(place), count, PIXELS, ORIGINALS) for count in COUNTS]
    rows = [
        (f"{count:,}", seconds(taken), f"{1000 * taken / count:.1f} ms", str(peak))
        for count, (taken, peak) in zip(COUNTS, found, strict=True)
    ]
    times = [taken for taken, _ in found]
    beyond = times[-1] / extrapolated(times) - 1
    rows.append((f"{COUNTS[-1]:,}, against the line through the others", f"{100 * beyond:+.1f} %", "", ""))
    text = (
        f"`vizsla train DIR {shown(TRAINING)}` on real photos of dogs of {PIXELS:,} pixels (500 by 375), each file "
        "with bytes of its own, from an empty cache; peak RssAnon of all processes of the job, five samples a second. "
        "Aims: linear within 10 %, memory flat."
    )
    return Section("Growth", text, ("photos", "wall time", "a photo", "anonymous memory"), rows)


def trained(place: Path, count: int, pixels: int, originals: int) -> tuple[float, Peak]:
    """Seconds and memory of one training on `count` photos, which are written into `place`, beside fewer of them."""
    folder = place / "photos"
    many.write(folder, count, pixels, originals)
    with cold() as home, anonymous.watched(home) as peak:
        taken = home.run("train", folder, settings=TRAINING).seconds
    return taken, peak


def extrapolated(times: list[float]) -> float:
    """What the last count would take if all grew as from the first to the second."""
    slope = (times[1] - times[0]) / (COUNTS[1] - COUNTS[0])
    return times[0] + slope * (COUNTS[-1] - COUNTS[0])
