"""What a record says to a rule: its collection, a statistic, whether it is a loss and of which mode."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vizsla.records import Record

# Metrics that are means over an epoch; every other metric of the built-in classifier is a step's.
EPOCH_LOSSES = frozenset({"epoch_train_loss", "valid_loss"})
_EVAL_WORDS = re.compile(r"valid|val(?![a-z])|eval|test", re.IGNORECASE)
_TRAIN_WORD = re.compile(r"train", re.IGNORECASE)


class Loss(NamedTuple):
    """One loss, and whose it is."""

    mode: str
    """train, eval, predict or global."""
    value: float


def collection(record: Record) -> str:
    """The collection of a tensor record, "" for what has none."""
    return _word(record, "collection")


def module_type(record: Record) -> str:
    """The class name of the activation or loss a tensor record belongs to, "" for none."""
    return _word(record, "type")


def number(record: Record, key: str) -> float | None:
    """A statistic of a tensor record, None where it was not taken.

    A metric, or a tensor that was saved as one number, is a tensor of one element.
    """
    if isinstance(record.value, Mapping):
        found = record.value.get(key)
        if found is not None or "value" not in record.value:
            return float(found) if isinstance(found, int | float) else None
    value = scalar(record)
    return None if value is None else _of_one(value, key)


def numbers(record: Record, key: str) -> Sequence[float] | None:
    """A statistic that has a number a channel (or a photo), None where it was not taken."""
    found = record.value.get(key) if isinstance(record.value, Mapping) else None
    return found if isinstance(found, list | tuple) else None


def scalar(record: Record) -> float | None:
    """The value of a metric or of a tensor that is one number; None for others."""
    value = record.value.get("value") if isinstance(record.value, Mapping) else record.value
    return float(value) if isinstance(value, int | float) else None


def loss(record: Record) -> Loss | None:
    """The loss that a record holds: of the collection `losses`, or a metric that has "loss" in its name.

    A metric out of a script's log has no mode; the words in its name (train; val, valid, eval, test) say it.
    """
    value = scalar(record)
    if value is None:
        return None
    if record.kind == "tensor":
        return Loss(record.mode or "global", value) if collection(record) == "losses" else None
    if record.kind == "metric" and "loss" in record.name.lower():
        return Loss(_mode_of_metric(record), value)
    return None


def place(record: Record) -> str:
    """Where a record belongs, for a person: "step 12", "epoch 3", "evaluation step 4"."""
    if record.epoch is not None and (record.step is None or record.name in EPOCH_LOSSES):
        return f"epoch {record.epoch}"
    if record.step is None:
        return "this point"
    words = {"eval": "evaluation step ", "predict": "prediction step "}
    return f"{words.get(record.mode or '', 'step ')}{record.step}"


def _word(record: Record, key: str) -> str:
    found = record.value.get(key) if isinstance(record.value, Mapping) else None
    return found if isinstance(found, str) else ""


def _mode_of_metric(record: Record) -> str:
    if record.mode in ("train", "eval", "predict"):
        return record.mode
    if _EVAL_WORDS.search(record.name):
        return "eval"
    return "train" if _TRAIN_WORD.search(record.name) else "global"


def _of_one(value: float, key: str) -> float | None:
    finite = math.isfinite(value)
    known = {
        "size": 1.0,
        "nan": float(math.isnan(value)),
        "inf": float(math.isinf(value)),
        "zeros": float(value == 0),
        "variance": 0.0 if finite else None,
        "mean": value if finite else None,
        "abs_mean": abs(value) if finite else None,
    }
    return known.get(key)
