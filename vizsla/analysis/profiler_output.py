"""The records of the profiler as SageMaker lays them out in `profiler-output/`, for notebooks that read that.

Pure: records in, the texts of files out; `api.exporting` writes them. System metrics are lines of JSON and phases are
Chrome trace events, both a file a minute, as SageMaker's own programs close one after 60 s.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vizsla.analysis.profiling import finite
from vizsla.records import Record

NODE = "algo-1"  # one host, called so as in SM_HOSTS
SECOND_US = 1_000_000
MINUTE_S = 60
STREAMS = ("system", "profile")  # where all that is exported lies

# What a phase of the loop is called in SageMaker's traces; what it has no word for keeps our name.
PHASES = {
    "load": "DataLoaderIter",
    "forward": "Forward",
    "backward": "Backward(post-forward)",
    "update": "Optimizer",
    "observe": "Observe",
    "checkpoint": "Checkpoint",
    "evaluate": "Step:ModeKeys.EVAL",
}
TRAINING = ("Step:ModeKeys.TRAIN", "Step:ModeKeys.GLOBAL")  # what a script's steps are whose hook was told no mode
OF_A_STEP = ("load", "forward", "backward", "update")
BEGINNINGS = ("machine", "execution")  # of an attempt: a step that is run again after them is another one


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written, by its path inside of `profiler-output/`."""

    path: str
    text: str = ""
    source: str | None = None
    """A file of the job folder to be copied instead of a text."""


@dataclass(frozen=True, slots=True)
class Event:
    """A span of time with a name, in microseconds since 1970."""

    name: str
    start_us: int
    length_us: int
    step: int | None

    @property
    def end_us(self) -> int:
        return self.start_us + self.length_us


def files(found: Sequence[Record], pid: int) -> Iterator[File]:
    """Everything that SageMaker would have written of these records. pid: of the process that trained."""
    yield from _system(found)
    yield from _timelines(events(found), pid)
    yield from _profiles(found, pid)


def events(found: Iterable[Record]) -> list[Event]:
    """The phases, and each step as a whole: from where it waits for its photos to the end of its update."""
    phases: list[Event] = []
    steps: dict[tuple[int, str, int], list[Event]] = defaultdict(list)
    attempt = 0
    for record in found:
        attempt += record.kind == "system" and record.name in BEGINNINGS
        seconds = finite.number(record.value)
        if record.kind != "phase" or record.name not in PHASES or seconds is None:
            continue
        event = Event(PHASES[record.name], _us(record.t), _us(seconds), record.step)
        phases.append(event)
        if record.name in OF_A_STEP and record.mode is not None and record.step is not None:
            steps[attempt, record.mode, record.step].append(event)
    whole = [_whole(f"Step:ModeKeys.{mode.upper()}", parts) for (_, mode, _), parts in steps.items()]
    return sorted([*phases, *whole], key=lambda event: (event.start_us, -event.length_us))


def _whole(name: str, parts: Sequence[Event]) -> Event:
    start, end = min(each.start_us for each in parts), max(each.end_us for each in parts)
    return Event(name, start, end - start, parts[0].step)


def _us(seconds: float) -> int:
    return round(seconds * SECOND_US)


# ---- system metrics


