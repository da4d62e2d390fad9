"""The loop's clock: which part of a training takes how long. Every moment of the loop belongs to one phase.

    for step, batch in clock.each("load", batches):
        with clock("forward"):
            ...

A phase begins where the one before it ended, so the few lines between two of them count for the second, and the phases
of a loop add up to its wall time. They follow one another and do not nest. On a GPU a phase is the time it took to
launch the work, not to do it: the one that waits for a result (reading the loss does) holds what was launched before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Phase(NamedTuple):
    """A stretch of the loop. `t` is the unix time it began; `seconds` were measured by a clock that is never set."""

    name: str
    t: float
    seconds: float


class Clock:
    """Begins when it is made. About a microsecond a phase, and nothing that a computation could notice."""

    def __init__(self) -> None:
        self._phases: list[Phase] = []
        self._t, self._mark = time.time(), time.perf_counter()

    def __call__(self, name: str) -> Ending:
        """For a `with`: at its end the phase `name` ends, however it is left."""
        return Ending(self, name)

    def each(self, name: str, items: Iterable[T]) -> Iterator[tuple[int, T]]:
        """`enumerate(items)`, where waiting for each item is the phase `name`."""
        for number, item in enumerate(items):
            self.end(name)
            yield number, item

    def end(self, name: str) -> None:
        """What was done since the last phase ended was `name`."""
        t, mark = time.time(), time.perf_counter()
        self._phases.append(Phase(name, self._t, mark - self._mark))
        self._t, self._mark = t, mark

    def lap(self) -> tuple[Phase, ...]:
        """The phases that ended since the last lap; the next one begins."""
        phases, self._phases = tuple(self._phases), []
        return phases


class Ending:
    """Ends a phase where its `with` ends."""

    __slots__ = ("_clock", "_name")

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock, self._name = clock, name

    def __enter__(self) -> None:
        """The phase began when the one before it ended."""

    def __exit__(self, *_error: object) -> None:
        self._clock.end(self._name)
