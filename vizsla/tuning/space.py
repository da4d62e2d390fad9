"""What a search may vary: a range for each hyperparameter, as values, and the forms they are written in.

The faces make a Space from what a user types (`parse_range`) or from AWS's documents (wire.py); `sweep.json` keeps
it (`to_json`); search.py proposes points in it. A point is a mapping of strings, as hyperparameters are.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from vizsla.errors import UserError
from vizsla.job import LAUNCHER_PREFIXES

Scaling = Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]

# SageMaker's limits: 30 hyperparameters in a search, 30 values of a categorical one, 256 characters of a name, 2,500
# of a value.
MAX_RANGES = 30
MAX_VALUES = 30
MAX_VALUE_LENGTH = 2500
LISTABLE = 10_000  # points of a space that are ever listed; AWS's quota is 750 jobs a search
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,255}")
# Far larger ones lose single steps in the model's floats.
MAX_INTEGER = 2**32

# Python refuses to read or print whole numbers of more than 4,300 digits.
_NUMBER = r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{1,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?"
_SPAN = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(?::\s*(\S*))?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_SCALINGS: Mapping[str, Scaling] = {
    "auto": "Auto",
    "linear": "Linear",
    "log": "Logarithmic",
    "reverselog": "ReverseLogarithmic",
}
_FORMS = "Write lr=0.001..0.01, epochs=2..3 or batch_size=64,128."


@dataclass(frozen=True, slots=True)
class Continuous:
    """Every number from `low` to `high`. Raises UserError where there is none, or the scaling cannot be."""

    low: float
    high: float
    scaling: Scaling = "Auto"

    def __post_init__(self) -> None:
        if not math.isfinite(self.high - self.low):
            raise UserError(f"A range from {self.low} to {self.high} cannot be searched.", "Give two finite numbers.")
        _check_span(self)

    @property
    def scale(self) -> Scaling:
        """The scaling with Auto decided."""
        return _decided(self)

    def text(self, value: float) -> str:
        """`value` as a hyperparameter, moved into the range where rounding took it out: the shortest exact text."""
        return repr(float(min(max(value, self.low), self.high)))

    def holds(self, text: str) -> bool:
        """Whether a hyperparameter's text is a number of this range."""
        value = _number(text)
        return value is not None and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Integer:
    """Every whole number from `low` to `high`, both included. Raises UserError as Continuous does."""

    low: int
    high: int
    scaling: Scaling = "Auto"

    def __post_init__(self) -> None:
        if max(abs(self.low), abs(self.high)) > MAX_INTEGER:
            raise UserError(
                f"A range from {self.low} to {self.high} cannot be searched.",
                f"Whole numbers go up to {MAX_INTEGER}; with a dot, as in 0.0..1e18, a range is continuous.",
            )
        _check_span(self)

    @property
    def scale(self) -> Scaling:
        """The scaling with Auto decided."""
        return _decided(self)

    def text(self, value: float) -> str:
        """`value` as a hyperparameter, moved into the range where rounding took it out."""
        return str(int(min(max(value, self.low), self.high)))

    def holds(self, text: str) -> bool:
        """Whether a hyperparameter's text is a whole number of this range."""
        return _WHOLE.fullmatch(text) is not None and self.low <= int(text) <= self.high


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of 1 to 30 texts, which have no order. Raises UserError for other numbers of them, and for doubles."""

    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.values) <= MAX_VALUES:
            raise UserError(
                f"A hyperparameter cannot have {len(self.values)} values to choose from.",
                f"Name 1 to {MAX_VALUES}; for more numbers than that, give a range such as 1..100.",
            )
        if len(set(self.values)) < len(self.values):
            raise UserError(f"A value is named twice in {', '.join(self.values)}.", "Name each value once.")
        if any(not 1 <= len(value) <= MAX_VALUE_LENGTH for value in self.values):
            raise UserError("A value to choose from is empty or too long.", f"1 to {MAX_VALUE_LENGTH} characters each.")

    def holds(self, text: str) -> bool:
        """Whether a hyperparameter's text is one of the values, letter by letter."""
        return text in self.values


Range = Continuous | Integer | Categorical
Space = Mapping[str, Range]


def space(ranges: Sequence[tuple[str, Range]]) -> Space:
    """The space of these named ranges.

    Raises UserError for none or too many of them, a name given twice, and a name that no training would receive.
    """
    if not ranges:
        raise UserError("There is nothing to search over.", f"Name at least one range. {_FORMS}")
    if len(ranges) > MAX_RANGES:
        raise UserError(f"{len(ranges)} ranges are too many.", f"SageMaker's limit is {MAX_RANGES}, and ours.")
    named: dict[str, Range] = {}
    for name, span in ranges:
        _check_name(name)
        if name in named:
            raise UserError(f"{name} has two ranges.", "Give each hyperparameter one.")
        named[name] = span
    return named


def parse_range(text: str) -> tuple[str, Range]:
    """What follows `--range`, as a name and a range.

    `lr=0.001..0.01` is continuous, `epochs=2..3` (whole numbers without a dot) integer, `batch_size=64,128`
    categorical; `:log`, `:linear`, `:reverselog` or `:auto` after a range is its scaling. Raises UserError.
    """
    name, equals, given = (part.strip() for part in text.partition("="))
    if not equals or not given:
        raise UserError(f"{text!r} is not a range.", _FORMS)
    _check_name(name)
    if span := _SPAN.fullmatch(given):
        return name, _span(name, *span.groups())
    values = tuple(value.strip() for value in given.split(","))
    if any(_SPAN.fullmatch(value) for value in values):
        raise UserError(f"{name} is both a range and a list.", f"Give {name}=a..b or {name}=a,b,c.")
    if len(values) == 1:
        raise UserError(
            f"{given!r} is neither a range nor a list, so {name} has one value only.",
            f"{_FORMS} A value that stays the same is a setting: {name}={given}.",
        )
    return name, Categorical(values)


