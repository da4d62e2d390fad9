"""Which statistics are kept of a tensor, by what it is: the words and keys that vizsla's rules know."""

from __future__ import annotations

from typing import Any

import torch

from vizsla.observers import activations, tensors
from vizsla.observers.tensors import Numbers
from vizsla.records import LIST_LIMIT

from .collection import CollectionKeys, Named

LOSSES = CollectionKeys.LOSSES
_PAIRS = ("labels", "predictions")


def word(named: Named, saved_by: list[str]) -> str:
    """The collection that its record names: vizsla's word where there is one, else the script's own."""
    match named.role:
        case "gradient":
            return "gradients"
        case "parameter":
            return "biases" if named.name.endswith("bias") else "weights"
        case role if role == "loss" or LOSSES in saved_by:
            return LOSSES
        case "input" | "output" if named.activation:
            return f"activation_{named.role}s"
        case "input" if named.is_root:
            return "inputs"
    pairs = [each for each in _PAIRS if each in saved_by or (named.role == "own" and named.name.endswith(each))]
    return (pairs or saved_by)[0]


def facts(named: Named, saved_by: list[str]) -> dict[str, Any]:
    """What is known of a tensor without looking into it. saved_by: the collections it is saved for, at least one."""
    collection = word(named, saved_by)
    is_loss = collection == LOSSES
    found: dict[str, Any] = {
        "collection": collection,
        "type": type(named.module).__name__ if is_loss and named.module is not None else named.activation,
        "saved_by": ",".join(saved_by),
        "dtype": str(named.tensor.dtype).removeprefix("torch."),
        "shape": list(named.tensor.shape),
        "size": named.tensor.numel(),
    }
    if collection == "inputs":
        found["samples"] = named.tensor.shape[0] if named.tensor.dim() else 1
    return found


def is_scalar(named: Named, collection: str) -> bool:
    """Whether its record holds the value itself."""
    return collection == LOSSES and named.tensor.numel() == 1


def of(named: Named, collection: str) -> list[Numbers]:
    """The numbers of its record; more than one where a batch has too many labels for a line."""
    tensor = named.tensor.detach()
    if is_scalar(named, collection):
        return [{"value": tensor.reshape(()).clone()}]
    if collection in _PAIRS and (indices := _indices(tensor)) is not None:
        return [{"indices": part} for part in torch.split(indices, LIST_LIMIT)]
    return [_measured(named, tensor, collection)]


def _measured(named: Named, tensor: torch.Tensor, collection: str) -> Numbers:
    match collection:
        case "weights" | "biases" | "gradients":
            return tensors.moments(tensor) | tensors.percentiles(tensor)
        case "activation_inputs" if named.module is not None:
            return activations.of_inputs(named.module)(tensor)
        case "activation_outputs" if named.module is not None:
            return activations.of_outputs(named.module)(tensor)
        case "inputs":
            return tensors.moments(tensor) | tensors.channels(tensor)
        case _ if collection == LOSSES:
            return tensors.moments(tensor) | {"value": tensor.float().mean()}
    return tensors.moments(tensor)


def _indices(tensor: torch.Tensor) -> torch.Tensor | None:
    """The class of each photo: labels as they are, of rows of scores the highest. None if it is neither."""
    if tensor.dim() == 2 and tensor.shape[1] > 1:
        return tensor.argmax(dim=1)
    whole = not tensor.is_floating_point() and not tensor.is_complex()
    return tensor.flatten().long() if whole and tensor.dim() in (1, 2) else None
