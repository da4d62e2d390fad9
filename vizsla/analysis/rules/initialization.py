"""The rule on the first steps: whether the weights a training began with let signals and gradients through."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.rules import cures
from vizsla.analysis.rules.backward import PREFIX, BackwardPass, Gradient
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import EPOCH_LOSSES, collection, loss, number, place
from vizsla.analysis.rules.selection import Regexes, Selection
from vizsla.keys import Section
from vizsla.records import Record

RELU_INPUTS = ".*relu_input"
PARTS = {"variance": "activation inputs", "gradients": "gradients", "loss": "training losses"}


class PoorWeightInitializationParameters(Section):
    """poor_weight_initialization."""

    activation_inputs_regex: Regexes = RELU_INPUTS
    """Inspect activation inputs whose names match. As it stands: those of every activation, whatever it is called."""
    threshold: float = Field(10.0, gt=0)
    """The largest variance of a layer's activation inputs may not be more than this many times the smallest's."""
    distribution_range: float = Field(0.001, ge=0)
    """Between the 5th and the 95th percentile of each gradient there has to be at least this."""
    patience: int = Field(5, ge=1)
    """The loss has to reach a new low within this many steps; from `steps` on, it is not looked at."""
    steps: int = Field(10, ge=1)
    """How many steps from the first on are looked at."""
    share_of_largest: float = Field(1.0, ge=0, le=1)
    """vizsla's own: the mean of a gradient's absolute values also has to be below this share of the largest of its
    step; 1 asks nothing. Where all are zero, everything is learnt."""


class PoorWeightInitialization(Rule[PoorWeightInitializationParameters]):
    """Weights that training cannot begin with."""

    Parameters: ClassVar[type[Section]] = PoorWeightInitializationParameters
    looks_at: ClassVar[str] = "activation inputs, gradients and losses of the first steps"
    meaning: ClassVar[str] = (
        "in the first `steps` steps, layers' activation inputs differ in variance by more than `threshold` times, a "
        "gradient spans less than `distribution_range`, or the loss has no new low for `patience` steps"
    )
    advice: ClassVar[str] = "start from pretrained weights, or scale initial weights to the layer's inputs"

    def __init__(self, name: str, parameters: PoorWeightInitializationParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(None, parameters.activation_inputs_regex)
        self._by_type = parameters.activation_inputs_regex == RELU_INPUTS
        self._looked: set[str] = set()  # parts that could be looked at
        self._pass = BackwardPass(context)
        self._widest: Record | None = None  # the last activation input of the step that is coming in
        self._spread = (math.inf, 0.0)  # smallest and largest variance of that step
        self._lowest, self._since = math.inf, 0

    def see(self, record: Record) -> Iterator[Finding]:
        if record.mode not in ("train", "global", None) or record.step is None:
            return
        if record.kind == "tensor" and self._pass.ends_before(record):
            yield from self._step()
        if record.step >= self.parameters.steps:
            return
        if (found := loss(record)) is not None:
            if self._looks_at_losses and record.name not in EPOCH_LOSSES and found.mode != "eval":
                yield from self._loss(record, found.value)
        elif record.kind == "tensor":
            self._pass.add(record)
            if self._is_input(record):
                self._input(record)

    def done(self, now: float | None) -> Iterator[Finding]:
        yield from self._step()

    def _step(self) -> Iterator[Finding]:
        """What a step shows now that all of it is known."""
        yield from self._variances()
        gradients = self._pass.take()
        share = self.parameters.share_of_largest
        limit = share * max((one.size for one in gradients), default=0) if share < 1 else math.inf
        for one in gradients:
            if not one.is_blocked and not one.record.name.endswith("bias"):  # as in VanishingGradient
                yield from self._gradient(one, limit)

    def _is_input(self, record: Record) -> bool:
        return (self._by_type and collection(record) == "activation_inputs") or self._selection.takes(record)

    def _input(self, record: Record) -> None:
        variance = number(record, "variance")
        if variance is None:
            return
        self._look("variance")
        variance = math.inf if math.isnan(variance) else variance  # no value of it is finite
        self._widest = record
        self._spread = min(self._spread[0], variance), max(self._spread[1], variance)

    def _variances(self) -> Iterator[Finding]:
        record, times, limit = self._widest, _times(*self._spread), self.parameters.threshold
        self._widest, self._spread = None, (math.inf, 0.0)
        if record is not None and times > limit:
            said = f"the variance of activation inputs differs {times:.3g} times between layers, more than {limit:g}"
            yield self._poorly(record, said, times=times, threshold=limit)

    def _gradient(self, one: Gradient, limit: float) -> Iterator[Finding]:
        low, high = number(one.record, "p5"), number(one.record, "p95")
        if low is None or high is None:
            return
        self._look("gradients")
        span, least = high - low, self.parameters.distribution_range
        if span < least and one.size < limit:
            name = one.record.name.removeprefix(PREFIX)
            said = f"the gradient of {name} spans {span:.3g} from its 5th to its 95th percentile, less than {least:g}"
            yield self._poorly(one.record, said, range=span, threshold=least)

    def _loss(self, record: Record, value: float) -> Iterator[Finding]:
        self._look("loss")
        lower = value < self._lowest
        self._lowest, self._since = (value, 0) if lower else (self._lowest, self._since + 1)
        if self._since >= self.parameters.patience:
            said = (
                f"{record.name} is {value:.4g} and has had no new low since {self._lowest:.4g} {self._since} steps ago"
            )
            yield self._poorly(record, said, steps=self._since, threshold=self.parameters.patience, loss=value)

    @property
    def _looks_at_losses(self) -> bool:
        return self.parameters.patience < self.parameters.steps

    def _look(self, part: str) -> None:
        self._looked.add(part)
        self.datapoints += 1

    def _poorly(self, record: Record, said: str, **measured: float) -> Finding:
        message = f"Training began badly: at {place(record)} {said}."
        return self.found(record, message, cures.initialize(self.context.settings), **measured)

    def unfit(self) -> str:
        if self._looked:
            return ""
        return f"The first {self.parameters.steps} steps have no {' and no '.join(self._lacking())}: save some of them."

    def remark(self) -> str:
        lacking = self._lacking()
        return f"Not looked at, because not saved in the first steps: {', '.join(lacking)}." if lacking else ""

    def _lacking(self) -> list[str]:
        wanted = [part for part in PARTS if part != "loss" or self._looks_at_losses]
        return [PARTS[part] for part in wanted if part not in self._looked]


def _times(smallest: float, largest: float) -> float:
    """How many times the largest variance is the smallest; inf where one is 0, because nothing passes that layer."""
    if not largest or math.isinf(largest):
        return 1.0 if math.isinf(smallest) and not largest else math.inf
    return largest / smallest if smallest > 0 else math.inf
