"""Records of a job → one span an attempt: its samples, its phases, and when its loop began and ended.

Attempts may lie days apart, so a report counts the seconds that the job ran, not those in between: `Timeline` places
every moment so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vizsla.analysis.profiling.finite import number, or_zero
from vizsla.records import Record

Numbers = Mapping[str, object]


@dataclass(slots=True)
class Attempt:
    """What one attempt recorded of time."""

    begun: float
    """Unix seconds: the start of its process, or the first thing that was recorded."""
    ended: float
    """Unix seconds: the end of its process if that is known, or of the last thing that was recorded."""
    machine: Numbers = field(default_factory=dict)
    execution: Numbers = field(default_factory=dict)
    samples: list[Record] = field(default_factory=list)
    phases: list[Record] = field(default_factory=list)
    windows: list[range] = field(default_factory=list)
    """Steps whose operators were profiled."""
    has_started: bool = False

    @property
    def loop(self) -> tuple[float, float] | None:
        """When its first phase began and its last one ended; None without phases."""
        if not self.phases:
            return None
        return min(each.t for each in self.phases), max(each.t + seconds(each) for each in self.phases)


def seconds(phase: Record) -> float:
    """How long a phase took."""
    return max(0.0, or_zero(phase.value))


def split(records: Iterable[Record], known: Sequence[tuple[float, float | None]] = ()) -> list[Attempt]:
    """The attempts of a job, in order. Those that recorded nothing of time are left out.

    known: start and end of the job's attempts, unix seconds, as its folder says; used where they fit.
    """
    found: list[Attempt] = []
    for record in records:
        if _begins(record, found):
            found.append(Attempt(record.t, record.t))
        if found:
            _put(record, found[-1])
    timed = [each for each in found if each.samples or each.phases]
    for each in timed:
        _place(each, known)
    return timed


def _begins(record: Record, found: Sequence[Attempt]) -> bool:
    if record.kind == "system" and record.name == "machine":
        return True
    if not found:
        return record.kind in ("system", "phase") or _is_start(record)
    return _is_start(record) and found[-1].has_started


def _is_start(record: Record) -> bool:
    return record.kind == "attempt" and record.name == "start"


def _put(record: Record, attempt: Attempt) -> None:
    if record.kind == "phase" and number(record.value) is not None:
        attempt.phases.append(record)
        attempt.ended = max(attempt.ended, record.t + seconds(record))
    elif record.kind == "phase" and record.name == "profile" and isinstance(record.value, Mapping):
        if record.step is not None:
            steps = int(or_zero(record.value.get("steps")))
            attempt.windows.append(range(record.step, record.step + steps))
    elif record.kind == "system" and isinstance(record.value, Mapping):
        if record.name == "sample":
            attempt.samples.append(record)
            attempt.ended = max(attempt.ended, record.t)
        elif record.name == "machine":
            attempt.machine = record.value
        elif record.name == "execution":
            attempt.execution = record.value
    elif _is_start(record):
        attempt.has_started = True


def _place(attempt: Attempt, known: Sequence[tuple[float, float | None]]) -> None:
    """Takes begin and end from the folder, where one of its attempts holds all that was recorded."""
    for begun, ended in known:
        if begun <= attempt.begun + 1 and (ended is None or attempt.ended <= ended + 1):
            attempt.begun = min(attempt.begun, begun)
            attempt.ended = max(attempt.ended, ended or attempt.ended)


class Timeline:
    """Moments as seconds that the job had run until then."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self._starts: list[tuple[Attempt, float]] = []
        self.seconds = 0.0
        for each in attempts:
            self._starts.append((each, self.seconds))
            self.seconds += max(0.0, each.ended - each.begun)

    def samples(self) -> Iterable[tuple[float, Record]]:
        """Each sample and when it was taken."""
        for attempt, before in self._starts:
            for record in attempt.samples:
                yield before + record.t - attempt.begun, record

    def phases(self) -> Iterable[tuple[float, Record]]:
        """Each phase and when it began."""
        for attempt, before in self._starts:
            for record in attempt.phases:
                yield before + record.t - attempt.begun, record

    def breaks(self) -> list[float]:
        """Where one attempt ends and the next one begins."""
        return [before for _, before in self._starts[1:]]
