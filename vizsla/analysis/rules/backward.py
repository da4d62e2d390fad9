"""The gradients of one step, put together while its records come in: a step can be judged when all of it is known."""

from __future__ import annotations

import math
from typing import NamedTuple

from vizsla.analysis.rules.base import Context
from vizsla.analysis.rules.frozen import starts_at_zero
from vizsla.analysis.rules.reading import collection, number
from vizsla.records import Record

PREFIX = "gradient/"  # before the parameter's name


class Gradient(NamedTuple):
    """A gradient of a step that is complete."""

    record: Record
    size: float
    """The mean of its absolute values."""
    is_blocked: bool
    """Exactly zero, in a step in which a layer that starts at zero learns: nothing passes such a layer until it has
    moved. The head of vizsla's classifier starts so, which is known of it also where its weights are not recorded, and
    the last scale of each block of a residual network."""


class BackwardPass:
    """Takes tensor records of one step; the weights among them tell which layers are all zero."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._moment: tuple[str | None, int | None] | None = None
        self._gradients: list[tuple[Record, float]] = []
        self._zero: set[str] = set()

    def ends_before(self, record: Record) -> bool:
        """Whether `record` belongs to another step."""
        return (record.mode, record.step) != self._moment

    def add(self, record: Record) -> None:
        """Takes a record of the step, or the first one of a step."""
        self._moment = record.mode, record.step
        group = collection(record)
        if group == "weights" and number(record, "zeros") == 1:
            self._zero.add(PREFIX + record.name)
        size = number(record, "abs_mean") if group == "gradients" else None
        if size is not None and not math.isnan(size):  # where no value is finite, ExplodingTensor is asked
            self._gradients.append((record, size))

    def take(self) -> list[Gradient]:
        """The gradients of the step, which is over."""
        found, zero = self._gradients, self._zero
        self._gradients, self._zero = [], set()
        blocked = any(size > 0 and record.name in zero for record, size in found)
        return [
            Gradient(record, size, size == 0 and (blocked or starts_at_zero(record, self._context)))
            for record, size in found
        ]