def _system(found: Iterable[Record]) -> Iterator[File]:
    minutes: dict[int, list[str]] = defaultdict(list)
    for record in found:
        if record.kind == "system" and record.name == "sample" and isinstance(record.value, Mapping):
            minute = int(record.t // MINUTE_S) * MINUTE_S
            figures = [each for each in _metrics(record.value) if finite.number(each[-1]) is not None]
            minutes[minute] += [_line(record.t, *each) for each in figures]
    for minute, lines in sorted(minutes.items()):
        yield File(f"system/incremental/{_hour(minute)}/{minute}.{NODE}.json", "".join(lines))


def _metrics(sample: Mapping[str, Any]) -> Iterator[tuple[str, str, str, float]]:
    """(type, name, dimension, value) of each figure that SageMaker has a name for."""
    for number, (busy, waiting) in enumerate(zip(sample.get("cores", ()), sample.get("iowait", ()), strict=False)):
        yield "cpu", f"cpu{number}", "CPUUtilization", busy
        yield "cpu", f"cpu{number}", "I/OWaitPercentage", waiting
    for figure, (kind, name, dimension) in SINGLE.items():
        if figure in sample:
            yield kind, name, dimension, sample[figure]
    for figure, dimension in (("gpu", "GPUUtilization"), ("gpu_memory", "GPUMemoryUtilization")):
        for number, value in enumerate(sample.get(figure, ())):
            yield "gpu", f"gpu{number}", dimension, value


SINGLE = {
    "memory": ("memory", "MemoryUsedPercent", ""),
    "disk_read": ("i/o", "ReadThroughputInBytesPerSecond", ""),
    "disk_write": ("i/o", "WriteThroughputInBytesPerSecond", ""),
    "received": ("network", "ReceiveBytesPerSecond", "Algorithm"),
    "sent": ("network", "TransmitBytesPerSecond", "Algorithm"),
}


def _line(t: float, kind: str, name: str, dimension: str, value: float) -> str:
    document = {"Type": kind, "Name": name, "Dimension": dimension, "Value": value, "NodeId": NODE, "Timestamp": t}
    return json.dumps(document) + "\n"


def _hour(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y%m%d%H")


# ---- phases


def _timelines(spans: Sequence[Event], pid: int) -> Iterator[File]:
    minutes: dict[int, list[Event]] = defaultdict(list)
    for event in spans:
        minutes[event.end_us // (MINUTE_S * SECOND_US)].append(event)
    for _, within in sorted(minutes.items()):
        end_us = max(event.end_us for event in within)
        folder = f"framework/pevents/{_hour(end_us / SECOND_US)}"
        yield File(f"{folder}/{end_us}_{pid}-{NODE}_pythontimeline.json", _timeline(within, pid))


def _timeline(spans: Sequence[Event], pid: int) -> str:
    """A trace: times count from the first event's start, and a phase is what Chrome calls a process."""
    base_us = min(event.start_us for event in spans)
    phases = {name: number for number, name in enumerate(dict.fromkeys(event.name for event in spans), 1)}
    lines = _named(0, {"start_time_since_epoch_in_micros": base_us})
    for name, number in phases.items():
        lines += _named(number, {"name": name})
    lines += [_span(event, phases[event.name], base_us, pid) for event in spans]
    return "[\n" + ",\n".join(map(json.dumps, lines)) + "\n]\n"


def _named(number: int, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": "process_name", "ph": "M", "pid": number, "args": dict(arguments)},
        {"name": "process_sort_index", "ph": "M", "pid": number, "args": {"sort_index": number}},
    ]


def _span(event: Event, number: int, base_us: int, pid: int) -> dict[str, Any]:
    step = {} if event.step is None else {"step_num": str(event.step)}
    return {
        "name": event.name,
        "pid": number,
        "ph": "X",
        "ts": event.start_us - base_us,
        "dur": event.length_us,
        "args": {"pid": pid, **step},
    }


# ---- the profile of the first steps


def _profiles(found: Iterable[Record], pid: int) -> Iterator[File]:
    """The trace of operators and Python's own profile, as they were recorded: each over `steps` steps from its own."""
    for record in found:
        if record.kind != "phase" or record.file is None or not isinstance(record.value, Mapping):
            continue
        first, steps = record.step or 0, finite.whole(record.value.get("steps")) or 0
        start_us = _us(record.t)
        end_us = start_us + _us(finite.or_zero(record.value.get("seconds")))
        if record.name == "profile":
            place = f"framework/pytorch/detailed_profiling/{_hour(record.t)}/{first:09d}"
            yield File(f"{place}/{end_us}_{pid}-{NODE}_trace.json.gz", source=record.file)
        elif record.name == "python":
            span = f"train-{first}-stepstart-{start_us}_train-{first + steps - 1}-stepend-{end_us}"
            yield File(f"framework/pytorch/cprofile/{pid}-{NODE}/{span}/python_stats", source=record.file)
