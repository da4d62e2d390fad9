"""Losses to epochs: training and validation take turns, and a turn of each makes a pair.

The built-in classifier says itself which epoch a loss is of; what a script or `vizsla.debugger.watch` records is put
together by the order it comes in, so the same rules hold for both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from vizsla.analysis.rules.reading import EPOCH_LOSSES, Loss
from vizsla.records import Record

KINDS = ("metric", "tensor")  # a script's metrics and its saved tensors are never mixed


class Pair(NamedTuple):
    """What a turn came to."""

    train: float
    valid: float
    at: Record
    """The last validation loss of the turn."""
    train_step: int
    """The last training step before it."""


class Turns:
    """Losses of one kind to pairs: the means of the training losses and of the validation losses that follow them."""

    def __init__(self) -> None:
        self._train: list[float] = []
        self._epoch_train: float | None = None
        self._valid: list[float] = []
        self._last: Record | None = None
        self._train_step = 0
        self.seen: set[str] = set()

    def add(self, record: Record, one: Loss) -> Iterator[Pair]:
        self.seen.add(one.mode)
        if one.mode == "train":
            yield from self.close()
            self._train_step = record.step if record.step is not None else self._train_step + 1
            if record.name in EPOCH_LOSSES:
                self._epoch_train = one.value
            else:
                self._train.append(one.value)
        elif one.mode == "eval":
            self._valid.append(one.value)
            self._last = record
            if record.kind == "metric":  # a mean over the whole validation already
                yield from self.close()

    def close(self) -> Iterator[Pair]:
        """The pair of the turn that ends here, if it is one."""
        if self._last is None or not (self._train or self._epoch_train is not None):
            return
        train = self._epoch_train if self._epoch_train is not None else _mean(self._train)
        pair = Pair(train, _mean(self._valid), self._last, self._train_step)
        self._train, self._epoch_train, self._valid, self._last = [], None, [], None
        yield pair


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan
