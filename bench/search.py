"""The reference search: 4 trials, 2 at a time, on 30 % of the training photos of 120 breeds, then the final training.

The photos are drawn from ImageNet, on which the weights were trained: the times count here, not the accuracy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from bench.dogs import FOLDER
from bench.report import Section

SEARCH = (
    "--jobs 4 --parallel 2 --early-stopping auto --range lr=0.001..0.01 --range batch_size=64,128 --range epochs=2..3 "
    "--set train_from=head --set data.fraction=0.3"
)


def measure() -> Section:
    """The search once, and the training with what it found."""
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        found = _vizsla("tune", str(FOLDER), *SEARCH.split(), "--name", "search", "--workspace", place)
        searched_s = time.perf_counter() - began
        made = _vizsla("train", str(FOLDER), "--from", "search", "--workspace", place)
        trained_s = time.perf_counter() - began - searched_s
    given = ", ".join(f"{key}={value}" for key, value in found["best"]["hyperparameters"].items())
    rows = [
        (f"search: {_ends(found['trials'])}", f"{searched_s:.0f} s"),
        (f"best on valid: {given}", f"loss {found['best']['objective']:.3f}"),
        ("`vizsla train DIR --from search`, all training photos", f"{trained_s:.0f} s"),
        ("its accuracy on the held-out photos", f"{100 * made['metrics']['test_accuracy']:.1f} %"),
    ]
    return Section("Reference search", f"`vizsla tune DIR {SEARCH}` on the dog photos.", ("what", "figure"), rows)


def _ends(trials: list[dict[str, Any]]) -> str:
    ends = [trial["status"] for trial in trials]
    return ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends)))


def _vizsla(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "vizsla", *arguments, "--json"]
    document: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return document
