"""The six default rules under vizsla's own profile: healthy settings of the built-in classifier, and its faults."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bench.faults.job import Setting
from bench.faults.spoilt import TOWER, scaled

# A network of 373,000 weights that starts from nothing, on pictures of 32 pixels.
SMALL = {"model": "test_resnet", "weights": "none", "train_from": "all", "image.size": "32", "lr": "0.003"}
LITE = "efficientnet_lite0"
FOUR = (40, 40, 40, 40)
TWENTY = {**SMALL, "data.split": "0.34,0.66,0", "epochs": "100"}  # of 60 pictures, 20 are trained on

HEALTHY = (
    Setting("the defaults, 4 classes of 40 pictures", FOUR),
    Setting("2 epochs, batches of 16", FOUR, {"epochs": "2", "batch_size": "16"}),
    Setting(
        "the head alone, half of its inputs dropped, 20 classes of 12 pictures",
        (12,) * 20,
        {"train_from": "head", "dropout": "0.5"},
    ),
    Setting("2 classes of 20 pictures", (20, 20)),
    Setting("classes of 100, 60, 30 and 10 pictures", (100, 60, 30, 10)),
    Setting("hard pictures, of which many fit two classes", (60,) * 4, {"batch_size": "32"}, plain=0.6),
    Setting("test_resnet from random weights, 12 epochs", FOUR, {**SMALL, "epochs": "12", "batch_size": "32"}),
    Setting(
        "test_efficientnet from random weights, 12 epochs",
        FOUR,
        {**SMALL, "model": "test_efficientnet", "epochs": "12", "batch_size": "32"},
    ),
)

FAULTS: Mapping[str, tuple[Setting, ...]] = {
    "VanishingGradient": (
        Setting("a tower of 12 sigmoids", FOUR, {**SMALL, "model": TOWER}),
        Setting(
            "a file of weights whose norms are a thousandth of what they were",
            FOUR,
            {"train_from": "all", "epochs": "3", "image.size": "32"},
            weights=partial(scaled, model=LITE, norms=1e-3),
        ),
    ),
    "Overfit": (
        Setting("20 pictures, labels at random, 100 epochs", (30, 30), TWENTY, shuffled=True),
        Setting("120 pictures, labels at random, 30 epochs", (60, 60), {"epochs": "30"}, shuffled=True),
    ),
    "Overtraining": (Setting("20 pictures, 100 epochs", (30, 30), TWENTY),),
    "PoorWeightInitialization": (
        Setting(
            "all weights zero",
            FOUR,
            {"train_from": "all", "epochs": "2", "image.size": "32"},
            weights=partial(scaled, model=LITE, others=0.0),
        ),
        Setting(
            "weights 100 times too large",
            FOUR,
            {"train_from": "all", "epochs": "2", "image.size": "32"},
            weights=partial(scaled, model=LITE, others=100.0),
        ),
    ),
    "LossNotDecreasing": (
        Setting("a learning rate of 1000", FOUR, {"lr": "1000", "epochs": "4", "image.size": "32"}),
        Setting("a learning rate of 1e-7", FOUR, {"lr": "1e-7", "epochs": "4", "image.size": "32"}),
    ),
    "ClassImbalance": (
        Setting("classes of 297 and 3 pictures", (297, 3), {"epochs": "2"}),
        Setting("classes of 200, 200 and 8 pictures", (200, 200, 8), {"epochs": "2"}),
    ),
}
