"""A training loop in a few figures: what its phases took, and what the machine did meanwhile. A fold over records.

The first thing `bound` needs. What was measured beside the loop, before its first step or after its last, is not in
the figures; neither is what the operator profile slowed down, where there are other steps.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vizsla.analysis.profiling.finite import number, numbers, or_zero, whole
from vizsla.records import Record

STEP_PHASES: Final = ("load", "forward", "backward", "update", "observe")
_KEPT_PHASES = 8192  # the newest ones: of these, those under the operator profile can be taken back
_WAITING_SAMPLES = 4096  # that a phase has still to be seen for
_WARM_UP: Final = 1  # steps: the first one makes what the others use again
_SAMPLED: Final = ("seconds", "cpu", "job_cpu", "memory", "job_faults", "job_switches", "job_threads", "running")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen of a loop. None, or 0 for a number of things, is what was not told."""

    cores: int
    """Of the machine."""
    share: int
    """Cores that the job may use."""
    threads: int | None
    loader_workers: int | None
    batch_size: int | None
    steps_per_epoch: int | None
    steps: int
    """Training steps behind `seconds`."""
    seconds: Mapping[str, float]
    """By phase, of those steps alone."""
    loop_seconds: float
    """Of all steps, evaluations and checkpoints."""
    sampled_seconds: float
    """Behind the figures that follow, which are means over the loop."""
    cpu: float
    """Cores that anybody used."""
    job_cpu: float | None
    """Cores that the job used."""
    iowait: float | None
    """Cores that had nothing to do but wait for a disk."""
    memory: float | None
    """Percent, at the most."""
    faults: float | None
    """Major page faults of the job a second: memory that had to be read from a disk."""
    switches: float | None
    """Times a second that a thread of the job had to make room for another."""
    job_threads: float | None
    """Of the job's processes together, idle ones too."""
    running: float | None
    """Threads on the machine that wanted a core."""

    @property
    def step_seconds(self) -> float:
        """What the phases of all counted steps took together."""
        return sum(self.seconds.values())

    def part(self, *phases: str) -> float:
        """The share of these phases in the time of a step."""
        whole = self.step_seconds
        return sum(self.seconds.get(phase, 0.0) for phase in phases) / whole if whole else 0.0

    @property
    def others(self) -> float | None:
        """Cores that programs other than the job used."""
        return None if self.job_cpu is None else max(0.0, self.cpu - self.job_cpu)


