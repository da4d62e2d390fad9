"""Which part of a network a plan trains, where it can be cut, and what has to be known of the frozen part.

Between `vision/halves.py`, which cuts, and `ready.py`, which puts a learner together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from vizsla.plan import Plan
from vizsla.vision import networks, pooled
from vizsla.vision.halves import Extractor, Halves, Indivisible, halve
from vizsla.vision.networks import Frozen


@dataclass(frozen=True)
class Apart:
    """A network and where it is cut."""

    whole: nn.Module
    frozen: Frozen
    loop: Halves | None
    """What the loop trains is its tail; None where every step takes the whole network."""
    head: Halves | None
    """Cut right before the classifier, for a probe; None where that cannot be."""
    why: str
    """Why `loop` is None; "" if it is not."""
    taps: tuple[str, ...] = ()
    """The stages that a probe looks at beside the last one; () where it looks at that alone."""

    @property
    def begins_with(self) -> str:
        """The output that the tail begins with."""
        return "pooled" if self.loop and self.loop.neck is None and not self.loop.unpooled else "cut"

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the frozen part has to say of each photo, what the tail begins with first."""
        can = self.head is not None and not self.head.unpooled
        probed = [output for output, wanted in (("pooled", can), ("stages", can and self.taps)) if wanted]
        return tuple(dict.fromkeys([self.begins_with, *probed] if self.loop else probed))

    def extractor(self, outputs: Sequence[str]) -> Extractor:
        """Runs the frozen part for some of `outputs`. ValueError for a network that cannot be cut."""
        halves = self.loop or self.head
        if halves is None:
            raise ValueError("a network that cannot be cut has no frozen part to run alone")
        return Extractor(halves, outputs, self.taps)


def take_apart(net: nn.Module, plan: Plan) -> Apart:
    """Freezes what the plan does not train, and cuts there."""
    size = plan.image.size
    example_BCHW = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    alone = networks.freeze(net, "head")
    head, why = _cut(net, alone, example_BCHW) if plan.probe.stages != "none" else (None, "")
    several = plan.method != "finetune" and plan.probe.stages in ("auto", "all")
    taps = pooled.taps(net) if several and head else ()
    if plan.method == "probe":
        return Apart(net, alone, head, head, why, taps)
    frozen = networks.freeze(net, plan.train_from)
    if frozen == alone and head:
        return Apart(net, frozen, head, head, why, taps)
    loop, why = _cut(net, frozen, example_BCHW)
    return Apart(net, frozen, loop, head, why, taps)


def _cut(net: nn.Module, frozen: Frozen, example_BCHW: torch.Tensor) -> tuple[Halves | None, str]:
    try:
        return halve(net, frozen, example_BCHW), ""
    except Indivisible as reason:
        return None, str(reason)
