"""Samples of the system → a table of what was used, and curves over the time the job ran."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vizsla.analysis.profiling.attempts import Timeline
from vizsla.analysis.profiling.finite import number, numbers, or_zero, whole
from vizsla.records import Record

MB: Final = 1e6
GB: Final = 1e9
MOST_BUCKETS = 240  # places on the time axis: more cannot be told apart on a screen


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a sample over the whole job."""

    name: str
    unit: str
    max: float
    p99: float
    p95: float
    p50: float
    min: float

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "metric": self.name,
            "unit": self.unit,
            **{name: round(getattr(self, name), 3) for name in ("max", "p99", "p95", "p50", "min")},
        }


@dataclass(frozen=True, slots=True)
class Series:
    """What the samples of each stretch of time come to. Percent; None where nothing was sampled."""

    at: tuple[float, ...]
    """Seconds that the job had run, at the middle of each stretch."""
    width_s: float
    """Of a stretch."""
    cpu: tuple[float | None, ...]
    """Mean over the cores and the stretch."""
    least_core: tuple[float | None, ...]
    busiest_core: tuple[float | None, ...]
    """Of the cores' means over the stretch, the lowest and the highest."""
    job_cpu: tuple[float | None, ...]
    """Of all cores together."""
    memory: tuple[float | None, ...]
    """The highest of the stretch."""
    gpu: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """How the machine was used while the job ran."""

    samples: int
    interval_s: float | None
    cores: int | None
    share: int | None
    memory_bytes: float | None
    metrics: tuple[Metric, ...]
    series: Series

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        names = ("cpu", "least_core", "busiest_core", "job_cpu", "memory", "gpu")
        series = {name: [_rounded(value) for value in getattr(self.series, name)] for name in names}
        return {
            "samples": self.samples,
            "interval_s": self.interval_s,
            "cores": self.cores,
            "share": self.share,
            "memory_bytes": self.memory_bytes,
            "usage": [metric.document() for metric in self.metrics],
            "series": {"seconds": [round(at, 3) for at in self.series.at], "width_s": self.series.width_s} | series,
        }


def read(timeline: Timeline, machine: Mapping[str, object], most: int = MOST_BUCKETS) -> Usage | None:
    """None for a job without samples. machine: what the record of that name says."""
    found = [(at, record.value) for at, record in timeline.samples() if isinstance(record.value, Mapping)]
    if not found:
        return None
    values = [value for _, value in found]
    cores = whole(machine.get("cores")) or max(len(numbers(value.get("cores"))) for value in values)
    return Usage(
        samples=len(found),
        interval_s=number(machine.get("interval_s")),
        cores=cores or None,
        share=whole(machine.get("share")),
        memory_bytes=number(machine.get("memory_bytes")),
        metrics=Table(values).metrics(),
        series=_series(found, max(1, cores), width(timeline, most)),
    )


