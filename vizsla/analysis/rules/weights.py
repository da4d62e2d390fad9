"""The rule on weights: how far a step moves them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field, model_validator

from vizsla.analysis.rules import cures
from vizsla.analysis.rules.backward import PREFIX
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import collection, number, place
from vizsla.analysis.rules.selection import MaybeInt
from vizsla.keys import Section
from vizsla.records import Record


class WeightUpdateRatioParameters(Section):
    """weight_update_ratio."""

    num_steps: MaybeInt = Field(None, ge=1)
    """The most steps between the two that are compared; by default the step saved before, however far back."""
    large_threshold: float = Field(10.0, ge=0)
    """The ratio may not be above this."""
    small_threshold: float = Field(1e-8, ge=0)
    """The ratio may not be below this."""
    epsilon: float = Field(1e-9, gt=0)
    """Added to the mean weight, so that it can be divided by."""

    @model_validator(mode="after")
    def _in_order(self) -> WeightUpdateRatioParameters:
        if self.small_threshold > self.large_threshold:
            small, large = self.small_threshold, self.large_threshold
            raise ValueError(f"small_threshold={small:g} must not be above large_threshold={large:g}")
        return self


class WeightUpdateRatio(Rule[WeightUpdateRatioParameters]):
    """Weights that move too fast or not at all.

    The ratio is mean(|W_now - W_before|) / (mean(|W_before|) + epsilon) of each weight tensor. Three kinds of tensors
    have none: frozen ones (gradients were saved, theirs were not), those that were all zero before, and those that
    stayed because their gradient was exactly zero, as that of all before a head that starts at zero.
    """

    Parameters: ClassVar[type[Section]] = WeightUpdateRatioParameters
    looks_at: ClassVar[str] = "weights at two saved steps"
    meaning: ClassVar[str] = (
        "a layer's weights moved by more than `large_threshold` or less than `small_threshold` of themselves"
    )
    advice: ClassVar[str] = "lower the learning rate where they move too much, raise it where they do not move"

    def __init__(self, name: str, parameters: WeightUpdateRatioParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._gradients: dict[str, float] = {}  # parameters that had one → its last mean absolute value
        self._train_seen = False
        self._saved = self._too_far = 0

    def see(self, record: Record) -> Iterable[Finding]:
        if record.kind != "tensor":
            return
        if collection(record) == "gradients":
            self._gradients[record.name.removeprefix(PREFIX)] = number(record, "abs_mean") or 0.0
        if collection(record) != "weights" or not self._counts(record):
            return
        ratio = self._ratio(record)
        if ratio is None:
            return
        self.datapoints += 1
        if ratio > self.parameters.large_threshold:
            cure = cures.lower_lr(self.context.settings)
            yield self._finding(record, ratio, "more than", self.parameters.large_threshold, cure)
        elif ratio < self.parameters.small_threshold:
            cure = cures.higher_lr(self.context.settings)
            yield self._finding(record, ratio, "less than", self.parameters.small_threshold, cure)

    def _counts(self, record: Record) -> bool:
        """TRAIN where there is any, else what has no mode of its own (GLOBAL)."""
        self._train_seen |= record.mode == "train"
        return record.mode == "train" or (record.mode in (None, "global") and not self._train_seen)

    def _ratio(self, record: Record) -> float | None:
        self._saved += 1
        change, before = number(record, "change_abs_mean"), number(record, "previous_abs_mean")
        previous = number(record, "previous_step")
        if change is None or before is None:
            return None
        if self._is_too_far(record, previous):
            self._too_far += 1
            return None
        if before == 0 or self._could_not_move(record.name, change):
            return None
        return change / (before + self.parameters.epsilon)

    def _could_not_move(self, name: str, change: float) -> bool:
        """Whether it is frozen, or stayed because there was no gradient: not the learning rate's fault."""
        if not self._gradients:
            return False
        return name not in self._gradients or (change == 0 and self._gradients[name] == 0)

    def _is_too_far(self, record: Record, previous: float | None) -> bool:
        most = self.parameters.num_steps
        return most is not None and previous is not None and (record.step or 0) - previous > most

    def _finding(self, record: Record, ratio: float, side: str, threshold: float, cure: str) -> Finding:
        message = f"{record.name} moved by {ratio:.3g} of itself up to {place(record)}, {side} {threshold:g}."
        return self.found(record, message, cure, ratio=ratio, threshold=threshold)

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        if not self._saved:
            return "No weights were saved in training: save the collection weights, with train.save_interval."
        if self._too_far:
            steps = self.parameters.num_steps
            return f"Weights were saved further apart than num_steps={steps}: save them every {steps} steps."
        return (
            "No trained weights were saved at two steps: save the collection weights more often (save_interval; "
            "debug.save_every)."
        )
