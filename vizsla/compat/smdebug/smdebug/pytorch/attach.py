"""Hooks on a model of the user's: names for what passes through it, handed on in the order it passes.

A hook must not be in the way: a copy of the model (copy.deepcopy, torch.save of the whole model) has none of them.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from vizsla.observers import activations

from ..core.collection import Named

log = logging.getLogger("smdebug")
See = Callable[[Named], None]
NextName = Callable[[str, str], str]


class Callback:
    """What torch calls. Returns None, so that nothing is changed.

    `torch.compile` leaves it alone: its graph breaks there.
    """

    __torch_unserializable__ = True

    def __init__(self, do: Callable[..., None]) -> None:
        self._do = do

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, *args: Any) -> None:
        self._do(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        # Stands in its place in copies and pickles: found without this package, takes any arguments, returns None.
        return getattr, (log, "debug")


@dataclasses.dataclass(frozen=True)
class Told:
    """Whom a model tells. begins: a forward of a whole model starts; wanted: whether this step is saved at all."""

    guarded: Callable[[Callable[..., None]], Callable[..., None]]
    """The border: nothing that is raised gets into the model."""
    begins: Callable[[], None]
    wanted: Callable[[], bool]
    see: See
    next_name: NextName


class Attached:
    """The modules that are watched, each once."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._modules: set[nn.Module] = set()
        self._parameters: set[nn.Parameter] = set()
        self._handles: list[Any] = []

    def model(self, model: nn.Module) -> None:
        """Watches a whole model: each forward of it is a step. Submodules that are watched already stay as they are."""
        plain = getattr(model, "_orig_mod", model)  # what torch.compile wrapped has its names
        if model in self._modules:
            return
        self._modules |= {model}
        begins = self._callback(lambda *_: self._begin(plain))
        self._handles.append(model.register_forward_pre_hook(begins, prepend=True))
        for path, module in plain.named_modules():
            if module not in self._modules or module is plain:
                self._modules.add(module)
                self._watch(path or type(plain).__name__, module, is_root=not path)

    def loss(self, loss: nn.Module) -> None:
        """Watches a loss: what goes into it, and its value."""
        if loss not in self._modules:
            self._modules.add(loss)
            self._watch(type(loss).__name__, loss, role="loss")

    def remove(self) -> None:
        """Takes all hooks off again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _callback(self, do: Callable[..., None]) -> Callback:
        return Callback(self._told.guarded(do))

    def _begin(self, model: nn.Module) -> None:
        self._told.begins()
        if self._told.wanted():
            root = type(model).__name__
            for name, parameter in model.named_parameters():
                if not is_lazy(parameter):  # it has no values before its first forward
                    self._watch_gradient(f"gradient/{root}_{name}", parameter)
                    self._told.see(Named(f"{root}_{name}", parameter, "parameter"))

    def _watch(self, path: str, module: nn.Module, role: str = "output", is_root: bool = False) -> None:
        """Inputs are seen before the module runs: one that works in place would have overwritten them after it."""

        def see(role: str, suffix: str, value: Any) -> None:
            if self._told.wanted():
                for tensor in activations.tensors_in(value):
                    name = self._told.next_name(path, suffix)
                    self._told.see(Named(name, tensor, role, module, is_root))

        before = self._callback(lambda _, args, kwargs: see("input", "input", (args, kwargs)))
        after = self._callback(lambda _, __, output: see(role, "output", output))
        self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        self._handles.append(module.register_forward_hook(after))

    def _watch_gradient(self, name: str, parameter: nn.Parameter) -> None:
        """Once for each parameter, when it is first seen to be trained."""
        if parameter.requires_grad and parameter not in self._parameters:
            self._parameters.add(parameter)
            see = self._callback(lambda gradient: self._told.see(Named(name, gradient, "gradient")))
            self._handles.append(parameter.register_hook(see))  # type: ignore[no-untyped-call]
