"""The rule on gradients: whether they reach every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.rules import cures
from vizsla.analysis.rules.backward import PREFIX, BackwardPass
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import place
from vizsla.keys import Section
from vizsla.records import Record


class VanishingGradientParameters(Section):
    """vanishing_gradient."""

    threshold: float = Field(1e-7, ge=0)
    """A gradient vanishes where the mean of its absolute values is below this."""
    patience: int = Field(1, ge=1)
    """vizsla's own: at how many saved steps in a row a gradient has to be below the threshold."""
    share_of_largest: float = Field(1.0, ge=0, le=1)
    """vizsla's own: a gradient also has to be at most this share of the largest one of its step; 1 asks nothing."""


class VanishingGradient(Rule[VanishingGradientParameters]):
    """Layers that gradients do not reach.

    Two things are no fault. A layer that starts at zero and learns, as the head of vizsla's classifier does, lets no
    gradient through in its first step: gradients that are exactly zero are let be in such a step. And a bias before a
    batch norm has none by construction: a bias is let be where the gradient of its layer's weight is large enough.
    """

    Parameters: ClassVar[type[Section]] = VanishingGradientParameters
    looks_at: ClassVar[str] = "gradients"
    meaning: ClassVar[str] = "the mean absolute gradient of a layer is below `threshold`: the layer cannot learn"
    advice: ClassVar[str] = (
        "start from pretrained weights, use ReLU-like activations and normalisation, or train later layers"
    )

    def __init__(self, name: str, parameters: VanishingGradientParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._pass = BackwardPass(context)
        self._in_a_row: dict[str, int] = {}

    def see(self, record: Record) -> Iterator[Finding]:
        if record.kind == "tensor":
            if self._pass.ends_before(record):
                yield from self._judged()
            self._pass.add(record)

    def done(self, now: float | None) -> Iterator[Finding]:
        yield from self._judged()

    def _judged(self) -> Iterator[Finding]:
        """What the step shows now that all its gradients are known."""
        gradients = self._pass.take()
        sizes = {one.record.name: one.size for one in gradients}
        limit = self.parameters.share_of_largest * max(sizes.values(), default=0)
        for one in gradients:
            self.datapoints += 1
            name = one.record.name
            excused = one.is_blocked or self._is_reached(name, sizes)
            low = one.size < self.parameters.threshold and one.size <= limit and not excused
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1 if low else 0
            if self._in_a_row[name] >= self.parameters.patience:
                yield self._finding(one.record, one.size)

    def _is_reached(self, name: str, sizes: Mapping[str, float]) -> bool:
        """Whether `name` is a bias of a layer whose weight has a gradient."""
        layer = name.removesuffix("bias")
        return layer != name and sizes.get(f"{layer}weight", 0.0) > self.parameters.threshold

    def _finding(self, record: Record, size: float) -> Finding:
        layer = record.name.removeprefix(PREFIX)
        return self.found(
            record,
            f"The gradient of {layer} vanishes: its mean absolute value at {place(record)} is {size:.3g}, "
            f"below {self.parameters.threshold:g}.",
            cures.from_pretrained(self.context.settings),
            abs_mean=size,
            threshold=self.parameters.threshold,
        )

    def unfit(self) -> str:
        return (
            "" if self.datapoints else "No gradients were saved: save the collection gradients, and train some layers."
        )
