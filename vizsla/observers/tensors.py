"""Tensors to the numbers that rules need: reduced where they lie, brought over in one transfer.

The debugger, `vizsla.debugger.watch` and the smdebug hook all look through these functions. Each takes a tensor of any
float type, layout or size (a 0-d one and an empty one too) and gives small tensors that stay on its device;
`Gathering` takes them all to the CPU at once, so nothing waits for a GPU in between. Sums are made in float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from vizsla.records import LIST_LIMIT

Numbers = dict[str, torch.Tensor]
Known = float | str
Statistic = float | str | list[float]
K = TypeVar("K")

SAMPLE = 1 << 12  # elements that percentiles are taken from: the 5th is off by 0.3 % of ranks (one sigma)
LOOKED_AT = 1 << 18  # elements of an activation that are looked at: more would cost a tenth of a step on a CPU
ATOL = 1e-8  # numpy.allclose's own
NEVER_CLOSE = 1e20  # a larger rtol than this is one that a division by 0 has made
# Beyond them a tanh or a sigmoid is saturated, by SageMaker's defaults; between them other thresholds are interpolated.
EDGES = (-23.0, -16.99999, -9.4999, -5.0, 0.0, 5.0, 9.4999, 16.99999, 23.0)


@dataclass(frozen=True, slots=True)
class _Gathered(Generic[K]):
    key: K
    numbers: Numbers
    known: Mapping[str, Known]


class Gathering(Generic[K]):
    """Numbers of many tensors, each under the key of its caller."""

    def __init__(self) -> None:
        self._gathered: list[_Gathered[K]] = []

    def add(self, key: K, numbers: Numbers, known: Mapping[str, Known] | None = None) -> None:
        """Keeps `numbers` (tensors of 0 or 1 dimensions) where they are; `known` is on the CPU already."""
        self._gathered.append(_Gathered(key, numbers, known or {}))

    def take(self) -> list[tuple[K, dict[str, Statistic]]]:
        """Everything that was added, in that order, and forgets it. One transfer for each device."""
        gathered, self._gathered = self._gathered, []
        values = iter(_transferred([tensor for one in gathered for tensor in one.numbers.values()]))
        return [(one.key, {**one.known, **{name: next(values) for name in one.numbers}}) for one in gathered]


def _transferred(tensors: Sequence[torch.Tensor]) -> list[float | list[float]]:
    places: dict[torch.device, list[int]] = {}
    for index, tensor in enumerate(tensors):
        places.setdefault(tensor.device, []).append(index)
    found: dict[int, float | list[float]] = {}
    for indices in places.values():
        flat = torch.cat([tensors[index].reshape(-1) for index in indices]).tolist()
        start = 0
        for index in indices:
            found[index] = _shaped(flat[start : start + tensors[index].numel()], tensors[index])
            start += tensors[index].numel()
    return [found[index] for index in range(len(tensors))]


def _shaped(values: list[float], tensor: torch.Tensor) -> float | list[float]:
    """Counts and class indices, which the transfer made floats of, are whole numbers again.

    Lists are most of what is written: they keep the 7 digits that a float32 has.
    """
    if not tensor.is_floating_point():
        whole: list[float] = [int(value) for value in values]
        return whole if tensor.dim() else whole[0]
    return [float(f"{value:.7g}") for value in values] if tensor.dim() else values[0]


def moments(tensor: torch.Tensor) -> Numbers:
    """mean, variance (ddof 0), min, max, abs_mean, l2, zeros (a share) of the finite elements; nan and inf, counted.

    Where no element is finite all but the counts are nan. A sum of squares beyond float32's range is inf.
    """
    x = _float(tensor)
    if not x.numel():
        return _nothing(x)
    # On a CPU asking costs nothing, and almost always everything is finite; elsewhere it would make the host wait.
    if x.device.type == "cpu" and bool(torch.isfinite(norm := torch.linalg.vector_norm(x))):
        return _of_finite(x, norm)
    return _of_finite_part(x)


def _of_finite(x: torch.Tensor, norm: torch.Tensor) -> Numbers:
    low, high = torch.aminmax(x)
    mean = x.mean()
    none = torch.zeros((), dtype=torch.int64, device=x.device)
    return {
        "mean": mean,
        "variance": (x - mean).square_().mean(),
        "min": low,
        "max": high,
        "abs_mean": x.abs().mean(),
        "l2": norm,
        "zeros": 1 - torch.count_nonzero(x) / x.numel(),
        "nan": none,
        "inf": none,
    }


def _of_finite_part(x: torch.Tensor) -> Numbers:
    finite = torch.isfinite(x)
    count = finite.sum()
    clean = torch.where(finite, x, 0.0)
    mean = clean.sum() / count
    nothing = torch.where(count > 0, 0.0, math.nan)  # makes nan of numbers about no elements
    return {
        "mean": mean,
        "variance": torch.where(finite, (x - mean).square(), 0.0).sum() / count,
        "min": torch.where(finite, x, math.inf).min() + nothing,
        "max": torch.where(finite, x, -math.inf).max() + nothing,
        "abs_mean": clean.abs().sum() / count,
        "l2": torch.linalg.vector_norm(clean) + nothing,
        "zeros": (x == 0).sum() / count,
        "nan": x.isnan().sum(),
        "inf": x.isinf().sum(),
    }


def _nothing(x: torch.Tensor) -> Numbers:
    unknown, none = x.new_full((), math.nan), torch.zeros((), dtype=torch.int64, device=x.device)
    named = dict.fromkeys(("mean", "variance", "min", "max", "abs_mean", "l2", "zeros"), unknown)
    return {**named, "nan": none, "inf": none}


def percentiles(tensor: torch.Tensor) -> Numbers:
    """p5 and p95 of the finite elements, from an evenly strided sample of at most 4,096 of them."""
    x = _flat(tensor)
    x = x[:: max(1, math.ceil(x.numel() / SAMPLE))].float()
    if not x.numel():
        return dict.fromkeys(("p5", "p95"), x.new_full((), math.nan))
    at = torch.linspace(0.05, 0.95, 2, device=x.device)  # made there: copying it over would make the host wait
    low, high = torch.nanquantile(torch.where(torch.isfinite(x), x, math.nan), at).unbind()
    return {"p5": low, "p95": high}


def change(before: torch.Tensor, now: torch.Tensor) -> Numbers:
    """How far a weight has moved: change_abs_mean, previous_abs_mean, and needed_rtol.

    needed_rtol is the smallest rtol for which numpy.allclose(before, now, rtol, atol=1e-8) holds, inf if none does.
    """
    a, b = _float(before), _float(now)
    if not a.numel():
        zero = a.new_zeros(())
        return {"change_abs_mean": zero, "previous_abs_mean": zero, "needed_rtol": zero}
    distance = (a - b).abs_()
    moved = distance.mean()
    beyond = distance.sub_(ATOL).clamp_(min=0)  # in place: `distance` is ours
    # By the smallest number instead of 0: then 0/0 is 0, and all else is far beyond what two floats can differ by.
    needed = beyond.div_(b.abs().clamp_(min=torch.finfo(b.dtype).tiny)).amax()
    needed = torch.where(needed > NEVER_CLOSE, math.inf, needed)
    return {
        "change_abs_mean": moved,
        "previous_abs_mean": a.abs().mean(),
        "needed_rtol": torch.nan_to_num(needed, nan=math.inf, posinf=math.inf),
    }


def active(tensor: torch.Tensor) -> Numbers:
    """active: of each channel (dim 1) the share of elements above 0; of the first 4,096 channels."""
    if tensor.dim() < 2 or not tensor.numel():
        return {}
    return {"active": _share(tensor > 0)}


def cumulative(tensor: torch.Tensor) -> Numbers:
    """cdf:<edge>: of each channel (dim 1) the share of elements at or below an edge; of the first 4,096 channels."""
    if tensor.dim() < 2 or not tensor.numel():
        return {}
    return {f"cdf:{edge:.9g}": _share(tensor <= edge) for edge in EDGES}


def channels(tensor: torch.Tensor) -> Numbers:
    """channel_mean and channel_variance (ddof 0) of each channel (dim 1); of the first 4,096 channels."""
    if tensor.dim() < 2 or not tensor.numel():
        return {}
    variance, mean = torch.var_mean(_float(tensor), dim=_all_but_channels(tensor), correction=0)
    return {"channel_mean": mean[:LIST_LIMIT], "channel_variance": variance[:LIST_LIMIT]}


def sample(tensor: torch.Tensor, limit: int = LOOKED_AT) -> torch.Tensor:
    """An even part of `tensor` with at most about `limit` elements: all channels (dim 1), and of space before photos.

    The tensor itself where it is small enough.
    """
    if tensor.numel() <= limit:
        return tensor
    for dims in (range(2, tensor.dim()), (0,)):
        excess = tensor.numel() / limit
        if excess > 1 and dims and tensor.dim():
            step = math.ceil(excess ** (1 / len(dims)))
            tensor = tensor[tuple(_every(step, size) if dim in dims else _ALL for dim, size in enumerate(tensor.shape))]
    return tensor.contiguous()


_ALL = slice(None)


def _every(step: int, size: int) -> slice:
    """Starts in the middle of the first stretch: at the border of a photo is padding."""
    return slice(min(step, size) // 2, None, step)


def _share(holds: torch.Tensor) -> torch.Tensor:
    counts = holds.sum(dim=_all_but_channels(holds))
    return counts[:LIST_LIMIT] / (holds.numel() / holds.shape[1])


def _all_but_channels(tensor: torch.Tensor) -> tuple[int, ...]:
    return (0, *range(2, tensor.dim()))


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """All elements in a row, in whatever order they lie in memory: a view where that can be."""
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return _plain(tensor).reshape(-1)


def _float(tensor: torch.Tensor) -> torch.Tensor:
    """float32, or float64 where it is that already."""
    plain = _plain(tensor)
    return plain if plain.dtype in (torch.float32, torch.float64) else plain.float()


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    return dense.abs() if dense.is_complex() else dense
