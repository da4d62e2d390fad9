"""Ranges and warm starts in SageMaker's words. Each is checked where it is written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, cast

from vizsla.errors import UserError
from vizsla.sdk.arguments import text
from vizsla.tuning import wire
from vizsla.tuning.space import Categorical, Continuous, Integer, Range, Scaling


class ParameterRange:
    """What the three kinds of ranges have in common."""

    def __init__(self, span: Range) -> None:
        self.span = span

    def as_tuning_range(self, name: str) -> dict[str, Any]:
        """This range as an entry of CreateHyperParameterTuningJob's ParameterRanges."""
        return wire.to_wire({name: self.span})[f"{type(self.span).__name__}ParameterRanges"][0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.span})"


class ContinuousParameter(ParameterRange):
    """Every number from `min_value` to `max_value`.

    `scaling_type` is Auto, Linear, Logarithmic or ReverseLogarithmic. Raises UserError for an impossible range.
    """

    def __init__(self, min_value: float, max_value: float, scaling_type: str = "Auto") -> None:
        super().__init__(Continuous(_number(min_value), _number(max_value), cast(Scaling, scaling_type)))


class IntegerParameter(ParameterRange):
    """Every whole number from `min_value` to `max_value`, both included; see ContinuousParameter."""

    def __init__(self, min_value: int, max_value: int, scaling_type: str = "Auto") -> None:
        super().__init__(Integer(_whole(min_value), _whole(max_value), cast(Scaling, scaling_type)))


class CategoricalParameter(ParameterRange):
    """One of these values, which have no order: texts or numbers. Raises UserError for none, or one named twice."""

    def __init__(self, values: Sequence[object] | object) -> None:
        many = values if isinstance(values, Iterable) and not isinstance(values, str) else [values]
        super().__init__(Categorical(tuple(text(value) for value in many)))


class WarmStartTypes(Enum):
    """What the earlier tuning jobs have in common with the new one."""

    IDENTICAL_DATA_AND_ALGORITHM = "IdenticalDataAndAlgorithm"
    """Data and algorithm: their objectives count as if they were trials of the new one."""
    TRANSFER_LEARNING = "TransferLearning"
    """The problem only: they say where good values may be, and their objectives are not compared with the new ones."""


class WarmStartConfig:
    """Earlier tuning jobs, by name, that a new one learns from."""

    def __init__(
        self,
        warm_start_type: WarmStartTypes = WarmStartTypes.IDENTICAL_DATA_AND_ALGORITHM,
        parents: Iterable[str] = (),
    ) -> None:
        self.type = WarmStartTypes(warm_start_type)
        self.parents = {parents} if isinstance(parents, str) else set(parents)
        if not 1 <= len(self.parents) <= 5:
            raise UserError(f"A warm start has {len(self.parents)} parents.", "Name 1 to 5 earlier tuning jobs.")


def _number(value: object) -> float:
    try:
        return float(cast(float, value))
    except (TypeError, ValueError):
        raise UserError(f"{value!r} cannot be the end of a range.", "Give a number.") from None


def _whole(value: object) -> int:
    number = _number(value)
    if not number.is_integer():
        raise UserError(f"{value!r} is no whole number.", "ContinuousParameter takes numbers between them.")
    return int(number)
