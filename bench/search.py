"""The reference search: 4 trials, 2 at a time, on 30 % of the training photos of 120 breeds, then the final training.

The photos are drawn from ImageNet, on which the weights were trained: the times count here, not the accuracy.
"""

from __future__ import annotations

from typing import Any

from bench.home import cold
from bench.photos import DOGS
from bench.report import Section, percent, seconds

SEARCH = (
    "--jobs 4 --parallel 2 --early-stopping auto --range lr=0.001..0.01 --range batch_size=64,128 --range epochs=2..3 "
    "--set train_from=head --set data.fraction=0.3"
)


def measure() -> Section:
    """The search once from an empty cache, and the training with what it found."""
    with cold() as home:
        search = home.run("tune", DOGS, *SEARCH.split(), "--name", "search")
        final = home.run("train", DOGS, "--from", "search")
    found = search.document
    given = ", ".join(f"{key}={value}" for key, value in found["best"]["hyperparameters"].items())
    rows = [
        (f"search: {_ends(found['trials'])}", seconds(search.seconds)),
        (f"best on valid: {given}", f"loss {found['best']['objective']:.3f}"),
        ("`vizsla train DIR --from search`, all training photos", seconds(final.seconds)),
        ("its accuracy on the held-out photos", percent(final.document["metrics"]["test_accuracy"])),
    ]
    return Section("Reference search", f"`vizsla tune DIR {SEARCH}` on the dog photos.", ("what", "figure"), rows)


def _ends(trials: list[dict[str, Any]]) -> str:
    ends = [trial["status"] for trial in trials]
    return ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends)))
