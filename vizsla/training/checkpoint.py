"""Where a training stands after an epoch, in one file that is replaced whole: weights, optimizer, schedule, RNG, best.

A half epoch is never saved. The file is read with weights_only, so it can hold tensors and plain values and nothing
that runs.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vizsla.errors import UserError
from vizsla.files import write_atomic

FILE = "last.pt"
# What torch and pickle raise for bytes that are no checkpoint.
_UNREADABLE = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


@dataclass
class Progress:
    """How far a training is. `global_step` counts training and evaluation steps together."""

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    epochs_without_gain: int = 0


@dataclass
class Best:
    """The weights that are kept: those of the epoch with the lowest valid loss; epoch 0 is the probe."""

    epoch: int = 0
    train_loss: float = float("inf")
    valid_loss: float = float("inf")
    valid_accuracy: float = 0.0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def keep(self, net: nn.Module, epoch: int, train_loss: float, valid: tuple[float, float]) -> bool:
        """Keeps the weights if valid = (loss, accuracy) has a lower loss than any before, or is the first."""
        loss, accuracy = valid
        if self.weights and not loss < self.valid_loss and not math.isnan(self.valid_loss):
            return False
        self.epoch, self.train_loss, self.valid_loss, self.valid_accuracy = epoch, train_loss, loss, accuracy
        self.weights = {name: value.detach().clone() for name, value in net.state_dict().items()}
        return True


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint of one job. `plan` and `data` say what it belongs to; another one's is refused."""

    folder: Path
    plan: str
    data: str

    def save(self, progress: Progress, best: Best, parts: Parts) -> None:
        """Raises VizslaError if the disk is full; the checkpoint before is then still whole."""
        buffer = io.BytesIO()
        states = {
            "net": parts.net.state_dict(),
            "optim": parts.optim.state_dict(),
            "schedule": parts.schedule.state_dict(),
        }
        torch.save(
            {
                "plan": self.plan,
                "data": self.data,
                "progress": asdict(progress),
                "best": vars(best),
                "rng": torch.get_rng_state(),
                **states,
            },
            buffer,
        )
        write_atomic(self.folder / FILE, buffer.getvalue())

    def restore(self, parts: Parts) -> tuple[Progress, Best]:
        """Puts everything back as it was after the last finished epoch; a fresh start if there is no checkpoint."""
        try:
            raw = torch.load(self.folder / FILE, map_location="cpu", weights_only=True)
            belongs_to = raw["plan"], raw["data"]
        except FileNotFoundError:
            return Progress(), Best()
        except _UNREADABLE as error:
            raise UserError(f"{self.folder / FILE} cannot be read.", "Delete it to start over.") from error
        self._refuse_other(*belongs_to)
        parts.net.load_state_dict(raw["net"])
        parts.optim.load_state_dict(raw["optim"])
        parts.schedule.load_state_dict(raw["schedule"])
        torch.set_rng_state(raw["rng"])
        return Progress(**raw["progress"]), Best(**raw["best"])

    def _refuse_other(self, plan: str, data: str) -> None:
        if plan != self.plan:
            raise UserError("The checkpoint belongs to another plan.", "plan.json was changed by hand; train anew.")
        if data != self.data:
            raise UserError(
                "The photos are not the ones this training began with.", "Put them back as they were, or train anew."
            )


@dataclass(frozen=True)
class Parts:
    """What changes while training, and is saved."""

    net: nn.Module
    optim: Optimizer
    schedule: LRScheduler
