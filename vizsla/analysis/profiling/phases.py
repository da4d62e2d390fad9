"""Phases → where the time of a job went, as a table and over the time it ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vizsla.analysis.profiling.attempts import Attempt, Timeline, seconds
from vizsla.analysis.profiling.finite import number
from vizsla.analysis.profiling.usage import MOST_BUCKETS, width
from vizsla.records import Record

ORDER: Final = ("load", "forward", "backward", "update", "observe", "evaluate", "checkpoint")


@dataclass(frozen=True, slots=True)
class Phase:
    """All of one phase."""

    name: str
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Bands:
    """The phases over the time that the job ran: of each stretch, the share of its time, 0 to 1."""

    at: tuple[float, ...]
    """Seconds, at the middle of each stretch."""
    width_s: float
    shares: Mapping[str, tuple[float, ...]]
    """By phase; what a stretch lacks of 1 was outside of the loop."""


@dataclass(frozen=True, slots=True)
class Phases:
    """Where the time went."""

    phases: tuple[Phase, ...]
    """In the order of a step."""
    job_seconds: float
    initialization_seconds: float
    """From the start of each attempt to its first phase."""
    loop_seconds: float
    """From the first phase of each attempt to the end of its last one."""
    finalization_seconds: float
    """From there to the end of the attempt."""
    bands: Bands

    @property
    def other_seconds(self) -> float:
        """Of the loop, what is in no phase."""
        return max(0.0, self.loop_seconds - sum(phase.seconds for phase in self.phases))

    def document(self) -> dict[str, Any]:
        """As JSON has it; seconds and shares of the job's time."""
        whole = self.job_seconds or 1.0
        rows = [(phase.name, phase.count, phase.seconds) for phase in self.phases]
        return {
            "job_s": round(self.job_seconds, 3),
            "initialization_s": round(self.initialization_seconds, 3),
            "loop_s": round(self.loop_seconds, 3),
            "finalization_s": round(self.finalization_seconds, 3),
            "phases": {
                name: {"count": count, "seconds": round(took, 3), "share": round(took / whole, 4)}
                for name, count, took in rows
            },
        }


def read(attempts: Sequence[Attempt], timeline: Timeline, most: int = MOST_BUCKETS) -> Phases | None:
    """None for a job without phases."""
    loops = [(each, loop) for each in attempts if (loop := each.loop)]
    if not loops:
        return None
    totals = Totals()
    for _, record in timeline.phases():
        totals.see(record)
    return Phases(
        phases=totals.phases(),
        job_seconds=timeline.seconds,
        initialization_seconds=sum(begun - each.begun for each, (begun, _) in loops),
        loop_seconds=sum(ended - begun for _, (begun, ended) in loops),
        finalization_seconds=sum(each.ended - ended for each, (_, ended) in loops),
        bands=_bands(timeline, width(timeline, most)),
    )


class Totals:
    """A fold over phases: how often each was, and how long together."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._seconds: dict[str, float] = {}

    def see(self, record: Record) -> None:
        """Takes in a record; those that are no phases are passed over."""
        if record.kind == "phase" and number(record.value) is not None:
            self._counts[record.name] = self._counts.get(record.name, 0) + 1
            self._seconds[record.name] = self._seconds.get(record.name, 0.0) + seconds(record)

    def phases(self) -> tuple[Phase, ...]:
        """In the order of a step."""
        return tuple(Phase(name, self._counts[name], self._seconds[name]) for name in sorted(self._counts, key=_place))


def _place(name: str) -> tuple[int, str]:
    return ORDER.index(name) if name in ORDER else len(ORDER), name


def _bands(timeline: Timeline, width_s: float) -> Bands:
    places = max(1, round(timeline.seconds / width_s + 0.5))
    sums: dict[str, list[float]] = {}
    for at, record in timeline.phases():
        row = sums.setdefault(record.name, [0.0] * places)
        for place, share in _shares(at, seconds(record), width_s, places):
            row[place] += share
    return Bands(
        at=tuple((place + 0.5) * width_s for place in range(places)),
        width_s=width_s,
        shares={name: tuple(min(1.0, share) for share in sums[name]) for name in sorted(sums, key=_place)},
    )


def _shares(begun: float, took: float, width_s: float, places: int) -> Iterable[tuple[int, float]]:
    """The stretches that a phase lies in, and how much of each it fills."""
    at, ended = max(0.0, begun), begun + took
    while at < ended:
        place = min(places - 1, int(at // width_s))
        end = ended if place == places - 1 else min(ended, (place + 1) * width_s)
        if end <= at:  # where at is a hair below the border
            end = min(ended, (place + 2) * width_s)
        yield place, (end - at) / width_s
        at = end
