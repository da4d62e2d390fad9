"""A network as the loop trains it: whole, or only its tail, on what the frozen part has made of the photos.

Who calls it hands over a batch and gets logits, wherever the batch begins. The frozen part cannot change, so the whole
network is run only where nothing is cut off, or where somebody wants to see all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vizsla.training.data import Batch
from vizsla.training.engines import Engine
from vizsla.vision import networks
from vizsla.vision.halves import Halves
from vizsla.vision.networks import Frozen


@dataclass(frozen=True)
class Learner:
    """`halves` is None where nothing is frozen, or the network cannot be cut: then the whole network is run."""

    whole: nn.Module
    tail: nn.Module
    """What is trained. It has the names, parameters and hooks of the whole network, or is all of it."""
    frozen: Frozen
    halves: Halves | None = None
    engine: Engine | None = None
    """Makes of photos what the tail begins with; None where batches are features already."""
    begins_with: str = ""
    """The output of the frozen part that the tail takes."""
    bfloat16: bool = False
    head_begun: bool = False
    """Whether the head begins with a probe: then it is as nearly right as the stages before it."""

    @classmethod
    def of(cls, net: nn.Module) -> Learner:
        """One that is not cut, with nothing frozen: to be asked, or trained as a whole."""
        return cls(net, net, Frozen("all", (), ()))

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Logits (batch, classes), float32."""
        with self._precision():
            if batch.are_features:
                logits_BC: torch.Tensor = self.tail(batch.x)
            elif self.engine:
                logits_BC = self.tail(_features(self.engine, batch.x))
            else:
                logits_BC = self.whole(batch.x)
        return logits_BC.float()

    def train_mode(self, keep_statistics: bool) -> None:
        """As networks.set_train_mode, for the tail too."""
        if self.halves:
            self.halves.train_mode(self.frozen, keep_statistics)
        else:
            networks.set_train_mode(self.whole, self.frozen, keep_statistics)

    def eval_mode(self) -> None:
        """As nn.Module.eval, for the tail too."""
        if self.halves:
            self.halves.eval_mode()
        else:
            self.whole.eval()

    def look(self, batch: Batch) -> None:
        """Runs the whole network on the photos behind a batch, for whoever has hooks in it; nothing changes by that."""
        if batch.look_BCHW is None or self.halves is None:
            return
        with _unchanged(self.tail), torch.random.fork_rng(devices=[]), self._precision():
            self.whole(batch.look_BCHW)

    def _precision(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16)


def _features(engine: Engine, x_BCHW: torch.Tensor) -> torch.Tensor:
    found = engine(x_BCHW.contiguous().numpy())[0]
    return (
        torch.from_numpy(found.view("int16")).view(torch.bfloat16)
        if found.dtype == "uint16"
        else torch.from_numpy(found)
    )


@contextmanager
def _unchanged(net: nn.Module) -> Iterator[None]:
    """Puts back what a forward pass in training mode has counted: the statistics of batch norms."""
    before = {name: value.clone() for name, value in net.named_buffers()}
    yield
    with torch.no_grad():
        for name, value in net.named_buffers():
            value.copy_(before[name])
