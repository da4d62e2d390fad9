"""torch.profiler over a stretch of a training: its trace, and which operators took the time.

Figures are added up from the trace itself: torch's own way to them takes seconds for ten steps.
"""

from __future__ import annotations

import bisect
import cProfile
import gc
import json
import marshal
import math
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler import profile, record_function

from vizsla.training.clock import Phase

Event = Mapping[str, Any]
KEPT = 50
LIST = re.compile(rb'"traceEvents"\s*:\s*\[')
QUIET = "KINETO_LOG_LEVEL"
OURS = "vizsla: debugger"  # how the debugger marks what it computes within a step
PHASES_TRACK = 0  # no thread has this number


@dataclass(slots=True)
class Operator:
    """What one operator took by itself, without the operators it called. cuda_s: of the kernels it started."""

    name: str
    calls: int = 0
    cpu_s: float = 0.0
    cuda_s: float = 0.0


class Session:
    """One profile of the thread that starts it, from `start` to `stop`. It ends any other: ask `is_profiled` first.

    python: whether cProfile looks at the thread as well.
    """

    def __init__(self, python: bool = False) -> None:
        # The one below torch.profiler.profile, which would load torch's compiler (seconds) to ask it a question.
        self._torch = profile(use_kineto=True, use_device="cuda" if torch.cuda.is_available() else None)
        self._python = cProfile.Profile() if python else None
        self._stopped = False

    def start(self) -> None:
        with _quiet():
            self._torch.__enter__()  # type: ignore[no-untyped-call]
        if self._python:
            self._python.enable()

    def stop(self) -> None:
        """Ends the profile, once; what it saw is kept."""
        if self._stopped:
            return
        self._stopped = True
        if self._python:
            self._python.disable()
        self._torch.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def trace(self) -> bytes:
        """What was seen as JSON, in Chrome's trace format. Once: torch gives it away."""
        with tempfile.TemporaryDirectory(prefix="vizsla-profile-") as folder:
            file = Path(folder, "trace.json")
            self._torch.export_chrome_trace(str(file))  # type: ignore[no-untyped-call]
            return file.read_bytes()

    def python(self) -> bytes | None:
        """cProfile's statistics, as `pstats.Stats` reads them; None where it was not asked for."""
        if self._python is None:
            return None
        self._python.create_stats()
        return marshal.dumps(self._python.stats)


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's profiler reads here, when it is first used, what it may say on the terminal: much, where no GPU is."""
    given = os.environ.get(QUIET)
    os.environ[QUIET] = given or "99"
    try:
        yield
    finally:
        if given is None:
            del os.environ[QUIET]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Reading a trace makes a million objects, which set Python's collector off again and again, to find nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def ours() -> AbstractContextManager[object]:
    """For a `with` around what the debugger computes: marks it in a trace. Where none is made it costs nothing."""
    return record_function(OURS) if is_profiled() else nullcontext()


def is_profiled() -> bool:
    """Whether somebody profiles already; there can be one at a time."""
    return bool(torch._C._autograd._profiler_enabled())


def most_expensive(trace: Event, laps: Iterable[Sequence[Phase]], kept: int = KEPT) -> list[Operator]:
    """The operators that took most time by themselves, on the CPU and on a GPU together.

    Those of the training: what was computed in a phase of `laps` other than "observe", and by no debugger in between.
    """
    found: defaultdict[str, Operator] = defaultdict(lambda: Operator(""))
    events = [event for event in trace.get("traceEvents", ()) if event.get("ph") == "X"]
    base_us = _base_us(trace)
    wanted = _Spans(
        (_start(phase, base_us), phase.seconds * 1e6) for lap in laps for phase in lap if phase.name != "observe"
    )
    marked = _Spans((event["ts"], event["dur"]) for event in events if event["name"] == OURS)
    operators = [event for event in events if event.get("cat") == "cpu_op"]
    for event, seconds in _own_times(operators):
        if event["ts"] not in wanted or event["ts"] in marked:
            continue
        one = found[event["name"]]
        one.name, one.calls, one.cpu_s = event["name"], one.calls + 1, one.cpu_s + seconds
    started = {event["args"]["External id"]: event["name"] for event in operators if "External id" in _args(event)}
    for event in events:
        if event.get("cat") == "kernel" and (name := started.get(_args(event).get("External id"), "")) in found:
            found[name].cuda_s += float(event["dur"]) / 1e6
    return sorted(found.values(), key=lambda one: one.cpu_s + one.cuda_s, reverse=True)[:kept]


def with_phases(raw: bytes, trace: Event, steps: Iterable[tuple[int, Sequence[Phase]]]) -> bytes:
    """The trace `raw`, which is `trace` when it is read, with the phases of the loop as a track of their own on top."""
    process, base_us = os.getpid(), _base_us(trace)
    place = {"pid": process, "tid": PHASES_TRACK}
    track = [
        {"ph": "M", "name": "thread_name", **place, "args": {"name": "phases of the loop"}},
        {"ph": "M", "name": "thread_sort_index", **place, "args": {"sort_index": -1}},
    ]
    told = [(step, phase, _start(phase, base_us)) for step, lap in steps for phase in lap]
    starts = [start for *_, start in told]
    phases = [
        {
            "ph": "X",
            "cat": "phase",
            "name": phase.name,
            **place,
            "ts": start,
            # Two clocks tell where it began and how long it was; viewers drop what reaches into the next by a hair.
            "dur": max(0.0, min(phase.seconds * 1e6, following - start)),
            "args": {"step": step},
        }
        for (step, phase, start), following in zip(told, [*starts[1:], math.inf], strict=False)
    ]
    # A hundred thousand events are not written anew for these few: they are put before the others.
    before = json.dumps([*track, *phases])[1:-1] + (", " if trace["traceEvents"] else "")
    return LIST.sub(lambda found: found[0] + before.encode(), raw, count=1)


class _Spans:
    """Stretches of time that do not overlap, as (start, length) in any order. `in`: whether one covers a moment."""

    def __init__(self, spans: Iterable[tuple[float, float]]) -> None:
        self._spans = sorted(spans)

    def __contains__(self, moment: float) -> bool:
        place = bisect.bisect_right(self._spans, (moment, math.inf)) - 1
        return place >= 0 and moment < sum(self._spans[place])


def _base_us(trace: Event) -> float:
    """The unix time that a trace's times are counted from, in microseconds."""
    return float(trace.get("baseTimeNanoseconds", 0)) / 1e3


def _start(phase: Phase, base_us: float) -> float:
    return phase.t * 1e6 - base_us


def _args(event: Event) -> Mapping[str, Any]:
    args: Mapping[str, Any] = event.get("args") or {}
    return args


def _own_times(operators: Iterable[Event]) -> Iterator[tuple[Event, float]]:
    """Each with the seconds that no operator within it accounts for."""
    threads = defaultdict(list)
    for event in operators:
        threads[event["pid"], event["tid"]].append(event)
    for thread in threads.values():
        open_: list[list[Any]] = []  # [event, its own µs], each within the one before
        for event in sorted(thread, key=lambda event: (event["ts"], -event["dur"])):
            while open_ and open_[-1][0]["ts"] + open_[-1][0]["dur"] <= event["ts"]:
                yield _closed(open_.pop())
            if open_:
                open_[-1][1] -= event["dur"]
            open_.append([event, event["dur"]])
        yield from map(_closed, open_)


def _closed(one: list[Any]) -> tuple[Event, float]:
    return one[0], max(0.0, one[1]) / 1e6
