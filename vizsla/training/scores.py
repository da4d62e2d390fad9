"""A network and labelled photos to scores: loss, accuracy with its interval, per class, confusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from vizsla.training.check import CheckedPhoto
from vizsla.training.data import Split
from vizsla.training.learner import Learner

BATCH = 128  # larger than in training: nothing is kept for a backward pass
FORWARD = 32  # photos in the network at once: as fast as more of them, and a quarter of the memory
Z_95 = 1.959964  # the normal distribution's 97.5 % point


@dataclass(frozen=True)
class Scores:
    """What a network makes of a split. Tensors are on the CPU, in the order of `photos`."""

    photos: tuple[CheckedPhoto, ...]
    labels_N: torch.Tensor
    probabilities_NC: torch.Tensor
    loss: float
    """Mean cross entropy in nats, without label smoothing."""

    @property
    def predicted_N(self) -> torch.Tensor:
        return self.probabilities_NC.argmax(dim=1)

    @property
    def correct(self) -> int:
        return int((self.predicted_N == self.labels_N).sum())

    @property
    def accuracy(self) -> float:
        """Top-1, 0 to 1."""
        return self.correct / len(self.photos)


def evaluate(
    learner: Learner,
    photos: Split,
    batch_size: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Scores:
    """Scores of a learner, in eval mode, on `photos`. `progress(done, total)` is called after every batch."""
    learner.eval_mode()
    seen: list[CheckedPhoto] = []
    labels, probabilities, loss_sum = [], [], 0.0
    with torch.inference_mode():
        for batch in photos.in_order(batch_size):
            logits_BC = torch.cat([learner(replace(batch, x=part)) for part in torch.split(batch.x, FORWARD)])
            loss_sum += float(cross_entropy(logits_BC, batch.y_B, reduction="sum"))
            probabilities.append(logits_BC.softmax(dim=1))
            labels.append(batch.y_B)
            seen += batch.photos
            progress(len(seen), len(photos))
    # Cloned: a tensor made under inference mode could not be used in an ordinary computation later.
    return Scores(tuple(seen), torch.cat(labels), torch.cat(probabilities).clone(), loss_sum / len(seen))


def wilson(correct: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): inside 0..1, and right for few photos too."""
    share = correct / total
    centre = share + Z_95**2 / (2 * total)
    margin = Z_95 * math.sqrt(share * (1 - share) / total + Z_95**2 / (4 * total**2))
    scale = 1 + Z_95**2 / total
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)


def report(scores: Scores, classes: Sequence[str], split: str) -> dict[str, Any]:
    """evaluation.json: everything that can be said about one split."""
    low, high = wilson(scores.correct, len(scores.photos))
    confusion = _confusion(scores, len(classes))
    return {
        "split": split,
        "images": len(scores.photos),
        "loss": scores.loss,
        "accuracy": scores.accuracy,
        "accuracy_95": [low, high],
        "classes": list(classes),
        "per_class": [_class_row(name, index, confusion) for index, name in enumerate(classes)],
        "confusion": confusion,
        "predictions": _predictions(scores, classes),
    }


def _confusion(scores: Scores, num_classes: int) -> list[list[int]]:
    """Rows are what the photos show, columns what was answered."""
    counts = torch.bincount(scores.labels_N * num_classes + scores.predicted_N, minlength=num_classes**2)
    return [[int(count) for count in row] for row in counts.reshape(num_classes, num_classes)]


def _class_row(name: str, index: int, confusion: list[list[int]]) -> dict[str, Any]:
    right, shown = confusion[index][index], sum(confusion[index])
    answered = sum(row[index] for row in confusion)
    return {
        "label": name,
        "images": shown,
        "accuracy": right / shown if shown else None,
        "precision": right / answered if answered else None,
    }


def _predictions(scores: Scores, classes: Sequence[str]) -> list[dict[str, Any]]:
    confidence_N, predicted_N = scores.probabilities_NC.max(dim=1)
    rows = zip(scores.photos, predicted_N.tolist(), confidence_N.tolist(), strict=True)
    return [
        {"file": photo.file, "label": photo.label, "predicted": classes[index], "confidence": round(100 * share, 4)}
        for photo, index, share in rows
    ]
