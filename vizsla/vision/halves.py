"""A network cut in two: the body, which is frozen, and the tail, which is trained on what the body makes of photos.

Between `networks.py`, which says what is frozen, and `training/`, which runs the body once and the tail many times.
Both are shallow copies (`shadows.py`), so what trains the tail trains the network, and who watches the network sees the
tail. Whether a network can be cut is found out by doing it and comparing the answers, never by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from vizsla.vision import cutting, networks
from vizsla.vision.cutting import Cut, Seen
from vizsla.vision.pooled import summary
from vizsla.vision.shadows import Call, Stop, evaluating, lively, shadow, undisturbed, until_stopped

# What a network can raise that is not run in the way its authors meant.
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_SAME = 1e-5  # of the largest number: rounding, where the same sums are summed in another order


class Indivisible(Exception):  # noqa: N818 - not an error: the whole network is trained instead
    """Says why a network cannot be cut."""


@dataclass(frozen=True)
class Halves:
    """`tail(body(photos))` is `whole(photos)`, in training too; all of them share their parts and their mode."""

    whole: nn.Module
    body: nn.Module
    """Photos (B, 3, S, S) → features. As in evaluation and without gradients, whatever mode the network is in."""
    tail: nn.Module
    """Features → logits (B, C)."""
    neck: nn.Module | None
    """Features → pooled (B, D), as the body works; None where features are pooled, or where `unpooled` says why not."""
    cut: str
    """The last module of the body."""
    entry: str
    """The first module of the tail."""
    photo_shape: tuple[int, ...]
    """(3, S, S), of the photos that it was proven with."""
    unpooled: str = ""
    """Why nothing is pooled, for a person: logits are then no linear function of one vector a photo."""

    def train_mode(self, frozen: networks.Frozen, keep_statistics: bool = False) -> None:
        """As networks.set_train_mode; the tail has the network's mode."""
        networks.set_train_mode(self.whole, frozen, keep_statistics)

    def eval_mode(self) -> None:
        """As nn.Module.eval; the tail has the network's mode."""
        self.whole.eval()


def halve(net: nn.Module, frozen: networks.Frozen, example_BCHW: Tensor) -> Halves:
    """Cuts `net` where `networks.freeze` did; `example_BCHW` is two photos of the size it will see, or more.

    With the head alone in the tail, the cut lies after the pooling and before the dropout. Raises Indivisible where
    nothing is frozen, and where the halves do not give the network's answers, as in evaluation and as in training.
    """
    with undisturbed(net), lively(net):
        try:
            seen = Seen.of(net, example_BCHW)
            cut = Cut.of(net, seen)
        except _FAILURES as error:
            raise Indivisible(f"its parts cannot be told apart ({_short(error)})") from error
        if not frozen.frozen or not cut.before:
            raise Indivisible("nothing that comes before what is trained is frozen")
        why = ""
        for make in (cutting.passing_tail, cutting.standing_tail):
            try:
                return _proven(_Try(net, cut, seen, make), frozen, example_BCHW)
            except Indivisible as reason:
                why = str(reason)
            except _FAILURES as error:
                why = f"its parts cannot be run apart ({_short(error)})"
    raise Indivisible(why)


