"""One look into a model: from the beginning of one forward pass to the end of its step, then records.

The inspector decides when to look; this is what is looked at, and under which names (smdebug's, so that regular
expressions written for SageMaker match). What a tensor shows is worked out at once, because the next module may
overwrite it; the numbers stay where they are until `records`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vizsla.job import DebugSettings
from vizsla.observers import activations, tensors
from vizsla.observers.raw import RawFiles
from vizsla.observers.tensors import Gathering, Known, Numbers, Statistic
from vizsla.records import LIST_LIMIT, Record

Measure = Callable[[torch.Tensor], Numbers]

_SAMPLED = frozenset({"activation_inputs", "activation_outputs", "inputs"})
_INDICES = frozenset({"labels", "predictions"})


@dataclass(frozen=True, slots=True)
class Label:
    """What a tensor is called, what it is one of, and the class name of the activation or loss it belongs to."""

    name: str
    collection: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class At:
    """When a step was. step counts within its mode, from 0; epoch from 1."""

    step: int
    global_step: int | None = None
    epoch: int | None = None


class Visit:
    """What is seen of `model`. Nothing here changes it."""

    def __init__(self, model: nn.Module, settings: DebugSettings) -> None:
        self._root = type(model).__name__
        self._wanted = frozenset(settings.collections)
        self._keep = frozenset(settings.raw)
        self._gathering = Gathering[Label]()
        self._raw: dict[str, torch.Tensor] = {}
        self._calls: Counter[str] = Counter()
        self._has_gradients = self._has_answers = False
        self.still: set[nn.Module] = set()
        """Modules that no gradient flows through."""

    def see(
        self, label: Label, tensor: torch.Tensor, measure: Measure, known: Mapping[str, Known] | None = None
    ) -> None:
        """Keeps what `measure` says of `tensor`, if its collection is wanted; `known` goes with it."""
        if label.collection not in self._wanted:
            return
        part = tensors.sample(tensor) if label.collection in _SAMPLED else tensor
        about: dict[str, Known] = {"collection": label.collection, "type": label.type, **(known or {})}
        if label.collection not in _INDICES:
            about["size"] = tensor.numel()
        if part is not tensor:
            about["sampled"] = part.numel()
        self._gathering.add(label, measure(part), about)
        if label.collection in self._keep:
            self._raw[label.name] = tensor.detach().to("cpu", copy=True).contiguous()

    def inputs(self, values: Any) -> None:
        """What the model is given. A photo's channels are told apart."""
        for index, tensor in enumerate(activations.tensors_in(values)):
            label = Label(f"{self._root}_input_{index}", "inputs")
            known = {"samples": tensor.shape[0] if tensor.dim() else 1}
            self.see(label, tensor, _of_photos, known)

    def before(self, path: str, module: nn.Module, values: Any) -> None:
        """What a module is given, before it can overwrite it."""
        self._module(path, module, "input", values)

    def after(self, path: str, module: nn.Module, value: Any, differentiated: bool) -> None:
        """What a module gives, and whether the pass is one that gradients could flow back through."""
        self._module(path, module, "output", value)
        if differentiated and not any(tensor.requires_grad for tensor in activations.tensors_in(value)):
            self.still.add(module)

    def gradients(self, model: nn.Module) -> None:
        """The gradients as they are now, once: the first time that there are any."""
        if self._has_gradients:
            return
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                self._has_gradients = True
                self.see(Label(f"gradient/{self._root}_{name}", "gradients"), parameter.grad, _spread)

    def answers(self, labels: torch.Tensor, predictions: torch.Tensor) -> None:
        """Class indices of a batch, as labelled and as predicted: the first that there are."""
        if self._has_answers:
            return
        self._has_answers = True
        for name, indices in (("labels", labels), ("predictions", predictions)):
            self.see(Label(name, name), indices, lambda tensor: {"indices": tensor.detach()})

    def records(self, mode: str, at: At, raw: RawFiles | None) -> Iterator[Record]:
        """All that was seen, as records. The one moment at which numbers leave their device."""
        taken = self._gathering.take()
        file = raw.write(mode, at.step, self._raw) if raw and self._raw else None
        for label, value in taken:
            named = file if label.name in self._raw else None
            for part in _in_chunks(value):
                yield Record(time.time(), "tensor", label.name, mode, at.step, at.global_step, at.epoch, part, named)

    def _module(self, path: str, module: nn.Module, end: str, values: Any) -> None:
        kind = activations.kind(module) or type(module).__name__
        measure = activations.of_inputs(module) if end == "input" else activations.of_outputs(module)
        for tensor in activations.tensors_in(values):
            name = f"{path}_{end}"
            label = Label(f"{name}_{self._calls[name]}", f"activation_{end}s", kind)
            self._calls[name] += 1
            self.see(label, tensor, measure)


def _of_photos(tensor: torch.Tensor) -> Numbers:
    return tensors.moments(tensor) | tensors.channels(tensor)


def _spread(tensor: torch.Tensor) -> Numbers:
    return tensors.moments(tensor) | tensors.percentiles(tensor)


def _in_chunks(value: dict[str, Statistic]) -> Iterator[dict[str, float | str | Sequence[float]]]:
    """A record's lists have a limit; class indices beyond it go into further records, in order."""
    indices = value.get("indices")
    if not isinstance(indices, list) or len(indices) <= LIST_LIMIT:
        yield {**value}
        return
    for start in range(0, len(indices), LIST_LIMIT):
        yield {**value, "indices": indices[start : start + LIST_LIMIT]}
