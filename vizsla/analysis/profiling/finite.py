"""Numbers out of records, which may hold words, NaN and infinity: of those there is nothing to be worked out."""

from __future__ import annotations

import math


def number(value: object) -> float | None:
    """`value` if it is a finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def or_zero(value: object) -> float:
    """`value` if it is a finite number, else 0."""
    return number(value) or 0.0


def whole(value: object) -> int | None:
    """`value` without its fraction, if it is a finite number."""
    found = number(value)
    return None if found is None else int(found)


def numbers(value: object) -> list[float]:
    """The finite numbers of a list; none of what is no list."""
    return [found for each in value if (found := number(each)) is not None] if isinstance(value, list | tuple) else []
