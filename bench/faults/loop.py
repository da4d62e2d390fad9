"""Anybody's own training loop, watched by the debugger: the networks, what can be wrong with it, and the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from bench.faults import pictures
from vizsla.analysis.rules import Evaluation
from vizsla.debugger import Watch, watch

BATCH = 32
VALID = 5_000  # the number of a seed's first picture for validation
MEAN, STD = 128.0, 75.0  # of the made pictures

Layer = Callable[[], nn.Module]


def conv_net(classes: int, activation: Layer = nn.ReLU, norm: bool = True) -> nn.Sequential:
    """Three convolutions, each with batch norm (or without) and an activation, and a head."""
    widths = (3, 8, 16, 32)
    blocks = [
        nn.Sequential(
            nn.Conv2d(before, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width) if norm else nn.Identity(),
            activation(),
        )
        for before, width in pairwise(widths)
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def tower(classes: int, activation: Layer, norm: bool) -> nn.Sequential:
    """Twelve layers over the pixels of a picture that was made small."""
    layers: list[nn.Module] = [nn.AvgPool2d(3), nn.Flatten()]
    for before in (3 * 8 * 8, *[32] * 11):
        layers += [nn.Linear(before, 32), nn.BatchNorm1d(32) if norm else nn.Identity(), activation()]
    return nn.Sequential(*layers, nn.Linear(32, classes))


def untouched(_net: nn.Module) -> None:
    """The initial weights stay as PyTorch draws them."""


@dataclass(frozen=True)
class Training:
    """All that a training is, apart from its seed. What it is not told is as in a healthy one."""

    net: Callable[[int], nn.Module] = conv_net
    begin: Callable[[nn.Module], None] = untouched
    """What is done to the initial weights."""
    kinds: tuple[int, ...] = (60, 60, 60, 60)
    """Training pictures of each class; a quarter of that validates, at least five of each."""
    lr: float = 0.003
    sgd: bool = False
    """Plain gradient descent instead of Adam, whose steps are never larger than lr."""
    epochs: int = 8
    validated: bool = True
    """After each epoch; else once, at the end."""
    true_labels: bool = True
    look_alike: bool = False
    """Whether the last class shows the pictures of the one before it."""
    normalised: bool = True
    broken_pixel: bool = False
    """Whether a pixel of one training picture is no number."""
    forgotten: str = ""
    """The optimizer is not given the parameters whose names begin with this."""
    other_order: bool = False
    """Whether the pictures come in an order that is not the seed's."""
    pause_s: float = 0.0
    """How long the loop stands still, once, in its middle."""


def train(training: Training, seed: int, rules: list[str], out: Path) -> dict[str, Evaluation]:
    """One training with a seed, and how each rule came out, by its class name."""
    torch.manual_seed(seed)
    net = training.net(len(training.kinds))
    training.begin(net)
    photos, valid = _data(training, seed)
    steps = training.epochs * -(-len(photos[0]) // BATCH)
    loss_fn = nn.CrossEntropyLoss()
    with watch(net, loss_fn, rules, out, steps=steps) as dbg:
        _epochs(net, loss_fn, training, (photos, valid), (seed, dbg))
    if dbg.switched_off:
        raise RuntimeError(dbg.switched_off)
    return {one.rule: one for one in dbg.evaluations()}


Photos = tuple[torch.Tensor, torch.Tensor]


def _epochs(
    net: nn.Module, loss_fn: nn.Module, training: Training, data: tuple[Photos, Photos], by: tuple[int, Watch]
) -> None:
    seed, dbg = by
    optim = _optimizer(net, training)
    order = torch.Generator().manual_seed(seed + 1_000_000 * training.other_order)
    for epoch in range(training.epochs):
        net.train()
        for x, y in _batches(data[0], order):
            loss = loss_fn(net(x), y)
            optim.zero_grad()
            loss.backward()
            optim.step()
            dbg.step(loss)
        if training.validated or epoch == training.epochs - 1:
            _validate(net, loss_fn, data[1])
        if training.pause_s and epoch == training.epochs // 2:
            time.sleep(training.pause_s)


def _optimizer(net: nn.Module, training: Training) -> torch.optim.Optimizer:
    forgotten = training.forgotten
    given = [one for name, one in net.named_parameters() if not forgotten or not name.startswith(forgotten)]
    return torch.optim.SGD(given, lr=training.lr) if training.sgd else torch.optim.Adam(given, lr=training.lr)


def _validate(net: nn.Module, loss_fn: nn.Module, photos: Photos) -> None:
    net.eval()
    with torch.no_grad():
        for x, y in _batches(photos):
            loss_fn(net(x), y)


def _batches(photos: Photos, order: torch.Generator | None = None) -> Iterator[Photos]:
    images, labels = photos
    at = torch.randperm(len(images), generator=order) if order else torch.arange(len(images))
    for start in range(0, len(at), BATCH):
        part = at[start : start + BATCH]
        yield images[part], labels[part]


def _data(training: Training, seed: int) -> tuple[Photos, Photos]:
    """Training and validation pictures with their labels."""
    sets = []
    for first, counts in ((0, training.kinds), (VALID, [max(5, count // 4) for count in training.kinds])):
        images, labels = pictures.tensors(counts, seed, first)
        if training.look_alike:
            last = labels == len(counts) - 1
            images[last] = pictures.tensors([0] * (len(counts) - 2) + [int(last.sum())], seed, first + VALID // 2)[0]
        if training.normalised:
            images = (images - MEAN) / STD
        if not training.true_labels:
            labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
        sets.append((images, labels))
    if training.broken_pixel:
        sets[0][0][0, 0, 0, 0] = torch.nan
    return sets[0], sets[1]
