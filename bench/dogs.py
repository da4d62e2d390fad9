"""Three seeds on 120 dog breeds, each beside a logistic regression on the same frozen features and the same split.

The photos are drawn from ImageNet, on which the weights were trained: the figures compare two ways, and say nothing
about accuracy on photos the weights have never seen.
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean
from typing import Any

from bench.home import cold
from bench.photos import DOGS
from bench.report import Section, percent, seconds

SEEDS = (0, 1, 2)


def measure() -> Section:
    """One training from an empty cache and one regression a seed."""
    found = [_one(seed) for seed in SEEDS]
    rows = [(str(seed), *_figures(*each)) for seed, each in zip(SEEDS, found, strict=True)]
    rows.append(("mean", *_figures(*map(mean, zip(*found, strict=True)))))
    text = (
        "`vizsla train DIR` on 1,000 photos of 120 breeds, 70/15/15, each from an empty cache: test accuracy and wall "
        "time. Beside it scikit-learn's LogisticRegression (C=1) on pooled features of the same frozen network and "
        "split. ImageNet's weights have seen these photos: a comparison, not an accuracy claim. Aims: 60 %, at most 3 "
        "points below the regression, under 60 s."
    )
    header = ("seed", "`vizsla train`", "logistic regression", "difference, points", "time of the former")
    return Section("Dogs", text, header, rows)


def _one(seed: int) -> tuple[float, float, float]:
    """Test accuracy of the training and of the regression, and the seconds of the former."""
    with cold() as home:
        made = home.run("train", DOGS, settings={"seed": str(seed)})
        regression = _regression(Path(made.document["folder"]))
    return float(made.document["metrics"]["test_accuracy"]), regression, made.seconds


def _figures(ours: float, regression: float, taken: float) -> tuple[str, str, str, str]:
    return percent(ours), percent(regression), f"{100 * (ours - regression):+.1f}", seconds(taken)


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
            pictures = np.stack([preprocess((DOGS / file).read_bytes(), spec) for file in files[start : start + 16]])
            found.append(net.forward_head(net.forward_features(torch.from_numpy(pictures)), pre_logits=True).numpy())
    return np.concatenate(found)
