"""Features once: one training and a search of four, against the plain recipe; the same network, photos and epochs.

ResNet18's ImageNet weights come from a download that a machine without a network cannot make. Both sides read the same
random ones from a file instead, so the losses mean nothing here: what counts is the time, which is the same.
"""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from bench import grid, photos, plain
from bench.home import cold
from bench.report import Section, seconds, times
from vizsla.training import execution

PHOTOS = 2000
ELPV = 2624
# The plain recipe's plan in vizsla's words: no flip or a flip, an Adam at a learning rate that stays, nothing else.
PLAN = {
    "model": "resnet18",
    "method": "finetune",
    "train_from": "layer4",
    "epochs": str(plain.EPOCHS),
    "batch_size": "64",
    "lr": plain.LR,
    "optimizer": "adam",
    "schedule": "constant",
    "weight_decay": "0",
    "dropout": "0",
    "views": "2",
}
Row = tuple[str, str, str, str]


def measure() -> Section:
    """The plain recipe first, then vizsla in each precision that the processor computes in."""
    with cold() as home:
        split = photos.split(photos.elpv(home), home, PHOTOS / ELPV)
        weights = random_weights(home.folder / "resnet18.safetensors")
        asked: dict[str, str | Path] = {"model": "resnet18", "weights": weights, "epochs": str(plain.EPOCHS)}
        runs = grid.plain_search(split, asked)
        alone = plain.without_test(runs[grid.USUAL]) + runs[grid.USUAL].document["epochs"][-1]["test_seconds"]
        four = sum(map(plain.without_test, runs))
        rows: list[Row] = [("plain recipe, float32", seconds(alone), seconds(four), "")]
        rows += [_vizsla(split, weights, precision, (alone, four)) for precision in ("float32", "bfloat16")]
        text = _text(photos.count(split))
    header = ("", "one training, asked about test", "four trainings, of a search", "times as fast as the plain recipe")
    return Section("Features once", text, header, rows)


def random_weights(file: Path) -> Path:
    """ResNet18 as timm makes it from seed 0, written to `file`; its batch norms do not begin at zero."""
    torch.manual_seed(0)
    net = timm.create_model("resnet18", pretrained=False, zero_init_last=False)
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, file)
    return file


def _vizsla(split: Path, weights: Path, precision: str, plain_s: tuple[float, float]) -> Row:
    what = f"vizsla, {precision}, cold"
    if precision == "bfloat16" and not execution.has_bfloat16():
        return (what, "not measured", "not measured", "the processor has neither AVX512-BF16 nor AMX")
    settings = {**PLAN, "weights": str(weights), "run.precision": precision}
    one, four = _one(split, settings), _four(split, settings)
    return (what, seconds(one), seconds(four), f"{times(plain_s[0] / one)}, {times(plain_s[1] / four)}")


def _one(split: Path, settings: dict[str, str]) -> float:
    with cold() as home:
        return home.run("train", split, settings=settings).seconds


def _four(split: Path, settings: dict[str, str]) -> float:
    searched = {key: value for key, value in settings.items() if key not in ("lr", "batch_size")}
    with cold() as home:
        return grid.vizsla_search(home, split, searched, "four").seconds


def _text(count: int) -> str:
    points = ", ".join(f"lr {lr} batch {batch_size}" for lr, batch_size in grid.POINTS)
    return (
        f"{count:,} photos of ELPV, split 60/15/25, ResNet18, layer4 and head trained, {plain.EPOCHS} epochs; whole "
        "processes. Both sides read the same random weights: ImageNet's cannot be had without a download, and the time "
        "is the same. One training: batch 64, and the test photos asked once. The search: "
        f"{points}; test not asked. The plain recipe's four were each measured. Each time of vizsla begins with an "
        "empty cache, and has its debugger, profiler and rules on as they are by default. Aims: 1.8 and 2.5 times in "
        "float32, 2.8 and 4.5 in bfloat16."
    )
