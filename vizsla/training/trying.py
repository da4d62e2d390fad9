"""A job's own photos and network as work to be measured, and the choice of an execution with it.

Between `apart.py`, which says where the network is cut, and the features: `measuring.py` asks, here it is done. Nothing
of it can be noticed later: the network is as it was before, and so are random numbers.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from vizsla.job import RunSettings
from vizsla.plan import Plan
from vizsla.training import crowd, engines, execution, measuring, optim
from vizsla.training.apart import Apart
from vizsla.training.data import labels
from vizsla.training.engines import Engine
from vizsla.training.execution import Execution, Subject
from vizsla.training.forecast import Speeds
from vizsla.training.measuring import Budget, Pass
from vizsla.training.prepare import Divided
from vizsla.training.views import AS_IT_IS, Views
from vizsla.vision import networks

PHOTOS = 8  # in a pass through the frozen part: few enough to try all engines in five seconds
STEP = 16  # at most in a training step
READ, SPEEDS_S = 96, 4.0  # photos read, and the time there is, to predict from what was chosen
FOR_VALID = 4  # every so many photos of those that precisions are compared by

Sample = tuple[np.ndarray, np.ndarray]
Fit = Callable[[Sample, Sample], float]
"""(features (N, D), labels (N,)) of train, the same of valid → the valid loss of a probe."""


def choose(given: RunSettings, file: Path | None, what: Apart, divided: Divided, plan: Plan, share: int) -> Execution:
    """How this machine does this job: as an earlier attempt did, as it is kept for this network, or as measured now.

    share: the cores that those have who train with it. Raises as `execution.choose`.
    """
    subject = Subject(plan.model, cut(what), plan.image.size, share)

    def measure(usual: Execution) -> Execution:
        with borrowed(what.whole), torch.random.fork_rng(devices=[]):
            load = crowd.Load()
            made = measuring.measure(usual, given, Tried(what, divided, plan, _probe(plan, len(divided.classes))))
        return load.judged(made, share)

    return execution.choose(given, file, subject, measure)


def speeds(chosen: Execution, what: Apart, divided: Divided, plan: Plan, start_s: float) -> Speeds:
    """How fast this job goes as it was chosen, with its own photos and batches; changes nothing.

    What was measured for the choice may be of other photos, of smaller batches, and of another day.
    """
    with borrowed(what.whole), torch.random.fork_rng(devices=[]):
        tried = Tried(what, divided, plan, _probe(plan, len(divided.classes)), engines.BATCH, plan.batch_size)
        budget = Budget(SPEEDS_S)
        read, _ = budget.timed(tried.read(chosen, READ))
        reread = read if what.loop else budget.timed(tried.read(chosen, READ, alone=True))[0]
        begun = time.perf_counter()
        if what.outputs:  # exported by now, so this is what the next one waits for
            engine_of(what, what.outputs, chosen)
        export_s = time.perf_counter() - begun
        step = tried.trained(chosen)
        trained = budget.rate(step)[0] if step else None
    return Speeds(read, trained, start_s, export_s, reread=reread)


def cut(what: Apart) -> str:
    """Where a network is cut, in a word."""
    halves = what.loop or what.head
    return halves.cut if halves and what.outputs else f"whole, from {what.frozen.train_from}"


@contextmanager
def borrowed(net: nn.Module) -> Iterator[None]:
    """Whatever happens to the network in here is undone: weights and how they lie in memory, statistics, modes."""
    tensors = [*net.parameters(), *net.buffers()]
    kept = [(tensor, tensor.data) for tensor in tensors]
    modes = [(module, module.training) for module in net.modules()]
    for tensor in tensors:
        if tensor.requires_grad or not isinstance(tensor, nn.Parameter):  # nobody writes into what is frozen
            tensor.data = tensor.data.clone()
    try:
        yield
    finally:
        for tensor, data in kept:
            tensor.data, tensor.grad = data, None
        for module, training in modes:
            module.training = training


@dataclass(frozen=True)
class Tried:
    """`measuring.Work` with the training photos and the network of a job."""

    what: Apart
    divided: Divided
    plan: Plan
    fit: Fit
    photos: int = PHOTOS
    step: int = STEP
    _engines: dict[tuple[object, ...], Engine] = field(default_factory=dict)

    def frozen(self, how: Execution) -> Pass | None:
        if not self.what.outputs:
            return None
        engine, photos_BCHW = self._engine(how, self.what.outputs), self.photos_BCHW

        def once() -> int:
            torch.set_num_threads(how.threads)
            engine(photos_BCHW)
            return len(photos_BCHW)

        return once

    def trained(self, how: Execution) -> Pass | None:
        if self.plan.method == "probe":
            return None
        whole, tail = self.what.whole, self.what.loop.tail if self.what.loop else self.what.whole
        lay_out(whole, how)
        networks.set_train_mode(whole, self.what.frozen, keep_statistics=optim.pretrained(self.plan))
        moved = torch.optim.AdamW(networks.trainable(whole), lr=0.0)
        x, y_B = self._batch(how)

        def once() -> int:
            torch.set_num_threads(how.threads)
            with torch.autocast("cpu", torch.bfloat16, enabled=how.precision == "bfloat16"):
                logits_BC = tail(x)
            loss = cross_entropy(logits_BC.float(), y_B)
            moved.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            moved.step()
            return len(y_B)

        return once

    def read(self, how: Execution, photos: int, alone: bool = False) -> Pass:
        """As in Work; `alone`: without the frozen part."""
        engine = self._engine(how, self.what.outputs) if self.what.outputs and not alone else None
        size = engine.batch if engine else self.photos
        split = self.divided.photos("train", how, self._views)
        looks = itertools.cycle(itertools.product(range(len(split)), self._views.numbers or (AS_IT_IS,)))
        wanted = list(itertools.islice(looks, max(1, photos // size) * size))  # whole batches: none is filled up

        def once() -> int:
            torch.set_num_threads(how.threads)
            arrays = (array for array in split.decoded(wanted) if array is not None)
            while part := list(itertools.islice(arrays, size)):
                stacked_BCHW = np.stack(part)
                if engine:
                    engine(stacked_BCHW)
            return len(wanted)

        return once

    def losses(self, how: Execution, other: Execution, photos: int) -> tuple[float, float] | None:
        if "pooled" not in self.what.outputs:
            return None
        draw = np.random.default_rng(self.plan.seed)
        split = self.divided.photos("train", other)
        places = draw.permutation(len(split))[:photos].tolist()
        found = [
            (place, array)
            for place, array in zip(places, split.decoded([(place, AS_IT_IS) for place in places]), strict=True)
            if array is not None
        ]
        y_N = labels([split.photos[place] for place, _ in found], split.classes).numpy()
        images_NCHW = np.stack([array for _, array in found])
        reduced, full = (self._probed(self._engine(way, ("pooled",)), images_NCHW, y_N) for way in (how, other))
        return reduced, full

    def _probed(self, engine: Engine, images_NCHW: np.ndarray, y_N: np.ndarray) -> float:
        (pooled_ND,) = engine(images_NCHW)
        if pooled_ND.dtype == np.uint16:  # the upper half of a float32
            pooled_ND = (pooled_ND.astype(np.uint32) << 16).view(np.float32)
        asked = np.arange(len(y_N)) % FOR_VALID == 0
        return self.fit((pooled_ND[~asked], y_N[~asked]), (pooled_ND[asked], y_N[asked]))

    def _engine(self, how: Execution, outputs: tuple[str, ...]) -> Engine:
        key = (how.engine, how.precision, how.memory_format, how.threads, outputs)
        if key not in self._engines:
            lay_out(self.what.whole, how)
            self._engines[key] = engine_of(self.what, outputs, how, self.photos)
        return self._engines[key]

    @property
    def _views(self) -> Views:
        return Views(self.plan.views, self.plan.flips, self.plan.seed)

    @cached_property
    def photos_BCHW(self) -> np.ndarray:
        split = self.divided.photos("train", execution.usual(RunSettings()))
        places = itertools.islice(itertools.cycle(range(len(split))), self.photos)
        return np.stack(
            [array for array in split.decoded([(place, AS_IT_IS) for place in places]) if array is not None]
        )

    def _batch(self, how: Execution) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch as the trained part gets it: photos, or numbers in the shape of features."""
        count = min(self.plan.batch_size, self.step)
        x = torch.from_numpy(self.photos_BCHW)
        if self.what.loop:
            x = torch.randn(count, *self.what.loop.body(x[:2]).shape[1:]).relu_()
        else:
            x = x.repeat(-(-count // len(x)), 1, 1, 1)[:count]
        if x.ndim == 4:
            x = x.contiguous(memory_format=how.layout)
        return x, torch.arange(count) % len(self.divided.classes)


def lay_out(net: nn.Module, how: Execution) -> None:
    """As net.to(memory_format=…), and the same tensors as before."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=how.layout)


def engine_of(what: Apart, outputs: tuple[str, ...], how: Execution, batch: int = engines.BATCH) -> Engine:
    """What runs the frozen part as an execution says. VizslaError where it cannot."""
    halves = what.loop or what.head
    if halves is None:
        raise ValueError("a network that cannot be cut has no frozen part to run alone")
    make = engines.onnx_engine if how.engine == "onnxruntime" else engines.torch_engine
    return make(what.extractor(outputs), how, batch=batch)


def _probe(plan: Plan, num_classes: int) -> Fit:
    def fit(train: Sample, valid: Sample) -> float:
        from vizsla.training import probe  # only where precisions are compared

        return float(probe.fit(train, valid, num_classes, plan.probe).valid_loss)

    return fit
