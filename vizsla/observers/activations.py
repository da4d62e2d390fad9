"""Which modules of a network the debugger looks at: activations, known by their type and not by their name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from vizsla.observers.tensors import Numbers, active, cumulative, moments

# timm has classes of its own for some, under torch's names or these.
_KINDS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.ReLU6, "ReLU6"),
    (nn.ReLU, "ReLU"),
    (nn.SiLU, "SiLU"),
    (nn.GELU, "GELU"),
    (nn.Tanh, "Tanh"),
    (nn.Sigmoid, "Sigmoid"),
)
_NAMES = frozenset({"SiLU", "Swish", "GELU", "GELUTanh", "QuickGELU", "Tanh", "Sigmoid"})
_RECTIFIED = frozenset({"ReLU", "ReLU6", "Hardtanh"})
_SATURATING = frozenset({"Tanh", "Sigmoid"})


def kind(module: nn.Module) -> str:
    """The class name of an activation, also of one that is derived from it; "" for any other module."""
    for known, name in _KINDS:
        if isinstance(module, known):
            return name
    if isinstance(module, nn.Hardtanh):
        return "Hardtanh" if module.min_val == 0 else ""
    name = type(module).__name__
    return name if name in _NAMES else ""


def watched(model: nn.Module, include: str = "") -> dict[str, nn.Module]:
    """The activations of `model` by path, and the modules whose path the regular expression `include` matches."""
    also = re.compile(include) if include else None
    return {path: module for path, module in model.named_modules() if kind(module) or (also and also.search(path))}


def of_inputs(module: nn.Module) -> Callable[[torch.Tensor], Numbers]:
    """How the inputs of `module` are measured: of what can saturate, with the shares of each channel."""
    if kind(module) in _SATURATING:
        return lambda tensor: moments(tensor) | cumulative(tensor)
    return moments


def of_outputs(module: nn.Module) -> Callable[[torch.Tensor], Numbers]:
    """How the outputs of `module` are measured: of what can die, with the share of each channel that is active."""
    if kind(module) in _RECTIFIED:
        return lambda tensor: moments(tensor) | active(tensor)
    return moments


def tensors_in(value: Any) -> list[torch.Tensor]:
    """All tensors in what a module takes or gives: a tensor, or tuples, lists and dicts of them, however deep."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        return tensors_in(list(value.values()))
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in tensors_in(part)]
    return []
