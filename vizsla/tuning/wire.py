"""A Space in AWS's words: the ParameterRanges of CreateHyperParameterTuningJob, both ways. Its numbers are strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vizsla.errors import UserError
from vizsla.tuning.space import Categorical, Continuous, Integer, Range, Scaling, Space, space

KINDS = ("Continuous", "Integer", "Categorical")


def to_wire(ranges: Space) -> dict[str, list[dict[str, Any]]]:
    """The three lists of ParameterRanges."""
    wire: dict[str, list[dict[str, Any]]] = {f"{kind}ParameterRanges": [] for kind in KINDS}
    for name, span in ranges.items():
        wire[f"{type(span).__name__}ParameterRanges"].append({"Name": name, **_written(span)})
    return wire


def from_wire(wire: Mapping[str, Sequence[Mapping[str, Any]]]) -> Space:
    """The space of AWS's ParameterRanges; a missing ScalingType is Auto.

    Raises UserError for a kind of range we do not have (AutoParameters), or an entry that is none.
    """
    ranges: list[tuple[str, Range]] = []
    for key, entries in wire.items():
        kind = key.removesuffix("ParameterRanges")
        if entries and kind not in KINDS:
            raise UserError(f"{key} cannot be searched here.", f"There are {', '.join(KINDS)}ParameterRanges.")
        ranges.extend(_read(kind, entry) for entry in entries)
    return space(ranges)


def _written(span: Range) -> dict[str, Any]:
    if isinstance(span, Categorical):
        return {"Values": list(span.values)}
    return {"MinValue": span.text(span.low), "MaxValue": span.text(span.high), "ScalingType": span.scaling}


def _read(kind: str, entry: Mapping[str, Any]) -> tuple[str, Range]:
    match entry:
        case {"Name": str(name), "Values": [*values]} if kind == "Categorical":
            return name, Categorical(tuple(str(value) for value in values))
        case {"Name": str(name), "MinValue": str(low), "MaxValue": str(high)} if kind != "Categorical":
            return name, _span(kind, low, high, entry.get("ScalingType", "Auto"))
    raise UserError(
        f"{dict(entry)} is no entry of {kind}ParameterRanges.", "It needs Name, and MinValue and MaxValue or Values."
    )


def _span(kind: str, low: str, high: str, scaling: Scaling) -> Range:
    try:
        if kind == "Integer":
            return Integer(int(low), int(high), scaling)
        return Continuous(float(low), float(high), scaling)
    except ValueError:
        raise UserError(f"{low}..{high} is no {kind.lower()} range.", "Its ends have to be numbers.") from None
