"""Which tensors a rule inspects: those of named collections, those whose names match, or what the rule itself means.

`collection_names` and `tensor_regex` are SageMaker's: a string, or several with commas between them; what either names
is inspected. A regular expression may match anywhere in a name.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from vizsla.analysis.rules.reading import collection
from vizsla.records import Record


def listed(text: str | None) -> tuple[str, ...]:
    """The parts between the commas of `text`; a comma inside brackets is part of a regular expression."""
    return tuple(part.strip() for part in _parts(text or "") if part.strip())


def _parts(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth <= 0:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def _compiled(text: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about what [[ may mean one day: the user cannot help it
        return re.compile(text)


def _compiles(text: str) -> str:
    for part in listed(text):
        try:
            _compiled(part)
        except (re.error, OverflowError) as error:  # the latter for a{99999999999}
            raise ValueError(f"{part!r} is no regular expression ({error})") from error
    return text


def _none(value: Any) -> Any:
    """A parameter that says nothing: strings have no None of their own."""
    return None if isinstance(value, str) and value.strip().lower() in ("", "none") else value


def _mode(value: Any) -> Any:
    """`TRAIN`, `modes.TRAIN` or `train`; None for what says nothing."""
    if not isinstance(value, str):
        return value
    word = value.strip().rpartition(".")[2].lower()
    return None if word in ("", "none") else word


Regexes = Annotated[str, AfterValidator(_compiles)]
MaybeRegexes = Annotated[Regexes | None, BeforeValidator(_none)]
MaybeNames = Annotated[str | None, BeforeValidator(_none)]
MaybeFloat = Annotated[float | None, BeforeValidator(_none)]
MaybeMode = Annotated[Literal["train", "eval", "predict", "global"] | None, BeforeValidator(_mode)]
MaybeInt = Annotated[int | None, BeforeValidator(_none)]


@dataclass(frozen=True, slots=True)
class Selection:
    """Collections and patterns; a tensor that either takes is inspected."""

    collections: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, collection_names: str | None = None, tensor_regex: str | None = None) -> Selection:
        """From the two parameters, checked before."""
        return cls(frozenset(listed(collection_names)), tuple(map(_compiled, listed(tensor_regex))))

    def __bool__(self) -> bool:
        """Whether the user named anything."""
        return bool(self.collections or self.patterns)

    def __str__(self) -> str:
        names = sorted(self.collections) + [pattern.pattern for pattern in self.patterns]
        return ", ".join(names)

    def takes(self, record: Record) -> bool:
        """Whether `record` is of one of the collections or has a name that matches."""
        return collection(record) in self.collections or any(one.search(record.name) for one in self.patterns)
