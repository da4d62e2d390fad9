"""Rules on any tensor: numbers that are none, nothing but zeros, no change, too much or too little variance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from pydantic import Field, model_validator

from vizsla.analysis.rules import cures
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.frozen import starts_at_zero
from vizsla.analysis.rules.reading import loss, number, place
from vizsla.analysis.rules.selection import MaybeFloat, MaybeNames, MaybeRegexes, Selection
from vizsla.keys import Section
from vizsla.records import Record


class ExplodingTensorParameters(Section):
    """exploding_tensor."""

    collection_names: MaybeNames = None
    """Inspect tensors of these collections."""
    tensor_regex: MaybeRegexes = None
    """Inspect tensors whose names match. With neither, everything that was saved, and every loss, is inspected."""
    only_nan: bool = False
    """Look for NaN only, and allow infinite values."""


class ExplodingTensor(Rule[ExplodingTensorParameters]):
    """Numbers that are none."""

    Parameters: ClassVar[type[Section]] = ExplodingTensorParameters
    looks_at: ClassVar[str] = "everything saved, and losses"
    meaning: ClassVar[str] = "a tensor has a value that is NaN or infinite"
    advice: ClassVar[str] = "lower the learning rate; look at the first tensor named, that is where it began"

    def __init__(self, name: str, parameters: ExplodingTensorParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(parameters.collection_names, parameters.tensor_regex)

    def see(self, record: Record) -> Iterable[Finding]:
        if not self._inspects(record):
            return
        nan, infinite = number(record, "nan"), number(record, "inf")
        if nan is None or infinite is None:
            return
        self.datapoints += 1
        bad = nan if self.parameters.only_nan else nan + infinite
        if bad > 0:
            yield self.found(
                record,
                f"{record.name} at {place(record)} {_counted(record, nan, bad - nan)}.",
                cures.lower_lr(self.context.settings),
                nan=nan,
                inf=infinite,
                allowed=0.0,
            )

    def _inspects(self, record: Record) -> bool:
        if record.kind == "tensor":
            return not self._selection or self._selection.takes(record)
        if record.kind != "metric" or loss(record) is None:
            return False
        return not self._selection or self._selection.takes(record) or "losses" in self._selection.collections

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        if self._selection:
            return f"No tensor was inspected: nothing that was saved is {self._selection}."
        return "No tensors and no losses were saved: switch the debugger on."


def _counted(record: Record, nan: float, infinite: float) -> str:
    size = number(record, "size")
    if size is None or size == 1:
        return "is not a number" if nan else "is infinite"
    parts = [f"{count:g} {word}" for count, word in ((nan, "NaN"), (infinite, "infinite")) if count]
    return f"has {' and '.join(parts)} of {size:g} values"


class Named(Section):
    """The tensors a rule inspects, which the user has to name."""

    collection_names: MaybeNames = None
    """Inspect tensors of these collections. This or tensor_regex has to be given."""
    tensor_regex: MaybeRegexes = None
    """Inspect tensors whose names match. This or collection_names has to be given."""

    @model_validator(mode="after")
    def _names_something(self) -> Named:
        if not self.collection_names and not self.tensor_regex:
            raise ValueError("give collection_names or tensor_regex, to say what to inspect")
        return self


class AllZeroParameters(Named):
    """all_zero."""

    threshold: float = Field(100.0, ge=0, le=100)
    """Percent of the values that have to be zero."""


class AllZero(Rule[AllZeroParameters]):
    """Tensors of zeros."""

    Parameters: ClassVar[type[Section]] = AllZeroParameters
    looks_at: ClassVar[str] = "the tensors named"
    meaning: ClassVar[str] = "at least `threshold` percent of a tensor's values are zero"
    advice: ClassVar[str] = (
        "find out why: zero weights never learn, zero activations are dead units, zero gradients reach nothing"
    )

    def __init__(self, name: str, parameters: AllZeroParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(parameters.collection_names, parameters.tensor_regex)
        self._meant = ""  # the first tensor whose zeros are meant

    def see(self, record: Record) -> Iterable[Finding]:
        share = _statistic(record, "zeros", self._selection)
        if share is None:
            return
        self.datapoints += 1
        percent = 100 * share
        if percent < self.parameters.threshold:
            return
        if starts_at_zero(record, self.context):
            self._meant = self._meant or record.name
        else:
            message = (
                f"{percent:.4g} % of {record.name} are zero at {place(record)}; from "
                f"{self.parameters.threshold:g} % on it counts."
            )
            cure = cures.spared(self.context.settings)
            yield self.found(record, message, cure, percent=percent, threshold=self.parameters.threshold)

    def remark(self) -> str:
        if not self._meant:
            return ""
        return (
            f"Zeros at step 0 are meant, and left out: the head starts so, and lets no gradient pass ({self._meant})."
        )

    def unfit(self) -> str:
        return "" if self.datapoints else _nothing(self._selection)


class TensorVarianceParameters(Named):
    """tensor_variance."""

    max_threshold: MaybeFloat = Field(None, ge=0)
    """The variance may not be above this. This or min_threshold has to be given."""
    min_threshold: MaybeFloat = Field(None, ge=0)
    """The variance may not be below this. This or max_threshold has to be given."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> TensorVarianceParameters:
        if self.max_threshold is None and self.min_threshold is None:
            raise ValueError("give max_threshold, min_threshold or both")
        if (
            self.max_threshold is not None
            and self.min_threshold is not None
            and self.min_threshold > self.max_threshold
        ):
            low, high = self.min_threshold, self.max_threshold
            raise ValueError(f"min_threshold={low:g} must not be above max_threshold={high:g}")
        return self


class TensorVariance(Rule[TensorVarianceParameters]):
    """Tensors whose values differ too much or too little. The variance is over all values, ddof 0."""

    Parameters: ClassVar[type[Section]] = TensorVarianceParameters
    looks_at: ClassVar[str] = "the tensors named"
    meaning: ClassVar[str] = "the variance of a tensor's values is above `max_threshold` or below `min_threshold`"
    advice: ClassVar[str] = (
        "scale the initial weights to the layer's inputs, normalise, and lower the learning rate if it grows"
    )

    def __init__(self, name: str, parameters: TensorVarianceParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(parameters.collection_names, parameters.tensor_regex)

    def see(self, record: Record) -> Iterable[Finding]:
        variance = _statistic(record, "variance", self._selection)
        if variance is None:
            return
        self.datapoints += 1
        highest, lowest = self.parameters.max_threshold, self.parameters.min_threshold
        if highest is not None and variance > highest:
            yield self._finding(record, variance, "above", highest, cures.initialize)
        elif lowest is not None and variance < lowest:
            yield self._finding(record, variance, "below", lowest, cures.enlarge)

    def _finding(
        self, record: Record, variance: float, side: str, threshold: float, cure: Callable[[cures.Settings], str]
    ) -> Finding:
        message = f"The variance of {record.name} at {place(record)} is {variance:.3g}, {side} {threshold:g}."
        return self.found(record, message, cure(self.context.settings), variance=variance, threshold=threshold)

    def unfit(self) -> str:
        return "" if self.datapoints else _nothing(self._selection)


def _statistic(record: Record, key: str, selection: Selection) -> float | None:
    if record.kind not in ("tensor", "metric") or not selection.takes(record):
        return None
    return number(record, key)


def _nothing(selection: Selection) -> str:
    return f"No tensor was inspected: nothing that was saved is {selection}. Save it, or name what was saved."
