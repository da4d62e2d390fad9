"""Phases → how long each training step took, and which ones took much longer than the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, Final

from vizsla.analysis.profiling.attempts import Attempt, seconds
from vizsla.analysis.profiling.finite import number
from vizsla.analysis.profiling.meter import is_of_step
from vizsla.analysis.profiling.usage import percentile

FAR: Final = 3.0  # standard deviations above the mean, as the rule StepOutlier has it
MOST_OUTLIERS = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One training step."""

    step: int
    seconds: float
    phases: Mapping[str, float]

    @property
    def longest(self) -> str:
        """The phase that took most of it."""
        return max(self.phases, key=lambda name: self.phases[name])


@dataclass(frozen=True, slots=True)
class Steps:
    """All training steps of a job, as far as they are on record."""

    steps: tuple[Step, ...]
    mean: float
    p50: float
    p95: float
    p99: float
    longest: float
    shortest: float
    limit: float
    """Seconds above which a step is an outlier: mean + 3 standard deviations."""
    images_per_second: float | None
    """Over all steps; None where the size of a batch is not known."""

    @property
    def outliers(self) -> tuple[Step, ...]:
        """The longest first."""
        far = [step for step in self.steps if step.seconds > self.limit]
        return tuple(sorted(far, key=lambda step: -step.seconds))

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        outliers = self.outliers
        return {
            "count": len(self.steps),
            "seconds": round(sum(step.seconds for step in self.steps), 3),
            "mean_s": round(self.mean, 6),
            "p50_s": round(self.p50, 6),
            "p95_s": round(self.p95, 6),
            "p99_s": round(self.p99, 6),
            "max_s": round(self.longest, 6),
            "min_s": round(self.shortest, 6),
            "limit_s": round(self.limit, 6),
            "images_per_second": None if self.images_per_second is None else round(self.images_per_second, 2),
            "outliers": [_outlier(step) for step in outliers[:MOST_OUTLIERS]],
            "outliers_count": len(outliers),
        }


def read(attempts: Iterable[Attempt]) -> Steps | None:
    """None for a job without phases of training steps. A step that was trained again after a resume counts twice."""
    found: list[Step] = []
    batch = 0.0
    for attempt in attempts:
        found += _of(attempt)
        batch = number(attempt.execution.get("batch_size")) or batch
    if not found:
        return None
    times = [step.seconds for step in found]
    ordered = sorted(times)
    mean = fmean(times)
    return Steps(
        steps=tuple(found),
        mean=mean,
        p50=percentile(ordered, 50),
        p95=percentile(ordered, 95),
        p99=percentile(ordered, 99),
        longest=ordered[-1],
        shortest=ordered[0],
        limit=mean + FAR * pstdev(times, mean),
        images_per_second=batch / mean if batch and mean else None,
    )


def _of(attempt: Attempt) -> list[Step]:
    """Without what the operator profile took to start and to end, which lies in `observe` of the steps beside it."""
    by_step: dict[int, dict[str, float]] = {}
    places = [(window.start - 1, window.stop - 1, window.stop) for window in attempt.windows]
    beside = {("observe", step) for steps in places for step in steps}
    for record in attempt.phases:
        if record.step is not None and is_of_step(record) and (record.name, record.step) not in beside:
            phases = by_step.setdefault(record.step, {})
            phases[record.name] = phases.get(record.name, 0.0) + seconds(record)
    return [Step(step, sum(phases.values()), phases) for step, phases in sorted(by_step.items())]


def _outlier(step: Step) -> dict[str, Any]:
    return {
        "step": step.step,
        "seconds": round(step.seconds, 6),
        "phases": {name: round(took, 6) for name, took in step.phases.items()},
    }
