"""Three seeds on 120 dog breeds, each beside a logistic regression on the same frozen features and the same split.

The photos are drawn from ImageNet, on which the weights were trained: the figures compare two ways, and say nothing
about accuracy on photos the weights have never seen.
"""

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

FOLDER = Path(
    os.environ.get("VIZSLA_TEST_PHOTOS", Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dogs")
)
SEEDS = (0, 1, 2)


def measure() -> Section:
    """One training and one regression a seed."""
    rows, means = [], []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as place:
            document, seconds = _train(seed, Path(place))
            regression = _regression(Path(document["folder"]))
        accuracy = document["metrics"]["test_accuracy"]
        means.append((accuracy, regression, seconds))
        rows.append((str(seed), f"{100 * accuracy:.1f} %", f"{100 * regression:.1f} %", f"{seconds:.0f} s"))
    ours, theirs, seconds = (sum(column) / len(column) for column in zip(*means, strict=True))
    rows.append(("mean", f"{100 * ours:.1f} %", f"{100 * theirs:.1f} %", f"{seconds:.0f} s"))
    text = (
        "`vizsla train DIR --set epochs=3` on 1,000 photos of 120 breeds, 70/15/15: test accuracy and wall time. "
        "Beside it scikit-learn's LogisticRegression (C=1) on pooled features of the same frozen network and split. "
        "ImageNet's weights have seen these photos: a comparison, not an accuracy claim."
    )
    return Section("Dogs", text, ("seed", "`vizsla train`", "logistic regression", "time of the former"), rows)


def _train(seed: int, place: Path) -> tuple[dict[str, Any], float]:
    began = time.perf_counter()
    arguments = [
        "train",
        str(FOLDER),
        "--set",
        "epochs=3",
        "--set",
        f"seed={seed}",
        "--workspace",
        str(place),
        "--json",
    ]
    done = subprocess.run([sys.executable, "-m", "vizsla", *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout), time.perf_counter() - began


def _regression(job: Path) -> float:
    """Test accuracy of a regression on the split of a job."""
    from sklearn.linear_model import LogisticRegression

    rows = list(csv.DictReader((job / "output" / "data" / "splits.csv").open(newline="")))
    features = {split: _features([row["file"] for row in rows if row["split"] == split]) for split in ("train", "test")}
    labels = {split: [row["label"] for row in rows if row["split"] == split] for split in ("train", "test")}
    model = LogisticRegression(max_iter=2000).fit(features["train"], labels["train"])
    return float(model.score(features["test"], labels["test"]))


def _features(files: list[str]) -> Any:
    """(photos, 1280): the default backbone's pooled features, as pretrained."""
    import numpy as np
    import torch

    from vizsla import backbones
    from vizsla.vision import networks
    from vizsla.vision.preprocess import Preprocessing, preprocess

    facts = backbones.find(backbones.DEFAULT)
    spec = Preprocessing(size=facts.size, interpolation=facts.interpolation, mean=facts.mean, std=facts.std)
    net: Any = networks.build(backbones.DEFAULT, 2, 0.0).eval().to(memory_format=torch.channels_last)
    found = []
    with torch.inference_mode():
        for start in range(0, len(files), 16):
            photos = np.stack([preprocess((FOLDER / file).read_bytes(), spec) for file in files[start : start + 16]])
            found.append(net.forward_head(net.forward_features(torch.from_numpy(photos)), pre_logits=True).numpy())
    return np.concatenate(found)
