"""Rules on activations: units that answer nothing any more. A unit is a channel, or a feature where there is no space.

How active a unit is, is measured over the photos and places of one saved step. Activations are chosen by what they are
(the type in the record), and by name only where the user gives a regular expression.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from vizsla.analysis.rules import cures
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.frozen import Trained
from vizsla.analysis.rules.reading import module_type, numbers, place
from vizsla.analysis.rules.selection import MaybeNames, Regexes, Selection
from vizsla.keys import Section
from vizsla.records import Record

EDGE = "cdf:"  # before the edge, in the names of cumulative shares
RELU_OUTPUTS = ".*relu_output"
SQUASHED_INPUTS = ".*tanh_input|.*sigmoid_input"


class DeadReluParameters(Section):
    """dead_relu."""

    tensor_regex: Regexes = RELU_OUTPUTS
    """Inspect outputs whose names match. As it stands: the outputs of every ReLU, whatever it is called."""
    threshold_inactivity: float = Field(1.0, ge=0, le=100)
    """A unit is dead if it is above zero in less than this percent of what it answered."""
    threshold_layer: float = Field(50.0, ge=0, le=100)
    """The layer is accused if more than this percent of its units are dead."""


class DeadRelu(Rule[DeadReluParameters]):
    """Layers whose ReLUs are off."""

    Parameters: ClassVar[type[Section]] = DeadReluParameters
    looks_at: ClassVar[str] = "outputs of ReLU, ReLU6 and Hardtanh from 0"
    meaning: ClassVar[str] = (
        "more than `threshold_layer` percent of a layer's units are above zero for less than `threshold_inactivity` "
        "percent of what they answer"
    )
    advice: ClassVar[str] = "lower the learning rate, start from better weights and biases, or use a leaky activation"

    def __init__(self, name: str, parameters: DeadReluParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(None, parameters.tensor_regex)
        self._by_type = parameters.tensor_regex == RELU_OUTPUTS
        self._matched = 0
        self._trained = Trained(context.settings)

    def see(self, record: Record) -> Iterable[Finding]:
        if record.kind != "tensor":
            return
        by_name = self._selection.takes(record)
        self._matched += by_name
        if numbers(record, "active") and (self._by_type or by_name):
            for each in self._trained.add(record):
                yield from self._judged(each)

    def _judged(self, record: Record) -> Iterable[Finding]:
        active = numbers(record, "active") or ()
        self.datapoints += 1
        dead = sum(100 * share < self.parameters.threshold_inactivity for share in active)
        percent = 100 * dead / len(active)
        if percent > self.parameters.threshold_layer:
            yield self.found(
                record,
                f"{dead} of {len(active)} units of {record.name} are dead at {place(record)}: {percent:.1f} %, more "
                f"than {self.parameters.threshold_layer:g} %.",
                cures.spared(self.context.settings),
                percent=percent,
                threshold=self.parameters.threshold_layer,
            )

    def remark(self) -> str:
        return self._trained.left_out()

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        if left_out := self._trained.left_out():
            return left_out
        if self._by_type:
            return (
                "No ReLU was seen: the network has none as a module (functions such as torch.relu cannot be watched), "
                "or activation_outputs were not saved."
            )
        said = "but none of them is a ReLU's output" if self._matched else "nothing that was saved has such a name"
        return f"No ReLU was seen for tensor_regex={self.parameters.tensor_regex}: {said}. Leave it out to see all."


class SaturatedActivationParameters(Section):
    """saturated_activation."""

    collection_names: MaybeNames = None
    """Inspect inputs of these collections too."""
    tensor_regex: Regexes = SQUASHED_INPUTS
    """Inspect inputs whose names match. As it stands: the inputs of every tanh and sigmoid, whatever it is called."""
    threshold_tanh_min: float = -9.4999
    """Inputs of tanh below this are in its flat part."""
    threshold_tanh_max: float = 9.4999
    """Inputs of tanh above this are in its flat part."""
    threshold_sigmoid_min: float = -23.0
    """Inputs of sigmoid below this are in its flat part."""
    threshold_sigmoid_max: float = 16.99999
    """Inputs of sigmoid above this are in its flat part."""
    threshold_inactivity: float = Field(1.0, ge=0, le=100)
    """A unit is saturated if less than this percent of its inputs are between the two limits."""
    threshold_layer: float = Field(50.0, ge=0, le=100)
    """The layer is accused if more than this percent of its units are saturated."""

    @model_validator(mode="after")
    def _in_order(self) -> SaturatedActivationParameters:
        pairs = {
            "tanh": (self.threshold_tanh_min, self.threshold_tanh_max),
            "sigmoid": (self.threshold_sigmoid_min, self.threshold_sigmoid_max),
        }
        for kind, (low, high) in pairs.items():
            if low >= high:
                raise ValueError(f"threshold_{kind}_min={low:g} must be below threshold_{kind}_max={high:g}")
        return self


class SaturatedActivation(Rule[SaturatedActivationParameters]):
    """Layers whose tanhs or sigmoids are in their flat parts."""

    Parameters: ClassVar[type[Section]] = SaturatedActivationParameters
    looks_at: ClassVar[str] = "inputs of tanh and sigmoid"
    meaning: ClassVar[str] = (
        "more than `threshold_layer` percent of a layer's units have less than `threshold_inactivity` percent of their "
        "inputs between the limits"
    )
    advice: ClassVar[str] = "start from smaller weights, normalise the layer's inputs, or use a ReLU"

    def __init__(self, name: str, parameters: SaturatedActivationParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(parameters.collection_names, parameters.tensor_regex)
        self._by_type = parameters.tensor_regex == SQUASHED_INPUTS

    def see(self, record: Record) -> Iterable[Finding]:
        limits = self._limits(record) if record.kind == "tensor" else None
        shares = cumulative_shares(record) if limits else {}
        if not limits or not shares:
            return
        low, high = limits
        units = len(next(iter(shares.values())))
        if not units:
            return
        self.datapoints += 1
        saturated = sum(self._is_saturated(shares, unit, low, high) for unit in range(units))
        percent = 100 * saturated / units
        if percent > self.parameters.threshold_layer:
            yield self.found(
                record,
                f"{saturated} of {units} units of {record.name} are saturated at {place(record)} (inputs outside "
                f"{low:g} to {high:g}): {percent:.1f} %, more than {self.parameters.threshold_layer:g} %.",
                cures.spared(self.context.settings),
                percent=percent,
                threshold=self.parameters.threshold_layer,
            )

    def _is_saturated(self, shares: Mapping[float, Sequence[float]], unit: int, low: float, high: float) -> bool:
        inside = share_up_to(shares, unit, high) - share_up_to(shares, unit, low)
        return 100 * inside < self.parameters.threshold_inactivity

    def _limits(self, record: Record) -> tuple[float, float] | None:
        """Where the function is not flat; None for what is not to be inspected."""
        if not self._by_type and not self._selection.takes(record):
            return None
        kind = (module_type(record) or record.name).lower()
        if "sigmoid" in kind and "hard" not in kind:
            return self.parameters.threshold_sigmoid_min, self.parameters.threshold_sigmoid_max
        if "tanh" in kind and "hard" not in kind:
            return self.parameters.threshold_tanh_min, self.parameters.threshold_tanh_max
        return None

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        if self._by_type:
            return "No tanh or sigmoid was seen: the network has none as a module, or activation_inputs were not saved."
        return f"No tanh or sigmoid was seen: nothing that was saved is {self._selection}. Leave it out to see all."


def cumulative_shares(record: Record) -> dict[float, Sequence[float]]:
    """Edge → share of each unit's inputs that are at most that, edges rising; empty where it was not taken."""
    if not isinstance(record.value, Mapping):
        return {}
    found = {float(key.removeprefix(EDGE)): numbers(record, key) for key in record.value if key.startswith(EDGE)}
    return {edge: shares for edge, shares in sorted(found.items()) if shares}


def share_up_to(shares: Mapping[float, Sequence[float]], unit: int, limit: float) -> float:
    """The share of a unit's inputs that are at most `limit`: linear between edges, 0 below the first, 1 above the last.

    Outside the edges nothing is known; so a limit there never accuses anyone.
    """
    below, above = (-math.inf, 0.0), (math.inf, 1.0)
    for edge, values in shares.items():
        if edge <= limit:
            below = (edge, values[unit])
        else:
            above = (edge, values[unit])
            break
    if below[0] == limit:
        return below[1]
    if math.isinf(below[0]):
        return 0.0
    if math.isinf(above[0]):
        return 1.0
    return below[1] + (above[1] - below[1]) * (limit - below[0]) / (above[0] - below[0])
