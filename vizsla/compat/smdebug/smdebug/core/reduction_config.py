"""Which numbers are kept of a tensor in the place of the tensor itself, and how they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

ALLOWED_REDUCTIONS = ("min", "max", "mean", "std", "variance", "sum", "prod", "median")
ALLOWED_NORMS = ("l1", "l2")

# std and variance divide by the number of elements, as numpy does; the median of an even number is the mean of two.
_COMPUTED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "min": torch.min,
    "max": torch.max,
    "mean": torch.mean,
    "std": lambda x: torch.std(x, correction=0),
    "variance": lambda x: torch.var(x, correction=0),
    "sum": torch.sum,
    "prod": torch.prod,
    "median": lambda x: (torch.sort(x).values[(len(x) - 1) // 2] + torch.sort(x).values[len(x) // 2]) / 2,
    "l1": lambda x: x.abs().sum(),
    "l2": lambda x: x.square().sum().sqrt(),
}


class ReductionConfig:
    """Names of reductions and norms, each also of the absolute values. Raises ValueError for an unknown one."""

    def __init__(
        self,
        reductions: Sequence[str] | None = None,
        abs_reductions: Sequence[str] | None = None,
        norms: Sequence[str] | None = None,
        abs_norms: Sequence[str] | None = None,
        save_raw_tensor: bool = False,
        save_shape: bool = False,
    ) -> None:
        self.reductions = _checked(reductions, ALLOWED_REDUCTIONS)
        self.abs_reductions = _checked(abs_reductions, ALLOWED_REDUCTIONS)
        self.norms = _checked(norms, ALLOWED_NORMS)
        self.abs_norms = _checked(abs_norms, ALLOWED_NORMS)
        self.save_raw_tensor = save_raw_tensor
        self.save_shape = save_shape

    @classmethod
    def parse(cls, *levels: Mapping[str, Any]) -> ReductionConfig | None:
        """From the string parameters of a configuration file, None where they name nothing to keep.

        `reductions` is a list with commas and may hold everything: `mean,abs_max,l2,abs_l1_norm`. The first level that
        says something counts.
        """
        said = {key: next((level[key] for level in levels if key in level), "") for key in _KEYS}
        names = [(key, name) for key in _LISTS for name in _words(said[key])]
        sorted_out: dict[str, list[str]] = {key: [] for key in _LISTS}
        for key, name in names:
            is_abs, bare = key.startswith("abs_") or name.startswith("abs_"), name.removeprefix("abs_")
            bare = bare.removesuffix("_norm")
            sorted_out[f"{'abs_' if is_abs else ''}{'norms' if bare in ALLOWED_NORMS else 'reductions'}"].append(bare)
        raw, shape = _true(said["save_raw_tensor"]), _true(said["save_shape"])
        return cls(**sorted_out, save_raw_tensor=raw, save_shape=shape) if names or shape else None

    @property
    def names(self) -> list[str]:
        """All that is to be computed: `mean`, `abs_mean`, `l2`, `abs_l2`."""
        absolute = [f"abs_{name}" for name in (*self.abs_reductions, *self.abs_norms)]
        return [*self.reductions, *self.norms, *absolute]

    @property
    def keeps_raw(self) -> bool:
        """Whether the tensor itself is saved too: when it is asked for, or nothing is."""
        return self.save_raw_tensor or not (self.names or self.save_shape)


_LISTS = ("reductions", "abs_reductions", "norms", "abs_norms")
_KEYS = (*_LISTS, "save_raw_tensor", "save_shape")


def reduced(tensor: torch.Tensor, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """The reductions `names` of all elements, 0-d tensors on its device, in float64 where that has it.

    Of a tensor without elements: none. nan and infinities take their course, as in numpy.
    """
    if tensor.numel() == 0:
        return {}
    flat = tensor.detach().flatten().to(torch.float32 if tensor.device.type == "mps" else torch.float64)
    return {name: _COMPUTED[name.removeprefix("abs_")](flat.abs() if "abs_" in name else flat) for name in names}


def _checked(names: Sequence[str] | None, allowed: Sequence[str]) -> list[str]:
    for name in names or ():
        if name not in allowed:
            raise ValueError(f"{name!r} is no reduction that can be had here; there are {', '.join(allowed)}")
    return list(names or ())


def _words(text: Any) -> list[str]:
    return [word.strip() for word in str(text).split(",") if word.strip()]


def _true(text: Any) -> bool:
    return str(text).strip().lower() in ("true", "1", "yes")
