"""What a loss module is given and gives: class indices of a batch, and the loss of a whole evaluation."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from vizsla.observers.activations import tensors_in


class Answers(NamedTuple):
    """Class indices of a batch, int64, (batch,): as labelled, and as predicted."""

    labels_B: torch.Tensor
    predictions_B: torch.Tensor


def answers(logits_BC: object, labels_B: object) -> Answers | None:
    """Logits and labels as class indices; None where they are not those of a classifier (a number a class, a class)."""
    if not isinstance(logits_BC, torch.Tensor) or not isinstance(labels_B, torch.Tensor):
        return None
    if logits_BC.dim() != 2 or labels_B.dim() != 1 or labels_B.is_floating_point():
        return None
    return Answers(labels_B.detach(), logits_BC.detach().argmax(dim=1))


def given_to_loss(values: Any) -> Answers | None:
    """The answers among the arguments of a loss: logits first, labels after, as torch's own losses have them."""
    found = tensors_in(values)
    return answers(found[0], found[1]) if len(found) > 1 else None


class Evaluation:
    """One evaluation as it goes: the batches' losses and answers, where they lie."""

    def __init__(self) -> None:
        self._sum: float | torch.Tensor = 0.0
        self._count = 0
        self._answers: list[Answers] = []

    @property
    def begun(self) -> bool:
        return bool(self._count or self._answers)

    def add(self, loss: float | torch.Tensor | None, batch: Answers | None) -> None:
        """One more batch. A loss without answers counts as much as any other."""
        count = len(batch.labels_B) if batch else 1
        if batch:
            self._answers.append(batch)
        if loss is not None:
            self._sum = self._sum + mean(loss) * count
            self._count += count

    def loss(self) -> float | None:
        """The mean over what was evaluated; one transfer."""
        return float(self._sum) / self._count if self._count else None

    def answers(self) -> Answers | None:
        """Those of all batches."""
        if not self._answers:
            return None
        return Answers(*(torch.cat(parts) for parts in zip(*self._answers, strict=True)))


def mean(loss: float | torch.Tensor) -> float | torch.Tensor:
    """A loss as one number, where it lies; of a loss for each photo the mean."""
    return loss.detach().float().mean() if isinstance(loss, torch.Tensor) else loss
