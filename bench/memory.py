"""How much memory a training needs on photos as a camera makes them, 12 MP, and whether more photos need more."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.growth import TRAINING, trained
from bench.home import shown
from bench.report import Section, seconds

COUNTS = (500, 2_000)
PIXELS = 4000 * 3000
ORIGINALS = 100  # enlarging one takes half a second


def measure() -> Section:
    """Each from an empty cache."""
    with tempfile.TemporaryDirectory(prefix="vizsla-bench-") as place:
        found = [trained(Path(place), count, PIXELS, ORIGINALS) for count in COUNTS]
    rows = [(f"{count:,}", str(peak), seconds(taken)) for count, (taken, peak) in zip(COUNTS, found, strict=True)]
    few, more = (peak.bytes for _, peak in found)
    rows.append(("more photos / fewer", f"{more / few:.2f}", ""))
    text = (
        f"`vizsla train DIR {shown(TRAINING)}` on photos of dogs enlarged to 12 MP, each file with bytes of its own, "
        "from an empty cache: peak RssAnon of all processes of the job, five samples a second. Aims: under 2 GB, flat."
    )
    return Section("Memory", text, ("photos of 12 MP", "anonymous memory", "wall time"), rows)
