"""Forty probe trials on ELPV whose features are there already: what a trial costs once the work is done."""

from __future__ import annotations

from bench import grid, photos
from bench.home import cold
from bench.report import Section, seconds

TRIALS = 40
SEARCH = ("--jobs", str(TRIALS), "--range", grid.PROBES)
PROBE = {"method": "probe"}


def measure() -> Section:
    """A training that computes the features, then the sweep."""
    with cold() as home:
        folder = photos.elpv(home)
        first = home.run("train", folder, settings=PROBE).seconds
        sweep = grid.checked(home.run("tune", folder, *SEARCH, settings=PROBE)).seconds
    rows = [
        ("`vizsla train` with `method=probe`, which computes the features", seconds(first)),
        (f"{TRIALS} trials", seconds(sweep)),
        ("a trial", f"{sweep / TRIALS:.2f} s"),
    ]
    text = f"`vizsla tune DIR {' '.join(SEARCH)} --set method=probe` on ELPV after one training there."
    return Section("Probe trials", text, ("what", "wall time"), rows)
