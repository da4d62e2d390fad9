"""Records to curves: what a metric was after each epoch, or at each step. The first thing a report works out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from vizsla.analysis.rules.reading import loss
from vizsla.records import PROBE, Record

# What the built-in classifier measures: its word in a document, and the name and mode of its records.
_EPOCHS = {"train_loss": "epoch_train_loss", "valid_loss": "valid_loss", "valid_accuracy": "valid_accuracy"}
_STEPS = {"train_loss": "train_loss", "lr": "lr"}


class Point(NamedTuple):
    """One value of a curve; `at` is an epoch (from 1) or a step (from 0)."""

    at: int
    value: float
    """May be infinite or not a number: a training that diverges is worth seeing."""


Curve = tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Extra:
    """A metric of a script: one that vizsla does not know, or that says no epoch or step. Or a loss that was saved."""

    by: Literal["epoch", "step", "value"]
    """What its points are counted by; "value" where the records say neither, and they are numbered from 1."""
    curve: Curve


@dataclass(frozen=True, slots=True)
class Series:
    """The curves of one job; what was not measured is empty."""

    epochs: Mapping[str, Curve]
    """By epoch: train_loss, valid_loss, valid_accuracy. Epoch 0 is the probe, if one was measured before the first."""
    steps: Mapping[str, Curve]
    """By training step: train_loss, lr."""
    extras: Mapping[str, Extra] = field(default_factory=dict)
    planned_epochs: int | None = None
    """How many epochs the last attempt set out to do."""

    @property
    def finished_epochs(self) -> int:
        """Epochs that were measured on the valid photos."""
        return sum(point.at > 0 for point in self.epochs["valid_loss"])


def read(records: Iterable[Record]) -> Series:
    """The curves in the records of a job, as `records.read` gives them."""
    named: dict[str, list[Record]] = defaultdict(list)
    saved: dict[str, list[Record]] = defaultdict(list)
    planned, probe = None, dict[str, float]()
    for record in records:
        if record.kind == "metric" and _number(record.value) is not None:
            named[record.name].append(record)
        elif record.kind == "tensor" and (found := loss(record)):
            saved[f"{record.name} ({found.mode})"].append(replace(record, value=found.value))
        elif record.kind == "attempt" and isinstance(record.value, Mapping):
            planned = record.value.get("epochs", planned)
            if record.name == PROBE:
                probe = {name: value for name, each in record.value.items() if (value := _number(each)) is not None}
    epochs = {
        word: _from_probe(probe.get(name)) + _curve(named.get(name, ()), "epoch") for word, name in _EPOCHS.items()
    }
    steps = {word: _curve(named.get(name, ()), "step") for word, name in _STEPS.items()}
    placed = {_EPOCHS[word] for word, curve in epochs.items() if curve} | {
        _STEPS[word] for word in steps if steps[word]
    }
    others = {name: found for name, found in named.items() if name not in placed}
    if not steps["train_loss"]:  # the built-in classifier's debugger may save the losses that are there already
        others |= saved
    return Series(
        epochs=epochs,
        steps=steps,
        extras={name: _extra(found) for name, found in others.items()},
        planned_epochs=planned if isinstance(planned, int) else None,
    )


def kept_epoch(valid_loss: Curve, kept_loss: float | None) -> int | None:
    """The epoch whose weights are kept: the one with the valid loss that the bundle names.

    While there is no bundle (`kept_loss` is None) it is the one with the lowest valid loss so far. None if there is no
    such epoch, also where the records have lost it.
    """
    finite = [point for point in valid_loss if math.isfinite(point.value)]
    if kept_loss is not None:
        return next((point.at for point in finite if point.value == kept_loss), None)
    return min(finite, key=lambda point: (point.value, point.at)).at if finite else None


def thinned(curve: Curve, most: int) -> tuple[Curve, int]:
    """A curve of at most `most` points, each the mean of as many neighbours as is returned, and placed at the last."""
    size = max(1, math.ceil(len(curve) / most))
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return tuple(Point(group[-1].at, sum(point.value for point in group) / len(group)) for group in groups), size


def _from_probe(value: float | None) -> Curve:
    return () if value is None else (Point(0, value),)


def _curve(found: Sequence[Record], field_name: Literal["epoch", "step"]) -> Curve:
    """The points of records that say where they belong; of two for one place the later one counts."""
    points = {}
    for record in found:
        place = record.epoch if field_name == "epoch" else record.step
        value = _number(record.value)
        if place is not None and value is not None:
            points[place] = value
    return tuple(Point(place, points[place]) for place in sorted(points))


def _extra(found: Sequence[Record]) -> Extra:
    """By epoch where each has one of its own, else by step, else numbered."""
    if len({record.epoch for record in found} - {None}) == len(found):
        return Extra("epoch", _curve(found, "epoch"))
    if len({record.step for record in found} - {None}) == len(found):
        return Extra("step", _curve(found, "step"))
    values = (_number(record.value) for record in found)
    return Extra("value", tuple(Point(place, value) for place, value in enumerate(values, 1) if value is not None))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
