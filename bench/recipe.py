"""The plain recipe against `vizsla train`: same photos, same split, same network, same weights, same epochs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import Section

HERE = Path(__file__).parent
EPOCHS = 3


def measure() -> Section:
    """Both on ELPV, one after the other."""
    with tempfile.TemporaryDirectory() as place:
        split = _split(Path(place))
        plain, plain_seconds = _plain(split)
        ours, our_seconds = _ours(Path(place), split)
    rows = [
        ("plain recipe", _seconds(plain_seconds), *_figures(plain)),
        ("`vizsla train`", _seconds(our_seconds), *_figures(ours)),
        ("ratio", f"{plain_seconds / our_seconds:.1f} ×", "", "", ""),  # noqa: RUF001
    ]
    text = (
        f"ELPV, 2,624 photos, 60/15/25 split, EfficientNet-Lite0 from the same weights, last stage and head trained, "
        f"batch 64, {EPOCHS} epochs; whole processes, from start to the test figures. The plain recipe is "
        "`bench/seed_recipe.py` (Adam at lr 0.00358); vizsla has its own defaults, so the losses are two recipes' and "
        "the seconds are the comparison."
    )
    return Section("One training", text, ("", "wall time", "valid loss", "valid accuracy", "test accuracy"), rows)


def _split(place: Path) -> Path:
    """The split that vizsla would make, as folders of links that both sides read."""
    photos = place / "elpv"
    _vizsla("data", "import", "elpv", str(photos))
    job = json.loads(_vizsla("train", str(photos), "--workspace", str(place / "once"), "--json", *_SPLIT_ONLY))
    folders = place / "split"
    with (Path(job["folder"]) / "output" / "data" / "splits.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            target = folders / row["split"] / row["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(photos / row["file"])
    return folders


def _plain(split: Path) -> tuple[dict[str, Any], float]:
    began = time.perf_counter()
    arguments = [part for name in ("train", "valid", "test") for part in (f"--{name}", str(split / name))]
    command = [sys.executable, str(HERE / "seed_recipe.py"), *arguments, "--model", "efficientnet_lite0", "--json"]
    done = subprocess.run([*command, "--epochs", str(EPOCHS)], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    found = json.loads(done.stdout)
    last = found["epochs"][-1]
    return {**last, "test_accuracy": found["test_accuracy"]}, seconds


def _ours(place: Path, split: Path) -> tuple[dict[str, Any], float]:
    began = time.perf_counter()
    said = _vizsla("train", str(split), "--workspace", str(place / "runs"), "--json", "--set", f"epochs={EPOCHS}")
    return json.loads(said)["metrics"], time.perf_counter() - began


def _vizsla(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vizsla", *arguments], check=True, capture_output=True, text=True, env=os.environ
    )
    return done.stdout


def _figures(found: dict[str, Any]) -> tuple[str, str, str]:
    accuracies = (f"{100 * found[name]:.1f} %" for name in ("valid_accuracy", "test_accuracy"))
    return (f"{found['valid_loss']:.3f}", *accuracies)  # type: ignore[return-value]


def _seconds(value: float) -> str:
    return f"{value:.0f} s"


# A training of nothing, for its splits.csv: a network of a few thousand weights on pictures of 16 pixels.
_SPLIT_ONLY = [
    part
    for pair in ("model=test_resnet", "weights=none", "epochs=1", "image.size=16", "data.split=0.6,0.15,0.25")
    for part in ("--set", pair)
]
