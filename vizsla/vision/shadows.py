"""Shallow copies of networks: some parts do something else, all other parts are the network's own.

What `halves.py` cuts networks with. A copy shares parameters, names, hooks and the mode (training or evaluation) with
what it was copied from, so nobody has to keep the two alike.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Call = Callable[..., Any]
"""Called instead of a module: the module's own call first, then the arguments."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Reached(Exception):  # noqa: N818 - ends a forward pass that has gone far enough
    """A forward pass is where it was wanted, with this value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Stop(nn.Module):
    """Ends the forward pass with what it is given."""

    def forward(self, x: Any, *_args: Any, **_kwargs: Any) -> Any:
        raise Reached(x)


class Passing(nn.Module):
    """Stands where a module stood, and hands on what it is given."""

    def forward(self, x: Any, *_args: Any, **_kwargs: Any) -> Any:
        return x


def shadow(
    net: nn.Module,
    replaced: Mapping[str, nn.Module],
    calls: Mapping[str, Call] | None = None,
    forward: Call | None = None,
    watched: bool = True,
) -> nn.Module:
    """A copy of `net` with other modules at the paths of `replaced`; those of `calls` are copies called another way.

    forward: what the copy does itself, given the network's own forward first. Not `watched`: nobody who watches `net`
    itself sees the copy run.
    """
    copied, calls = copy.copy(net), calls or {}
    # Its class carries the network's name, because that is what people read; only this one object is of it.
    copied.__class__ = type(type(net).__name__, (type(net),), _members(net, calls.get(""), forward))
    own = vars(copied)
    own.pop("training")
    own["_modules"] = {name: _child(child, name, replaced, calls, watched) for name, child in net._modules.items()}
    if not watched:
        own.update({name: type(hooks)() for name, hooks in own.items() if name.startswith(_HOOKS)})
    return copied


def _members(net: nn.Module, call: Call | None, forward: Call | None) -> dict[str, Any]:
    def set_training(_self: nn.Module, mode: bool) -> None:
        net.training = mode

    members: dict[str, Any] = {"training": property(lambda _self: net.training, set_training)}
    if call:
        members["__call__"] = lambda self, *given, **named: call(
            lambda *args, **kwargs: nn.Module.__call__(self, *args, **kwargs), *given, **named
        )
    if forward:
        members["forward"] = lambda self, *given, **named: forward(
            lambda *args, **kwargs: type(net).forward(self, *args, **kwargs), *given, **named
        )
    return members


def _child(
    child: nn.Module | None,
    name: str,
    replaced: Mapping[str, nn.Module],
    calls: Mapping[str, Call],
    watched: bool,
) -> nn.Module | None:
    if child is None or name in replaced:
        return replaced.get(name)
    below = _below(replaced, name), _below(calls, name)
    return shadow(child, *below, watched=watched) if any(below) else child


def _below(paths: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What is at or below `name`, by its path from there."""
    return {
        path.removeprefix(name).removeprefix("."): value
        for path, value in paths.items()
        if path == name or path.startswith(f"{name}.")
    }


def until_stopped(run: Call, *args: Any) -> Any:
    """A forward pass to its end, or to where it is stopped."""
    try:
        return run(*args)
    except Reached as reached:
        return reached.value


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode for what is in here; each module has its own mode back afterwards."""
    training = [module for module in net.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def undisturbed(net: nn.Module) -> Iterator[None]:
    """What is done to modes, statistics and random numbers in here is undone afterwards."""
    modes = [(module, module.training) for module in net.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


@contextmanager
def lively(net: nn.Module) -> Iterator[None]:
    """Fresh heads are zero, as are the last norms of residual branches: in here they are not, so that they show."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        still = [(weight, weight.clone()) for weight in net.parameters() if _constant(weight)]
        try:
            for weight, _ in still:
                weight.add_(torch.randn(weight.shape, generator=draw), alpha=0.1)
            yield
        finally:
            for weight, value in still:
                weight.copy_(value)


def _constant(weight: Tensor) -> bool:
    return weight.is_floating_point() and weight.numel() > 0 and bool((weight == weight.reshape(-1)[0]).all())
