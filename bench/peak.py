"""How much of this machine's own peak the frozen pass and the training of the tail reach, and what keeps them below it.

The peak is measured: a product of large matrices in torch. So is the memory's: a copy that no cache holds. A layer that
does fewer operations for a byte than the ratio of the two waits for memory, however well it computes (the roofline of
Williams et al. 2009).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.counting import Counted, count
from bench.report import Section, percent
from vizsla.job import RunSettings
from vizsla.training import engines, execution
from vizsla.vision import networks
from vizsla.vision.halves import Extractor, Halves, halve

NETWORKS = {"efficientnet_lite0": "pretrained", "resnet18": "none"}  # what is at hand without a download
SIDE = 4096  # of the matrices
COPIED = 256 * 2**20  # bytes, many times what caches hold
BATCH = 64
MOMENT_S = 5.0
TRAINED = 3  # operations of a step over those of its forward pass: gradients of inputs and of weights take one each
NEAR = 0.6  # of a bound: then that is what bounds
Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Machine:
    """What was measured of it, a second."""

    operations: float
    bytes: float


@dataclass(frozen=True)
class Part:
    """One part of the work: what a photo needs, and how many were done a second."""

    name: str
    counted: Counted
    passes: int
    photos_per_s: float

    @property
    def operations(self) -> float:
        return 2 * self.counted.multiply_adds * self.passes * self.photos_per_s

    def share(self, machine: Machine) -> float:
        """Of the peak, what was reached."""
        return self.operations / machine.operations

    def bound(self, machine: Machine) -> float:
        """Of the peak, what memory allows."""
        return self.counted.bound(machine.operations, machine.bytes)


def measure() -> Section:
    """float32 throughout, all cores."""
    how = execution.choose(RunSettings(memory_format="channels_last"), None)
    machine = Machine(2 * SIDE**3 * per_s(_product()), 2 * COPIED * per_s(_copy()))
    parts = [part for name, weights in NETWORKS.items() for part in _parts(name, weights, how)]
    text = (
        f"float32, batch {BATCH}, {how.threads} threads. Measured here: a product of matrices of {SIDE:,} by {SIDE:,} "
        f"in torch, {machine.operations / 1e9:.0f} GFLOP/s, and a copy, {machine.bytes / 1e9:.1f} GB/s. Operations are "
        f"two a multiply-add of convolutions and linear layers, a training step counted as {TRAINED} forward passes; "
        "what memory allows is by the activations that these layers read and write, layer by layer. Frozen pass: the "
        "photos are decoded already. " + " ".join(_bounds(part, machine) for part in parts)
    )
    header = ("part", "photos a second", "GFLOP/s", "share of the matrix peak", "memory allows")
    return Section("Share of the matrix peak", text, header, [_row(part, machine) for part in parts])


def per_s(once: Callable[[], object]) -> float:
    """How often a second, the fastest time in a moment: other work on the machine only ever slows it."""
    once()
    began, fastest = time.perf_counter(), float("inf")
    while time.perf_counter() - began < MOMENT_S:
        before = time.perf_counter()
        once()
        fastest = min(fastest, time.perf_counter() - before)
    return 1 / fastest


def _product() -> Callable[[], object]:
    one, other, out = (torch.rand(SIDE, SIDE) for _ in range(3))
    return lambda: torch.mm(one, other, out=out)


def _copy() -> Callable[[], object]:
    source, target = (torch.rand(COPIED // 4) for _ in range(2))
    return lambda: target.copy_(source)


def _parts(name: str, weights: str, how: execution.Execution) -> list[Part]:
    """The frozen part in both engines, and the tail."""
    torch.manual_seed(0)
    net = networks.build(name, 10, 0.2, weights).to(memory_format=how.layout)
    photos = torch.rand(BATCH, 3, 224, 224).contiguous(memory_format=how.layout)
    frozen = networks.freeze(net, "last")
    halves = halve(net, frozen, photos[:2])
    halves.eval_mode()
    body, found = count(halves.body, photos[:2]), []
    extractor, pixels = Extractor(halves, ("cut",)), photos.contiguous().numpy()
    with tempfile.TemporaryDirectory() as place:
        for engine in (engines.torch_engine(extractor, how), engines.onnx_engine(extractor, how, Path(place))):
            speed = BATCH * per_s(partial(engine, pixels))
            found.append(Part(f"{name}, frozen pass in {engine.name}", body, 1, speed))
    with torch.no_grad():
        features = halves.body(photos)
    tail = count(halves.tail, features[:2])
    halves.train_mode(frozen, keep_statistics=True)
    step = _step(halves, features)
    return [*found, Part(f"{name}, training of the tail", tail, TRAINED, BATCH * per_s(step))]


def _step(halves: Halves, features: Tensor) -> Callable[[], object]:
    labels = torch.arange(BATCH) % 10
    optimizer = torch.optim.AdamW(networks.trainable(halves.whole))

    def step() -> None:
        loss = nn.functional.cross_entropy(halves.tail(features), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _row(part: Part, machine: Machine) -> Row:
    return (
        part.name,
        f"{part.photos_per_s:.0f}",
        f"{part.operations / 1e9:.0f}",
        percent(part.share(machine)),
        percent(part.bound(machine)),
    )


def _bounds(part: Part, machine: Machine) -> str:
    """What bounds a part, in a sentence."""
    share, bound = part.share(machine), part.bound(machine)
    if share >= NEAR * bound and bound < NEAR:
        what = f"memory bounds it, which allows {percent(bound)} of the peak"
    elif share >= NEAR:
        what = f"arithmetic bounds it: it reaches {percent(share)} of what one large product does"
    else:
        thin = f", {percent(part.counted.depthwise)} of it depthwise" if part.counted.depthwise else ""
        what = (
            f"neither arithmetic nor memory, which would allow {percent(bound)}, so what is left is work in pieces too "
            f"small to fill the units{thin}, and all that is between the layers"
        )
    return f"{part.name[0].upper()}{part.name[1:]}: {what}."
