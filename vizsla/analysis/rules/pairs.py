"""Labels and the predictions that belong to them, out of records that come one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vizsla.analysis.rules.reading import numbers
from vizsla.records import Record

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class Pairs:
    """Pairs (label, prediction) of each photo: records of the same mode and step belong together, in their order.

    Of an earlier step what has found no partner is dropped: it will not come any more.
    """

    def __init__(self) -> None:
        self._moment: tuple[str | None, int | None] | None = None
        self._waiting: dict[bool, deque[int]] = {True: deque(), False: deque()}  # is_label → indices without partner

    def add(self, record: Record, is_label: bool, classes: Sequence[int]) -> list[tuple[int, int]]:
        """The pairs that `classes` completes."""
        if self._moment != (record.mode, record.step):
            self._moment = record.mode, record.step
            for side in self._waiting.values():
                side.clear()
        self._waiting[is_label].extend(classes)
        labels, predictions = self._waiting[True], self._waiting[False]
        return [(labels.popleft(), predictions.popleft()) for _ in range(min(len(labels), len(predictions)))]


def indices(record: Record, load: Callable[[Record], Array | None] | None, argmax: bool) -> list[int] | None:
    """The class of each photo in a record, None where its values were not saved.

    argmax: whether raw values are a number for each class, in the last dimension. Raises ValueError for values that
    are no class indices.
    """
    found = numbers(record, "indices")
    if found is not None:
        return [int(index) for index in found]
    values = load(record) if load and record.file else None
    if values is None:
        return None
    if argmax and values.ndim > 1:
        values = values.argmax(axis=-1)
    flat = values.reshape(-1)
    if (flat != flat.astype(int)).any():
        raise ValueError(f"{record.name} holds no class indices; argmax=True takes the largest of each photo's numbers")
    return [int(index) for index in flat]
