"""Where a network can be cut, and the two ways to cut it. `halves.py` tries both and proves which one is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from vizsla.vision.shadows import Call, Passing, Stop, evaluating, shadow, until_stopped


@dataclass
class Seen:
    """One forward pass as it was watched: modules in the order they were first called, and zeros like each output."""

    photos: Tensor
    answer: Tensor
    outputs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, net: nn.Module, x_BCHW: Tensor) -> Seen:
        seen = cls(zeros_like(x_BCHW), x_BCHW)
        handles = []
        for name, module in net.named_modules():
            handles.append(module.register_forward_pre_hook(seen._before(name)))
            handles.append(module.register_forward_hook(seen._after(name)))
        try:
            with evaluating(net), torch.no_grad():
                seen.answer = net(x_BCHW)
        finally:
            for handle in handles:
                handle.remove()
        return seen

    def _before(self, name: str) -> Callable[..., None]:
        def note(*_: Any) -> None:
            self.outputs.setdefault(name)

        return note

    def _after(self, name: str) -> Callable[..., None]:
        def note(_module: nn.Module, _args: Any, value: Any) -> None:
            self.outputs[name] = each(zeros_like, value)

        return note


@dataclass(frozen=True)
class Cut:
    """The parts that a photo passes, by their paths, in this order; those from `entry` on are the tail's."""

    before: tuple[str, ...]
    entry: str
    after: tuple[str, ...]

    @classmethod
    def of(cls, net: nn.Module, seen: Seen) -> Cut:
        """Before the first part that is trained, and before a dropout that comes before it and is no part's own.

        Raises ValueError where nothing is trained.
        """
        order = list(seen.outputs)
        parts = sorted(_parts(net, "", seen, classifier(net) or ""), key=order.index)
        modules = [net.get_submodule(part) for part in parts]
        entry = [any(p.requires_grad for p in module.parameters()) for module in modules].index(True)
        for place in reversed(range(entry)):
            if next(modules[place].parameters(), None) is not None:
                break
            if "Drop" in type(modules[place]).__name__:
                entry = place
        return cls(tuple(parts[:entry]), parts[entry], tuple(parts[entry + 1 :]))


def classifier(net: nn.Module) -> str | None:
    """The path of the module that makes logits of what is pooled; None where there is not one that is linear."""
    found = cast("Callable[[], Any]", net.get_classifier)()
    linear = isinstance(found, nn.Linear) or (isinstance(found, nn.Conv2d) and found.kernel_size == (1, 1))
    return next(name for name, module in net.named_modules() if module is found) if linear else None


def body(net: nn.Module, cut: Cut) -> nn.Module:
    """Photos → features, as in evaluation and without gradients."""
    replaced: dict[str, nn.Module] = {path: Passing() for path in cut.after}
    return shadow(net, {**replaced, cut.entry: Stop()}, forward=_stopping(net), watched=False)


def passing_tail(net: nn.Module, cut: Cut, _seen: Seen, head: str | None = None) -> nn.Module:
    """Features → logits: the parts before the tail hand on what they are given.

    For networks that are a chain of their parts. With `head`, features → what that part is given, as in evaluation.
    """
    passing: dict[str, nn.Module] = {path: Passing() for path in cut.before}
    if head:
        return shadow(net, passing | _stop(head), forward=_stopping(net, flat=True), watched=False)
    return shadow(net, passing)


def standing_tail(net: nn.Module, cut: Cut, seen: Seen, head: str | None = None) -> nn.Module:
    """As passing_tail, but zeros stand for what the parts before the tail make, until the tail begins.

    For networks that do more than call their parts one after another: transformers add positions, or take one token.
    """
    waiting: list[Tensor] = []

    def grown(zeros: Tensor) -> Tensor:
        times, rest = divmod(zeros.shape[0] if zeros.ndim else 1, len(seen.photos))
        return zeros if rest else zeros[:1].expand(times * len(waiting[0]), *zeros.shape[1:])

    def begin(run: Call, features: Tensor) -> Any:
        waiting[:] = [features]
        try:
            photos = grown(seen.photos)
            return _stopping(net, flat=True)(run, photos) if head else run(photos)
        finally:
            waiting.clear()

    def enter(run: Call, _zeros: Any, *args: Any, **kwargs: Any) -> Any:
        return run(waiting[0], *args, **kwargs)

    def standing(path: str) -> nn.Module:
        return _Standing(net.get_submodule(path), lambda: each(grown, seen.outputs[path]))

    if head == cut.entry:
        return shadow(net, {}, forward=lambda _run, features: features, watched=False)
    replaced = {path: standing(path) for path in cut.before}
    return shadow(net, replaced | _stop(head), {cut.entry: enter}, begin, watched=not head)


def _stopping(net: nn.Module, flat: bool = False) -> Call:
    """A forward pass as in evaluation and without gradients, to where it is stopped."""

    def forward(run: Call, x: Tensor) -> Any:
        with evaluating(net), torch.no_grad():
            value = until_stopped(run, x)
            return value.flatten(1) if flat else value

    return forward


def each(do: Callable[[Tensor], Any], value: Any) -> Any:
    """`do` of every tensor in what a module returned."""
    if isinstance(value, Tensor):
        return do(value)
    if isinstance(value, list | tuple):
        return type(value)(each(do, item) for item in value)
    return {key: each(do, item) for key, item in value.items()} if isinstance(value, Mapping) else value


def zeros_like(tensor: Tensor) -> Tensor:
    """Of the same shape, in a few bytes; not to be written to."""
    return tensor.new_zeros(()).expand(tensor.shape)


class _Standing(nn.Module):
    """Has another answer than the module it stands for, and all of its attributes."""

    def __init__(self, module: nn.Module, answer: Callable[[], Any]) -> None:
        super().__init__()
        vars(self).update(module=module, answer=answer)  # no part of it: its tensors are not the tail's

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["module"], name)

    def forward(self, *_args: Any, **_kwargs: Any) -> Any:
        return self.answer()


def _stop(path: str | None) -> dict[str, nn.Module]:
    return {path: Stop()} if path else {}


def _parts(module: nn.Module, prefix: str, seen: Seen, head: str) -> Iterator[str]:
    """As coarse as the cut allows: what is partly trained, never called, or around the classifier is its own parts."""
    for name, child in module.named_children():
        path = prefix + name
        whole = len({parameter.requires_grad for parameter in child.parameters()}) < 2
        if path in seen.outputs and whole and not head.startswith(f"{path}."):
            yield path
        else:
            yield from _parts(child, f"{path}.", seen, head)
