"""What the loop tells those who watch it. An event carries what happened, never the loop itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whoever watches another loop than ours needs no photos, so nothing that decodes them
    import torch
    from torch import nn

    from vizsla.training.clock import Phase
    from vizsla.training.scores import Scores


@dataclass(frozen=True, slots=True)
class Started:
    """Training begins, or goes on from a checkpoint."""

    epochs: int
    steps_per_epoch: int
    images: int
    """Training photos in an epoch."""
    from_epoch: int
    """Epochs that a checkpoint had finished; 0 for a fresh start."""
    from_global_step: int
    """Steps, training and evaluation together, that the checkpoint had done."""
    from_step: int
    """Training steps that the checkpoint had done."""
    net: nn.Module = field(compare=False, repr=False)
    """To be looked at, never to be changed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step is done."""

    epoch: int
    """Counts from 1, as people do."""
    step: int
    """Counts training steps over the whole run, from 0."""
    global_step: int
    """Counts training and evaluation steps together, from 0."""
    step_in_epoch: int
    loss: float
    lr: float
    images: int
    labels_B: torch.Tensor = field(compare=False, repr=False)
    logits_BC: torch.Tensor = field(compare=False, repr=False)
    """What the network answered before this step's update; without its history."""
    phases: tuple[Phase, ...] = field(default=(), compare=False, repr=False)
    """How the time since the last event was spent."""


@dataclass(frozen=True, slots=True)
class Probed:
    """Before the first epoch: the head that was fitted on frozen features is measured on the valid photos."""

    train_loss: float
    valid: Scores
    phases: tuple[Phase, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """An epoch is trained and measured on the valid photos."""

    epoch: int
    step: int
    global_step: int
    train_loss: float
    """Mean over the epoch's training photos, as they were trained on (dropout, flips and label smoothing included)."""
    valid: Scores
    kept: bool
    """Whether its weights are the best so far."""
    phases: tuple[Phase, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """Training is over; the weights of `epoch` are kept, the probe's where that is 0."""

    epochs: int
    epoch: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float
    phases: tuple[Phase, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Stop:
    """An observer asks the loop to end. `reason` is for a person."""

    reason: str


Event = Started | Probed | Step | EpochEnd | Finished
See = Callable[[Event], Stop | None]
