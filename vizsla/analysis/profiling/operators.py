"""The profile of a few steps → the operators that took most of their time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vizsla.analysis.profiling.finite import or_zero
from vizsla.records import Record

MOST = 50


@dataclass(frozen=True, slots=True)
class Operator:
    """All calls of one operator; seconds are its own, without those of what it calls."""

    name: str
    calls: int
    cpu_s: float
    cuda_s: float

    @property
    def seconds(self) -> float:
        return self.cpu_s + self.cuda_s


@dataclass(frozen=True, slots=True)
class Operators:
    """The profiled steps of the last attempt that profiled any."""

    first_step: int | None
    steps: int
    seconds: float
    """Of the profiled steps, from first to last."""
    overhead_s: float
    """What starting, stopping and writing the profile took besides."""
    trace: str | None
    """A file in the job folder, for Perfetto."""
    python: str | None
    """A file in the job folder, for pstats."""
    operators: tuple[Operator, ...]
    """The most expensive first."""

    def share(self, operator: Operator) -> float:
        """Of the time of all operators that are listed, 0 to 1."""
        whole = sum(each.seconds for each in self.operators)
        return operator.seconds / whole if whole else 0.0

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "first_step": self.first_step,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "overhead_s": round(self.overhead_s, 3),
            "trace": self.trace,
            "python": self.python,
            "operators": [
                {
                    "operator": each.name,
                    "calls": each.calls,
                    "cpu_s": round(each.cpu_s, 6),
                    "cuda_s": round(each.cuda_s, 6),
                    "share": round(self.share(each), 4),
                }
                for each in self.operators
            ],
        }


def read(records: Iterable[Record]) -> Operators | None:
    """None for a job whose operators were not profiled."""
    profile: Record | None = None
    python: str | None = None
    found: list[Operator] = []
    for record in records:
        if record.kind != "phase" or record.name not in ("profile", "operator", "python"):
            continue
        if record.name == "profile":
            profile, found, python = record, [], None
        elif record.name == "python":
            python = record.file
        elif isinstance(record.value, Mapping):
            found.append(_operator(record.value))
    if profile is None or not isinstance(profile.value, Mapping):
        return None
    return Operators(
        first_step=profile.step,
        steps=int(or_zero(profile.value.get("steps"))),
        seconds=or_zero(profile.value.get("seconds")),
        overhead_s=or_zero(profile.value.get("overhead_s")),
        trace=profile.file,
        python=python,
        operators=tuple(sorted(found, key=lambda each: -each.seconds)[:MOST]),
    )


def _operator(value: Mapping[str, object]) -> Operator:
    name, calls = str(value.get("operator", "?")), int(or_zero(value.get("calls")))
    return Operator(name, calls, or_zero(value.get("cpu_s")), or_zero(value.get("cuda_s")))