def holds(ranges: Space, point: Mapping[str, str]) -> bool:
    """Whether `point` has a value inside every range; hyperparameters without a range are not looked at."""
    return all(name in point and span.holds(point[name]) for name, span in ranges.items())


def size(ranges: Space) -> int | None:
    """How many different points there are; None where a continuous range makes them countless."""
    counts = [_count(span) for span in ranges.values()]
    return None if None in counts else math.prod(cast(list[int], counts))


def points(ranges: Space) -> Iterator[dict[str, str]]:
    """Every point of a space without continuous ranges, by sorted names, the last name's value changing first.

    Names are sorted so that a space means the same however it was written down.
    """
    names = sorted(ranges)
    for values in itertools.product(*(_values(ranges[name]) for name in names)):
        yield dict(zip(names, values, strict=True))


def grid(ranges: Space) -> list[dict[str, str]]:
    """All combinations, in the order of `points`.

    Raises UserError unless every range is categorical, as at AWS, and where there are more than anyone would train.
    """
    numbers = sorted(name for name, span in ranges.items() if not isinstance(span, Categorical))
    if numbers:
        raise UserError(
            f"A grid needs values to choose from, and {', '.join(numbers)} has a range.",
            f"List the values, {numbers[0]}=a,b,c, or choose another strategy.",
        )
    combinations = size(ranges)
    if combinations is None or combinations > LISTABLE:
        raise UserError(f"The grid has {combinations} combinations.", f"{LISTABLE} are the most; leave values out.")
    return list(points(ranges))


def to_json(ranges: Space) -> dict[str, Any]:
    """The space as sweep.json keeps it."""
    return {name: _json(span) for name, span in ranges.items()}


def from_json(document: Mapping[str, Any]) -> Space:
    """The space that `to_json` wrote. Raises UserError where the document is none of its."""
    return space([(name, _from_json(name, entry)) for name, entry in document.items()])


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be the name of a hyperparameter.",
            "Names are letters, digits, dots, dashes and underscores, at most 256.",
        )
    if name.startswith(LAUNCHER_PREFIXES):
        raise UserError(
            f"{name} would never reach the training.",
            f"Names that start with {' or '.join(LAUNCHER_PREFIXES)} belong to SageMaker's launchers.",
        )


def _check_span(span: Continuous | Integer) -> None:
    ends = f"{span.low}..{span.high}"
    if span.low >= span.high:
        raise UserError(f"There is nothing between the ends of {ends}.", "The first has to be smaller.")
    if span.scaling not in get_args(Scaling):
        raise UserError(f"{span.scaling!r} is no scaling.", f"There are {', '.join(get_args(Scaling))}.")
    if span.scaling == "Logarithmic" and span.low <= 0:
        raise UserError(f"{ends} cannot be searched on a logarithmic scale.", "It has to lie above 0.")
    if span.scaling == "ReverseLogarithmic" and not 0 <= span.low < span.high < 1:
        raise UserError(
            f"{ends} cannot be searched on a reverse logarithmic scale.",
            "It has to lie between 0 and 1, without 1; 0.9..0.999 is one.",
        )


def _decided(span: Continuous | Integer) -> Scaling:
    if span.scaling != "Auto":
        return span.scaling
    # What SageMaker's Auto does is not published. Ours: a factor of ten or more is a matter of magnitudes. The
    # tolerance is for ends such as 3e-5..3e-4, whose quotient rounds to just below ten.
    wide = span.low > 0 and span.high >= 10 * span.low * (1 - 1e-9)
    return "Logarithmic" if wide else "Linear"


def _span(name: str, low: str, high: str, word: str | None) -> Range:
    scaling = _SCALINGS.get(word.lower()) if word is not None else "Auto"
    if scaling is None:
        raise UserError(f"{name}: {word!r} is no scaling.", f"There are {', '.join(_SCALINGS)}.")
    if _WHOLE.fullmatch(low) and _WHOLE.fullmatch(high):
        return Integer(int(low), int(high), scaling)
    return Continuous(float(low), float(high), scaling)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _count(span: Range) -> int | None:
    if isinstance(span, Continuous):
        return None
    return len(span.values) if isinstance(span, Categorical) else span.high - span.low + 1


def _values(span: Range) -> Sequence[str]:
    if isinstance(span, Continuous):
        raise ValueError("a continuous range has no list of values")
    return span.values if isinstance(span, Categorical) else [str(n) for n in range(span.low, span.high + 1)]


def _json(span: Range) -> dict[str, Any]:
    if isinstance(span, Categorical):
        return {"type": "Categorical", "values": list(span.values)}
    return {"type": type(span).__name__, "low": span.low, "high": span.high, "scaling": span.scaling}


def _from_json(name: str, entry: Mapping[str, Any]) -> Range:
    match entry:
        case {"type": "Continuous", "low": int() | float() as low, "high": int() | float() as high, "scaling": scaling}:
            return Continuous(float(low), float(high), scaling)
        case {"type": "Integer", "low": int() as low, "high": int() as high, "scaling": scaling}:
            return Integer(low, high, scaling)
        case {"type": "Categorical", "values": [*values]} if all(isinstance(value, str) for value in values):
            return Categorical(tuple(values))
    raise UserError(f"The range of {name} cannot be read.", "The file was not written by this version of vizsla.")
