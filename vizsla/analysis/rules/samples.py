"""What rules over system samples have in common: whose samples count, how long they wait, and what is told once.

Samples are taken outside of the training, from its first moment to its last. Where its steps are recorded too, what
came before the first one is preparation and not looked at.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

from pydantic import Field

from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import number, numbers
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import count

LEAST = 20  # samples below which nothing is said of a job that has ended: ten seconds at the usual interval


class ProfilerParameters(Section):
    """What every rule of the profiler's takes."""

    scan_interval_us: int = Field(60_000_000, ge=1)
    """SageMaker's time between two looks. Accepted, and without effect: records are looked at as they come."""


class SampledParameters(ProfilerParameters):
    """What every rule over samples takes."""

    patience: int = Field(1000, ge=1)
    """Samples of a running training before the first judgement (500 s at two a second). One that has ended before is
    judged by what there is, if that is 20 samples."""


S = TypeVar("S", bound=SampledParameters)


def is_machine(record: Record) -> bool:
    """Whether an attempt begins here: what it runs on is the first thing that is recorded of it."""
    return record.kind == "system" and record.name == "machine"


def is_sample(record: Record) -> bool:
    """Whether it is one look at the system."""
    return record.kind == "system" and record.name == "sample" and isinstance(record.value, Mapping)


def seconds(record: Record) -> float | None:
    """How long a phase took; None for what is no phase."""
    value = record.value if record.kind == "phase" else None
    return float(value) if isinstance(value, int | float) and 0 <= value < math.inf else None


def is_step_phase(record: Record) -> bool:
    """Whether it is a part of a training step."""
    return record.mode == "train" and seconds(record) is not None


def shares(record: Record, key: str) -> Sequence[float]:
    """Percent a core or a GPU; nothing where the system does not tell."""
    return [value for value in numbers(record, key) or () if math.isfinite(value)]


def _whole(value: float | None) -> int:
    return int(value) if value is not None and math.isfinite(value) else 0


class Sampled(Rule[S]):
    """A rule over samples. `take` counts one, `judge` says what has been counted comes to."""

    judges_ended = True
    """Whether a job that has ended within `patience` is judged by what there is."""
    looks_every = 20
    """Samples from one judgement to the next: judging costs more than counting."""

    def __init__(self, name: str, parameters: S, context: Context) -> None:
        super().__init__(name, parameters, context)
        self.seen = 0
        """Samples of this attempt's training."""
        self.gpus: int | None = None
        """None before anything was said of them."""
        self._last: Record | None = None
        self._in_loop = self._judged = False
        self._told: set[Hashable] = set()
        self.restart()

    @abstractmethod
    def restart(self) -> None:
        """Forgets the samples so far: they were another attempt's, or of before the first step."""

    @abstractmethod
    def take(self, record: Record) -> None:
        """Counts one sample."""

    @abstractmethod
    def judge(self, record: Record) -> Iterator[Finding]:
        """What is to be said after the sample `record`; asked now and then once patience is over, and at the end."""

    def see(self, record: Record) -> Iterator[Finding]:
        if is_machine(record):
            self._in_loop, self._told = False, set()
            self.gpus = _whole(number(record, "gpus"))
            self._begin()
        elif is_step_phase(record) and not self._in_loop:
            self._in_loop = True
            self._begin()
        elif is_sample(record) and self._counts():
            self.gpus = max(self.gpus or 0, len(shares(record, "gpu")))
            self._last = record
            self.seen += 1
            self.datapoints += 1
            self.take(record)
            over = self.seen - self.parameters.patience
            if over > 0 and (over - 1) % self.looks_every == 0:
                yield from self._judge(record)

    def done(self, now: float | None) -> Iterator[Finding]:
        enough = self.seen > self.parameters.patience or (self.judges_ended and self.seen >= LEAST)
        if enough and self._last is not None:
            yield from self._judge(self._last)

    def first(self, what: Hashable) -> bool:
        """Whether `what` is news in this attempt; from now on it is none."""
        if what in self._told:
            return False
        self._told.add(what)
        return True

    def too_few(self) -> str:
        """That too little was seen for a judgement, and how to see more; "" if it was enough."""
        if not self.datapoints or self._judged:
            return "" if self._judged else NO_SAMPLES
        needed = LEAST if self.judges_ended else self.parameters.patience + 1
        lower = "" if self.judges_ended else f" (or lower patience={self.parameters.patience})"
        return (
            f"{count(self.datapoints, 'sample')} of the training were taken, and {needed:,} are needed{lower}: train "
            "longer, or sample more often: --set profile.interval_ms=100."
        )

    def without_gpu(self) -> str:
        """That there is no GPU, for a rule that looks at nothing else; "" where there is one."""
        if self.gpus is None:
            return NO_SAMPLES
        return "" if self.gpus else NO_GPU

    def _judge(self, record: Record) -> Iterator[Finding]:
        """Once a sample."""
        self._last, self._judged = None, True
        yield from self.judge(record)

    def _counts(self) -> bool:
        """A script may record no steps at all: then all of it counts."""
        return self._in_loop or self.context.settings is None

    def _begin(self) -> None:
        self.seen, self._last = 0, None
        self.restart()


NO_SAMPLES = "No system samples were recorded of the training: leave profile.enabled on."
NO_GPU = (
    "No GPU was seen, and this rule looks at nothing else. If there is one, its driver is asked through nvidia-ml-py: "
    'pip install "vizsla[gpu]".'
)