class Extractor(nn.Module):
    """Several outputs of one pass through the network, as in evaluation and without gradients; can be exported.

    outputs: of "cut" (features), "pooled" (B, D), and "stages": what `pooled.summary` says of the output of each of
    `taps`, one after another.
    """

    def __init__(self, halves: Halves, outputs: Sequence[str] = ("cut",), taps: Sequence[str] = ()) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.taps = tuple(taps) if "stages" in outputs else ()
        self.photo_shape = halves.photo_shape
        self._channels_last = getattr(halves.whole, "output_fmt", "NCHW") == "NHWC"
        self._values: dict[str, Tensor] = {}
        self._end = cutting.classifier(halves.whole) if self.outputs != ("cut",) else halves.entry
        self._entry = halves.entry
        self.net = halves.body if self.outputs == ("cut",) else self._catching(halves.whole)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, ...]:
        try:
            with evaluating(self.net), torch.no_grad():
                self._values[self._end or ""] = self.net(x_BCHW)
            return tuple(self._output(output) for output in self.outputs)
        finally:
            self._values.clear()

    def _catching(self, whole: nn.Module) -> nn.Module:
        """A copy that ends at the classifier, and keeps what is wanted on the way there."""
        calls = {path: self._kept(path) for path in {*self.taps, self._entry} - {self._end}}
        stop: dict[str, nn.Module] = {self._end: Stop()} if self._end else {}
        return shadow(whole, stop, calls, until_stopped, watched=False)

    def _kept(self, path: str) -> Call:
        def call(run: Call, x: Tensor, *args: Any, **kwargs: Any) -> Any:
            if path == self._entry:
                self._values[path] = x
            value = run(x, *args, **kwargs)
            if path in self.taps:
                self._values[f"out of {path}"] = value
            return value

        return call

    def _output(self, output: str) -> Tensor:
        if output == "cut":
            return self._values[self._entry]
        if output == "pooled":
            return self._values[self._end or ""].flatten(1)
        return torch.cat([summary(self._values[f"out of {tap}"], self._channels_last) for tap in self.taps], dim=1)


def digest(*modules: nn.Module) -> str:
    """Hex sha256 over the names, shapes and bytes of the tensors of these modules together."""
    tensors = {name: tensor for module in modules for name, tensor in module.state_dict().items()}
    sha256 = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return sha256.hexdigest()


@dataclass(frozen=True)
class _Try:
    """A network, and one way to cut it."""

    net: nn.Module
    cut: Cut
    seen: Seen
    make: Callable[..., nn.Module]

    def tail(self, ends_at: str | None = None) -> nn.Module:
        return self.make(self.net, self.cut, self.seen, ends_at)


def _proven(way: _Try, frozen: networks.Frozen, x_BCHW: Tensor) -> Halves:
    """The halves, if they give the network's answers. Raises Indivisible, and what the network raises."""
    net, body, tail, expected = way.net, cutting.body(way.net, way.cut), way.tail(), way.seen.answer
    with torch.no_grad():
        net.eval()
        features = body(x_BCHW)
        if not isinstance(features, Tensor):
            raise Indivisible("what crosses the cut is more than one tensor")
        if _alike(tail(torch.zeros_like(features)), expected):
            raise Indivisible("its answers hardly depend on the photo, so that nothing can be compared")
        alone = tail(body(x_BCHW[:1]))
        if not _alike(tail(features), expected) or not _alike(alone, expected[:1], 10 * _SAME):
            raise Indivisible("its halves give other answers than the whole")
        neck, unpooled = _pooling(way, features)
        # Kept statistics: two photos are too few to make some of.
        networks.set_train_mode(net, frozen, keep_statistics=True)
        if not _alike(_seeded(tail, features), _seeded(net, x_BCHW)):
            raise Indivisible("its halves train otherwise than the whole")
    return Halves(net, body, tail, neck, way.cut.before[-1], way.cut.entry, tuple(x_BCHW.shape[1:]), unpooled)


def _seeded(run: nn.Module, x: Tensor) -> Tensor:
    torch.random.manual_seed(0)
    answer: Tensor = run(x)
    return answer


def _pooling(way: _Try, features: Tensor) -> tuple[nn.Module | None, str]:
    """The neck where one is needed, or why nothing is pooled."""
    name = cutting.classifier(way.net)
    if name is None:
        return None, "its classifier is not one linear layer"
    neck, head = way.tail(name), cast("nn.Linear", way.net.get_submodule(name))
    pooled = neck(features)
    if not _alike(linear(pooled, head.weight.flatten(1), head.bias), way.seen.answer):
        return None, "more than a pooling and a linear layer comes last"
    return (None if torch.equal(pooled, features) else neck), ""


def _alike(one: Tensor, other: Tensor, tolerance: float = _SAME) -> bool:
    return one.shape == other.shape and bool((one - other).abs().max() <= tolerance * other.abs().max())


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
