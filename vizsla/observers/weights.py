"""Weights before their step, and how far they moved since they were last saved."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from vizsla.observers import tensors
from vizsla.observers.tensors import Known, Numbers
from vizsla.observers.visit import Label, Visit


class Weights:
    """Remembers the trained weights of the last saved step; those that are frozen are looked at once."""

    def __init__(self) -> None:
        self._before: dict[str, torch.Tensor] = {}
        self._step = 0
        self._frozen: set[str] = set()

    def see(self, visit: Visit, model: nn.Module, step: int) -> None:
        """Shows `visit` the parameters of `model` as they are now, before the update of training step `step`."""
        root = type(model).__name__
        for name, parameter in model.named_parameters():
            if is_lazy(parameter) or (not parameter.requires_grad and name in self._frozen):
                continue
            kind = "biases" if name.rpartition(".")[2].endswith("bias") else "weights"
            label = Label(f"{root}_{name}", kind)
            before = self._before.get(name)
            known: dict[str, Known] = {} if before is None else {"previous_step": self._step}
            visit.see(label, parameter, lambda now, before=before: _numbers(now, before), known)  # type: ignore[misc]
            self._remember(name, parameter)
        self._step = step

    def _remember(self, name: str, parameter: nn.Parameter) -> None:
        if not parameter.requires_grad:
            self._frozen.add(name)
        elif name in self._before:
            self._before[name].copy_(parameter.detach())
        else:
            self._before[name] = parameter.detach().clone()


def _numbers(now: torch.Tensor, before: torch.Tensor | None) -> Numbers:
    numbers = tensors.moments(now) | tensors.percentiles(now)
    return numbers if before is None else numbers | tensors.change(before, now)
