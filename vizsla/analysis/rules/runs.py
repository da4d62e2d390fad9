"""Rules on runs as a whole: whether two are the same, and whether one still moves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import loss, place
from vizsla.analysis.rules.selection import MaybeNames, MaybeRegexes, Selection
from vizsla.errors import VizslaError
from vizsla.keys import Section
from vizsla.records import Record

Place = tuple[str, str | None, int | None]

NUMBERS = frozenset({"size", "mean", "variance", "min", "max", "abs_mean", "l2", "zeros", "nan", "inf", "value"})
RTOL, ATOL = 1e-5, 1e-8  # numpy.allclose's own


class SimilarAcrossRunsParameters(Section):
    """similar_across_runs."""

    other_trials: str = Field(min_length=1)
    """The job to compare with: one that has ended, by name or folder. It has to be given."""
    collection_names: MaybeNames = None
    """Compare tensors of these collections."""
    tensor_regex: MaybeRegexes = None
    """Compare tensors whose names match. With neither, everything that was saved, and every loss, is compared."""


class SimilarAcrossRuns(Rule[SimilarAcrossRunsParameters]):
    """Whether a run is the same as another one; it fires where they differ, in spite of its name.

    Tensors of the same name, mode and step are compared by their statistics, with numpy.allclose's tolerances.
    """

    Parameters: ClassVar[type[Section]] = SimilarAcrossRunsParameters
    looks_at: ClassVar[str] = "everything saved by both jobs, and losses"
    meaning: ClassVar[str] = "a tensor differs at the same step of the two jobs"
    advice: ClassVar[str] = "compare the plans, the photos' fingerprints and the executions of the two jobs"

    def __init__(self, name: str, parameters: SimilarAcrossRunsParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(parameters.collection_names, parameters.tensor_regex)
        self._other: dict[Place, Record] | None = None
        self._seen = 0

    def see(self, record: Record) -> Iterator[Finding]:
        if not self._wanted(record):
            return
        self._seen += 1
        other = self._others().get((record.name, record.mode, record.step))
        if other is None:
            return
        self.datapoints += 1
        here, there = _statistics(record), _statistics(other)
        apart = [key for key in sorted(here.keys() & there.keys()) if not _close(here[key], there[key])]
        if apart:
            first = apart[0]
            message = (
                f"{record.name} at {place(record)} differs from {self.parameters.other_trials}: its {first} is "
                f"{here[first]:.6g}, there {there[first]:.6g}."
            )
            cure = "Compare the two jobs' plan.json, data_report.json (fingerprint) and execution.json."
            yield self.found(record, message, cure, here=here[first], there=there[first], rtol=RTOL)

    def _wanted(self, record: Record) -> bool:
        if record.kind == "tensor":
            return not self._selection or self._selection.takes(record)
        if loss(record) is None:
            return False
        return not self._selection or self._selection.takes(record) or "losses" in self._selection.collections

    def _others(self) -> Mapping[Place, Record]:
        """The other job's records by where they belong; read when the first record asks for it."""
        if self._other is None:
            if self.context.others is None:
                raise VizslaError(
                    "Another job's records cannot be read while a job runs.",
                    "When both have ended: vizsla debug NAME --rule similar_across_runs:"
                    f"other_trials={self.parameters.other_trials}",
                )
            found = self.context.others(self.parameters.other_trials)
            self._other = {(one.name, one.mode, one.step): one for one in found if self._wanted(one)}
        return self._other

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        if not self._seen:
            return f"Nothing was saved that is {self._selection}." if self._selection else "Nothing was saved."
        return f"{self.parameters.other_trials} has nothing of the same name, mode and step: save both alike."


def _statistics(record: Record) -> dict[str, float]:
    if isinstance(record.value, Mapping):
        return {
            key: float(found)
            for key, found in record.value.items()
            if key in NUMBERS and isinstance(found, int | float)
        }
    return {"value": float(record.value)} if isinstance(record.value, int | float) else {}


def _close(here: float, there: float) -> bool:
    if math.isfinite(here) and math.isfinite(there):
        return abs(here - there) <= ATOL + RTOL * abs(there)
    return here == there or (math.isnan(here) and math.isnan(there))


class StalledTrainingRuleParameters(Section):
    """stalled_training_rule."""

    threshold: float = Field(1800.0, gt=0)
    """Seconds without a new record from which on a training is stalled."""
    stop_training_on_fire: bool = False
    """Whether the job is to be stopped; the same as a stop action."""
    training_job_name_prefix: str = ""
    """SageMaker's way to say which job to stop. Here it is the job looked at, always."""


class StalledTrainingRule(Rule[StalledTrainingRuleParameters]):
    """Trainings that stand still. It is told the time from outside (`tick`): a loop that stands says nothing."""

    Parameters: ClassVar[type[Section]] = StalledTrainingRuleParameters
    looks_at: ClassVar[str] = "the times of tensors and metrics"
    meaning: ClassVar[str] = "for `threshold` seconds no tensor and no metric was recorded"
    advice: ClassVar[str] = "look where the process hangs (data loading, a lock, the network), then go on with --resume"

    def __init__(self, name: str, parameters: StalledTrainingRuleParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._last: Record | None = None
        self._told = False  # about the gap that is open

    def see(self, record: Record) -> Iterator[Finding]:
        if record.kind == "attempt":  # nothing runs between two attempts
            self._last = None
        if record.kind not in ("tensor", "metric"):
            return
        self.datapoints += 1
        if self._last is not None and not self._told:
            yield from self._judged(record.t)
        self._last, self._told = record, False

    @property
    def stops(self) -> bool:
        return self.parameters.stop_training_on_fire

    def tick(self, now: float) -> Iterator[Finding]:
        if not self._told:
            yield from self._judged(now)

    def done(self, now: float | None) -> Iterator[Finding]:
        if now is not None:
            yield from self.tick(now)

    def _judged(self, now: float) -> Iterator[Finding]:
        last, limit = self._last, self.parameters.threshold
        if last is None or now - last.t <= limit:
            return
        self._told = True
        message = f"Nothing was recorded for {now - last.t:.0f} s after {place(last)}, longer than {limit:g} s."
        cure = "Look where the process hangs (`vizsla logs`), stop it, and go on with --resume."
        yield self.found(last, message, cure, seconds=now - last.t, threshold=limit)

    def unfit(self) -> str:
        return "" if self.datapoints else "No tensor and no metric was recorded."
