"""What a linear classifier can look at in a network: the pooled output of its last stage, or of all stages.

Beside `networks.py`, which builds networks; used by training, to make bundles of probes, and by serving, to rebuild
them. Early stages see texture, which the last one has forgotten: cracks in a solar cell, say.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from vizsla.errors import UserError
from vizsla.vision import networks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

MOST_TAPS: Final = 16
_OTHER_BUNDLE: Final = "Take another copy of the bundle, or train the model again."
# Of the taps that the pass which runs here and now has come by; each thread has its own.
_SUMMARIES: Final[ContextVar[dict[str, Tensor] | None]] = ContextVar("summaries", default=None)


class StagePooled(nn.Module):
    """Photos (B, 3, S, S) → logits (B, classes), linear in `features`."""

    def __init__(self, trunk: nn.Module, taps: Sequence[str], width: int, num_classes: int) -> None:
        """`trunk` is a network whose classifier does nothing; `width` is how many features its taps give."""
        super().__init__()
        self.trunk = trunk
        self.taps = tuple(taps)
        self.head = nn.Linear(width, num_classes)
        channels_last = getattr(trunk, "output_fmt", "NCHW") == "NHWC"
        for tap in self.taps:
            trunk.get_submodule(tap).register_forward_hook(partial(_sum_up, tap, channels_last))

    @classmethod
    def of(cls, name: str, net: nn.Module, taps: Sequence[str], weight_CD: Floats, bias_C: Floats) -> StagePooled:
        """A copy of `net`, timm's network `name`, with this classifier of its taps' features; in evaluation mode."""
        num_classes, width = weight_CD.shape
        trunk: Any = networks.rebuild(name, num_classes)  # not a deep copy, which would copy whoever watches it as well
        trunk.load_state_dict(net.state_dict())
        trunk.reset_classifier(0)
        pooled = cls(trunk, taps, width, num_classes)
        _fill(pooled.head.weight, weight_CD)
        _fill(pooled.head.bias, bias_C)
        return pooled.eval()

    def features(self, x_BCHW: Tensor) -> Tensor:
        """(B, width): of each tap, in order, what `summary` says."""
        with _noting() as summaries:
            self.trunk(x_BCHW)
        return torch.cat([summaries[tap] for tap in self.taps], dim=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BC: Tensor = self.head(self.features(x_BCHW))
        return logits_BC


def rebuild(architecture: Mapping[str, Any]) -> nn.Module:
    """The bare network that a bundle's manifest describes, for its weights to be loaded into.

    Raises UserError for a network that timm does not know, and for stages that it does not have.
    """
    name, num_classes, taps = str(architecture["model"]), int(architecture["num_classes"]), architecture.get("stages")
    if taps is None:
        return networks.rebuild(name, num_classes)
    trunk: Any = networks.rebuild(name, num_classes)
    trunk.reset_classifier(0)
    _check_taps(trunk, name, taps)
    return StagePooled(trunk, taps, _width(trunk, name, taps), num_classes)


def taps(net: nn.Module) -> tuple[str, ...]:
    """The modules whose outputs say most beside one another: where each stage ends, without the first and the head.

    Every stage, because neighbours add to each other (bench/README.md): the last of each resolution alone was worse. Of
    more than MOST_TAPS every second, or third, from the last one back.
    """
    stages = networks.modules_by_stage(net)
    head = {id(parameter) for parameter in networks.head_parameters(net)}
    ends = []
    for modules in list(stages.values())[1:]:
        found = [net.get_submodule(module) for module in modules]
        if any(id(parameter) in head for module in found for parameter in module.parameters()):
            break
        ends.append(modules[-1])
    every = -(-len(ends) // MOST_TAPS)
    return tuple(reversed(ends[::-1][::every]))


def summary(output: Tensor, channels_last: bool = False) -> Tensor:
    """(B, 3 · channels): mean, largest and root mean square of each channel over a map, or over tokens.

    What has no map, (B, channels), is taken as it is.
    """
    if output.ndim == 2:
        return output
    over = (1,) if output.ndim == 3 else (1, 2) if channels_last else (2, 3)
    return torch.cat([output.mean(over), output.amax(over), (output * output).mean(over).sqrt()], dim=1)


def load_head(net: nn.Module, weight_CD: Floats, bias_C: Floats) -> None:
    """Makes this linear classifier of the pooled last stage the classifier of a timm network, whatever it is called.

    Raises UserError for a network whose classifier is not one linear layer of that size.
    """
    head = networks.head_parameters(net)
    wanted = [weight_CD.size, bias_C.size]
    if [parameter.numel() for parameter in head] != wanted or head[0].shape[:2] != weight_CD.shape:
        raise UserError(
            f"The classifier of {type(net).__name__} is not one linear layer: no probe can stand for it.",
            "Add --set method=finetune, or choose another model.",
        )
    _fill(head[0], weight_CD)
    _fill(head[1], bias_C)


def _fill(parameter: Tensor, values: Floats) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values).reshape(parameter.shape))


def _check_taps(trunk: nn.Module, name: str, taps: object) -> None:
    known = set(dict(trunk.named_modules())) - {""}
    if not isinstance(taps, list) or not taps or not all(isinstance(tap, str) for tap in taps):
        raise UserError(f"The bundle names no stages of {name}, but {taps!r}.", _OTHER_BUNDLE)
    if missing := [tap for tap in taps if tap not in known]:
        raise UserError(f"{name} has no stage called {missing[0]!r}.", _OTHER_BUNDLE)


def _width(trunk: nn.Module, name: str, taps: Sequence[str]) -> int:
    """How many features the taps of a network give: found by running a copy of it once."""
    size = networks.describe(name).size
    alone = StagePooled(copy.deepcopy(trunk).eval(), taps, 1, 1)
    with torch.no_grad():
        try:
            return int(alone.features(torch.zeros(1, 3, size, size)).shape[1])
        except (KeyError, AttributeError, RuntimeError) as error:  # a part that is not run, or that gives no map
            raise UserError(f"The stages {', '.join(taps)} of {name} cannot be pooled.", _OTHER_BUNDLE) from error


def _sum_up(tap: str, channels_last: bool, _module: nn.Module, _args: Any, output: Tensor) -> None:
    """At once: the module after this one may write its own output over it."""
    if (summaries := _SUMMARIES.get()) is not None:
        summaries[tap] = summary(output, channels_last)


@contextmanager
def _noting() -> Iterator[dict[str, Tensor]]:
    summaries: dict[str, Tensor] = {}
    token = _SUMMARIES.set(summaries)
    try:
        yield summaries
    finally:
        _SUMMARIES.reset(token)