def width(timeline: Timeline, most: int = MOST_BUCKETS) -> float:
    """The length of a stretch: a round number of seconds, no less than a sample's, that gives at most `most`."""
    lengths = sorted(
        or_zero(each.value.get("seconds")) for _, each in timeline.samples() if isinstance(each.value, Mapping)
    )
    least = max(timeline.seconds / most, percentile(lengths, 50) if lengths else 0.0, 0.1)
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= least * 0.99)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of numbers in order, at least one; between two neighbours in proportion."""
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


Take = Callable[[Mapping[str, Any]], Sequence[float]]
_Row = tuple[str, str, Take]


def _one(name: str, by: float = 1.0) -> Take:
    def take(value: Mapping[str, Any]) -> Sequence[float]:
        found = number(value.get(name))
        return () if found is None else (found * by,)

    return take


def _all(name: str) -> Take:
    return lambda value: numbers(value.get(name))


def _highest(name: str) -> Take:
    return lambda value: [max(found)] if (found := numbers(value.get(name))) else []


def _mean(name: str) -> Take:
    return lambda value: [sum(found) / len(found)] if (found := numbers(value.get(name))) else []


_ROWS: Final[tuple[_Row, ...]] = (
    ("CPU, all cores", "%", _one("cpu")),
    ("CPU, the busiest core", "%", _highest("cores")),
    ("CPU, the job", "% of one core", _one("job_cpu")),
    ("I/O wait", "%", _mean("iowait")),
    ("Threads that want a core", "", _one("running")),
    ("Memory", "%", _one("memory")),
    ("Memory", "GB", _one("memory_bytes", 1 / GB)),
    ("Memory of the job", "GB", _one("job_rss", 1 / GB)),
    ("Threads of the job", "", _one("job_threads")),
    ("Processes of the job", "", _one("job_processes")),
    ("Forced switches of the job", "a second", _one("job_switches")),
    ("Page faults of the job", "a second", _one("job_faults")),
    ("Disk, read", "MB/s", _one("disk_read", 1 / MB)),
    ("Disk, written", "MB/s", _one("disk_write", 1 / MB)),
    ("Network, received", "MB/s", _one("received", 1 / MB)),
    ("Network, sent", "MB/s", _one("sent", 1 / MB)),
    ("GPU", "%", _all("gpu")),
    ("GPU memory", "%", _all("gpu_memory")),
)


class Table:
    """A fold over samples: what was used at the most, mostly and at the least."""

    def __init__(self, values: Iterable[Mapping[str, Any]] = ()) -> None:
        self._columns = [array("d") for _ in _ROWS]
        for value in values:
            self._add(value)

    def see(self, record: Record) -> None:
        """Takes in a record; those that are no samples are passed over."""
        if record.kind == "system" and record.name == "sample" and isinstance(record.value, Mapping):
            self._add(record.value)

    def metrics(self) -> tuple[Metric, ...]:
        """A row for each figure that was sampled."""
        return tuple(
            _metric(name, unit, sorted(column))
            for (name, unit, _), column in zip(_ROWS, self._columns, strict=True)
            if column
        )

    def _add(self, value: Mapping[str, Any]) -> None:
        for (_, _, take), column in zip(_ROWS, self._columns, strict=True):
            column.extend(take(value))


def _metric(name: str, unit: str, ordered: Sequence[float]) -> Metric:
    p99, p95, p50 = (percentile(ordered, percent) for percent in (99, 95, 50))
    return Metric(name, unit, ordered[-1], p99, p95, p50, ordered[0])


def _series(found: Sequence[tuple[float, Mapping[str, Any]]], cores: int, width_s: float) -> Series:
    """Samples by stretch: one belongs to where the middle of its interval lies."""
    stretches: dict[int, list[Mapping[str, Any]]] = {}
    for at, value in found:
        middle = at - (number(value.get("seconds")) or 0.0) / 2
        stretches.setdefault(max(0, int(middle // width_s)), []).append(value)
    places = range(max(stretches) + 1)
    rows = [stretches.get(place, []) for place in places]
    by_core = [_core_means(row) for row in rows]
    return Series(
        at=tuple((place + 0.5) * width_s for place in places),
        width_s=width_s,
        cpu=tuple(_mean_of(row, _one("cpu")) for row in rows),
        least_core=tuple(min(means, default=None) for means in by_core),
        busiest_core=tuple(max(means, default=None) for means in by_core),
        job_cpu=tuple(_mean_of(row, _one("job_cpu", 1 / cores)) for row in rows),
        memory=tuple(max((each for value in row for each in _one("memory")(value)), default=None) for row in rows),
        gpu=tuple(_mean_of(row, _all("gpu")) for row in rows),
    )


def _core_means(row: Sequence[Mapping[str, Any]]) -> list[float]:
    lists = [found for value in row if (found := numbers(value.get("cores")))]
    return [sum(column) / len(column) for column in zip(*lists, strict=False)]


def _mean_of(row: Sequence[Mapping[str, Any]], take: Take) -> float | None:
    found = [each for value in row for each in take(value)]
    return sum(found) / len(found) if found else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
