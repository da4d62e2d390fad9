"""Layers of vizsla's classifier that are not trained: what is wrong with them is no fault of the training.

The debugger looks at the activations of a frozen layer once, at the first saved step, and never again; those of a
layer that is trained are recorded at each. So a layer is known to be trained from its second saved step in a row on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vizsla.analysis.rules.base import Context
from vizsla.analysis.rules.reading import collection
from vizsla.records import Record
from vizsla.words import count

STARTING = frozenset({"weights", "biases", "gradients"})


def starts_at_zero(record: Record, context: Context) -> bool:
    """Whether zeros are meant: the classifier's head starts with them, and no gradient passes it at the first step."""
    return (
        context.settings is not None and (record.mode, record.step) == ("train", 0) and collection(record) in STARTING
    )


class Trained:
    """Lets the activations of trained layers through, and holds those back of which it is not known yet.

    Where nothing is frozen, and of a script, whose settings are not known, it lets all of them through at once.
    """

    def __init__(self, settings: Mapping[str, Any] | None) -> None:
        self._all = settings is None or settings["train_from"] == "all"
        self._step: int | None = None
        self._now: set[str] = set()
        self._before: set[str] = set()  # what was recorded at the saved training step before
        self._trained: set[str] = set()
        self._held: dict[str, list[Record]] = {}

    def add(self, record: Record) -> list[Record]:
        """What can be judged now that `record` is known: it and what was held back of its layer, or nothing."""
        if self._all:
            return [record]
        if record.mode == "train":
            if record.step != self._step:
                self._step, self._before, self._now = record.step, self._now, set()
            self._now.add(record.name)
            if record.name in self._before:
                self._trained.add(record.name)
        if record.name not in self._trained:
            self._held.setdefault(record.name, []).append(record)
            return []
        return [*self._held.pop(record.name, ()), record]

    def left_out(self) -> str:
        """Which layers were never let through, as a sentence; "" for none."""
        if not self._held:
            return ""
        name = next(iter(self._held)).removesuffix("_output_0")
        others = f" and {count(len(self._held) - 1, 'other')}" if len(self._held) > 1 else ""
        return f"Left out as not trained, because recorded at no two saved steps: {name}{others}."
