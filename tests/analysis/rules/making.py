"""Records by hand, and the verdict of a rule on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vizsla.analysis.rules import Context, Evaluation, evaluate, parse
from vizsla.records import Record

PLAN = {
    "lr": 0.01,
    "train_from": "last",
    "dropout": 0.2,
    "weight_decay": 0.01,
    "epochs": 8,
    "weights": "pretrained",
    "batch_size": 16,
    "image.size": 224,
}


def judge(rule: str, records: Iterable[Record], context: Context | None = None, **given: Any) -> Evaluation:
    """A rule, written as a user does, on the records of a job that has ended."""
    return evaluate(parse(rule), records, True, context, **given)


def tensor(name: str, step: int, group: str, mode: Any = "train", **value: Any) -> Record:
    """A tensor record, of training by default; `file` and `kind_of` (the module's type) are no statistics."""
    file, kind_of = value.pop("file", None), value.pop("kind_of", "")
    shown = {"collection": group, "type": kind_of, **value}
    return Record(float(step), "tensor", name, mode, step, value=shown, file=file)


def metric(name: str, value: float, mode: str = "train", step: int | None = None, epoch: int | None = None) -> Record:
    """A metric record, a second a step."""
    return Record(float(step or 0), "metric", name, mode, step, epoch=epoch, value=value)


def saved_losses(values: Sequence[float], mode: str = "train", every: int = 1) -> list[Record]:
    """Losses as a hook saves them."""
    name = "CrossEntropyLoss_output_0"
    return [tensor(name, every * at, "losses", mode, value=value) for at, value in enumerate(values)]


def epochs(train: Sequence[float], valid: Sequence[float], first: float = 0.693) -> list[Record]:
    """The losses of the built-in classifier: a step's, the epoch's and the validation's, epoch by epoch."""
    found = []
    for at, (train_loss, valid_loss) in enumerate(zip(train, valid, strict=True)):
        found += [
            metric("train_loss", train_loss if at else first, step=at, epoch=at + 1),
            metric("epoch_train_loss", train_loss, step=at, epoch=at + 1),
            metric("valid_loss", valid_loss, "eval", at, at + 1),
            metric("valid_accuracy", 0.5, "eval", at, at + 1),
        ]
    return found


def labelled(
    labels: Sequence[int], predictions: Sequence[int] | None = None, step: int = 0, mode: str = "eval"
) -> list[Record]:
    """What photos showed, and what was answered."""
    found = [tensor("labels", step, "labels", mode, indices=list(labels))]
    if predictions is not None:
        found.append(tensor("predictions", step, "predictions", mode, indices=list(predictions)))
    return found