class Meter:
    """Records in, figures out."""

    def __init__(self) -> None:
        self._machine: Mapping[str, float] = {}
        self._execution: Mapping[str, float] = {}
        self._steps_per_epoch: int | None = None
        self._seconds: dict[str, float] = defaultdict(float)
        self._steps = 0
        self._first_step: int | None = None
        self._last_step: int | None = None
        self._kept: deque[tuple[int, str, float]] = deque(maxlen=_KEPT_PHASES)
        self._profiled: tuple[dict[str, float], int] = ({}, 0)
        self._loop = 0.0
        self._begun: float | None = None
        self._waiting: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=_WAITING_SAMPLES)
        self._has_phases = False
        self._in_loop, self._in_all = _Means(), _Means()

    def see(self, record: Record) -> None:
        """Takes in a record; most are not about time, and are passed over."""
        if record.kind == "phase":
            self._see_phase(record)
        elif record.kind == "system":
            self._see_system(record)
        elif record.kind == "attempt" and isinstance(record.value, Mapping):
            self._see_attempt(record.value)

    def figures(self) -> Figures | None:
        """None where neither a phase nor a sample was seen."""
        means = self._in_loop if self._has_phases else self._in_all
        if not self._has_phases and not means.seconds:
            return None
        seconds, steps = self._without_profiled()
        told = self._machine.get("cores"), self._in_all.most_cores, self._execution.get("threads")
        cores = next((int(number) for number in told if number), 1)
        return Figures(
            cores=cores,
            share=max(1, min(cores, int(self._machine.get("share", cores)))),
            threads=whole(self._execution.get("threads")),
            loader_workers=whole(self._execution.get("loader_workers")),
            batch_size=whole(self._execution.get("batch_size")),
            steps_per_epoch=self._steps_per_epoch,
            steps=steps,
            seconds=seconds,
            loop_seconds=self._loop if self._has_phases else means.seconds,
            sampled_seconds=means.seconds,
            cpu=(means.of("cpu") or 0.0) / 100 * cores,
            job_cpu=_scaled(means.of("job_cpu"), 0.01),
            iowait=_scaled(means.of("iowait"), 0.01 * cores),
            memory=means.most_memory,
            faults=means.of("job_faults"),
            switches=means.of("job_switches"),
            job_threads=means.of("job_threads"),
            running=means.of("running"),
        )

    def _see_attempt(self, value: Mapping[str, object]) -> None:
        steps = value.get("steps_per_epoch")
        if isinstance(steps, int):
            self._steps_per_epoch = steps
        self._waiting.clear()  # they are of before the first step

    def _see_phase(self, record: Record) -> None:
        if isinstance(record.value, Mapping):
            if record.name == "profile":
                self._take_back(record)
            return
        seconds = number(record.value)
        if seconds is None or seconds < 0:
            return
        self._has_phases = True
        self._loop += seconds
        self._settle(record.t, record.t + seconds)
        if is_of_step(record) and record.step is not None:
            self._see_step(record.step, record.name, seconds)

    def _see_step(self, step: int, phase: str, seconds: float) -> None:
        if self._first_step is None:
            self._first_step = step
        if step < self._first_step + _WARM_UP:
            return
        self._seconds[phase] += seconds
        self._kept.append((step, phase, seconds))
        self._steps += step != self._last_step
        self._last_step = step

    def _see_system(self, record: Record) -> None:
        if not isinstance(record.value, Mapping):
            return
        if record.name == "sample":
            self._see_sample(record.t, record.value)
            return
        told = {name: found for name, value in record.value.items() if (found := number(value)) is not None}
        if record.name == "machine":  # another attempt begins
            self._machine, self._begun = told, None
            self._waiting.clear()
        elif record.name == "execution":
            self._execution = told

    def _see_sample(self, t: float, value: Mapping[str, object]) -> None:
        told = {name: found for name in _SAMPLED if (found := number(value.get(name))) is not None}
        if told.get("seconds", 0) > 0:
            told.update(_of_lists(value))
            self._in_all.add(told)
            self._waiting.append((t, told))

    def _settle(self, begun: float, ended: float) -> None:
        """Counts the samples that the loop has meanwhile overtaken, if they began after it had."""
        self._begun = begun if self._begun is None else min(self._begun, begun)
        while self._waiting and self._waiting[0][0] <= ended:
            t, sample = self._waiting.popleft()
            if t - sample["seconds"] >= self._begun:
                self._in_loop.add(sample)

    def _take_back(self, record: Record) -> None:
        """The operator profile makes its steps slower, and those beside them, where it begins and ends."""
        if not isinstance(record.value, Mapping) or record.step is None:
            return
        self._loop -= or_zero(record.value.get("overhead_s"))
        steps = range(record.step - 1, record.step + int(or_zero(record.value.get("steps"))) + 1)
        seconds: dict[str, float] = defaultdict(float)
        for step, phase, took in self._kept:
            if step in steps:
                seconds[phase] += took
        self._profiled = seconds, len({step for step, _, _ in self._kept if step in steps})

    def _without_profiled(self) -> tuple[dict[str, float], int]:
        seconds, steps = self._profiled
        if self._steps - steps < 5:  # there is hardly anything else to go by
            return dict(self._seconds), self._steps
        return {phase: took - seconds.get(phase, 0.0) for phase, took in self._seconds.items()}, self._steps - steps


class _Means:
    """Means of samples over their time."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._times: dict[str, float] = defaultdict(float)
        self.most_memory: float | None = None
        self.most_cores = 0
        self.seconds = 0.0

    def add(self, sample: Mapping[str, float]) -> None:
        seconds = sample["seconds"]
        self.seconds += seconds
        self.most_cores = max(self.most_cores, int(sample.get("cores", 0)))
        if (memory := sample.get("memory")) is not None:
            self.most_memory = max(memory, self.most_memory or 0.0)
        for name, value in sample.items():
            self._sums[name] += value * seconds
            self._times[name] += seconds

    def of(self, name: str) -> float | None:
        return self._sums[name] / self._times[name] if self._times.get(name) else None


def is_of_step(record: Record) -> bool:
    """Whether a phase is one of a training step; a loop that says no mode, or `global`, trains."""
    return record.mode in ("train", "global", None) and record.name in STEP_PHASES and record.step is not None


def _of_lists(value: Mapping[str, object]) -> dict[str, float]:
    """The lists of a sample as one number each."""
    found = {}
    if cores := numbers(value.get("cores")):
        found["cores"] = float(len(cores))
    if iowait := numbers(value.get("iowait")):
        found["iowait"] = sum(iowait) / len(iowait)
    return found


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value * by
