"""Everything a report says about one job, read from its folder once. What is missing or damaged is said, not raised.

Sections look at `JobFacts` and nothing else, so a page and its JSON twin show the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, TypeAdapter, model_validator

from vizsla import bundle, jobdir, records
from vizsla.analysis import evaluations, recommendations, series
from vizsla.analysis.profiling import summary
from vizsla.analysis.profiling.summary import Summary
from vizsla.analysis.recommendations import Recommendation
from vizsla.analysis.rules import Evaluation as RuleEvaluation
from vizsla.analysis.series import Series
from vizsla.bundle import Manifest
from vizsla.errors import VizslaError
from vizsla.files import read_json, reason
from vizsla.job import CLASSIFIER, Job, RuleRequest
from vizsla.jobdir import Attempt, JobDir
from vizsla.plan import Plan
from vizsla.records import Record

T = TypeVar("T")


class _Document(BaseModel):
    """A file of the job's own side; keys that a newer vizsla adds are kept for the JSON twin."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ClassScore(_Document):
    """How the held-out photos of one class came out; shares are 0 to 1, None where nothing could be counted."""

    label: str
    images: NonNegativeInt
    accuracy: float | None
    precision: float | None


class Prediction(_Document):
    """What was answered to one photo; `confidence` is percent."""

    file: str
    label: str
    predicted: str
    confidence: float


class Evaluation(_Document):
    """evaluation.json."""

    split: str
    images: NonNegativeInt
    loss: float | None
    accuracy: float
    accuracy_95: tuple[float, float]
    classes: list[str]
    per_class: list[ClassScore]
    confusion: list[list[NonNegativeInt]]
    """Rows are what the photos show, columns what was answered, both in the order of `classes`."""
    predictions: list[Prediction] = []

    @model_validator(mode="after")
    def _is_square(self) -> Evaluation:
        size = len(self.classes)
        if len(self.confusion) != size or any(len(row) != size for row in self.confusion):
            raise ValueError(f"the confusion matrix must have {size} rows and columns")
        return self


class BadPhoto(_Document):
    """A photo that was left out, and why."""

    file: str
    reason: str


class Counts(_Document):
    """Photos by use."""

    train: NonNegativeInt
    valid: NonNegativeInt
    test: NonNegativeInt


class DataReport(_Document):
    """data_report.json; docs/data.md says what each entry means."""

    layout: str
    classes: list[str]
    counts: Counts
    per_class: dict[str, Counts]
    bad: list[BadPhoto]
    ignored: NonNegativeInt
    unlabelled: NonNegativeInt
    left_out: NonNegativeInt
    duplicates: list[list[str]]
    conflicts: list[list[Any]]
    leaks: list[list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One job, as its folder tells it."""

    folder: JobDir
    job: Job
    attempts: tuple[Attempt, ...]
    plan: Plan | None
    """None for a script, which has none."""
    records: tuple[Record, ...]
    series: Series
    data: DataReport | None
    evaluation: Evaluation | None
    execution: Mapping[str, Any] | None
    manifest: Manifest | None
    rules: tuple[RuleEvaluation, ...]
    """How the rules come out; none for a job without rules."""
    profile: Summary
    """Where the time went, and what the machine did."""
    problems: tuple[str, ...]
    """What could not be read, a sentence each."""

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def status(self) -> str:
        return self.last.state if self.last else "InProgress"

    @property
    def finished(self) -> bool:
        return self.last is not None and self.last.finished

    @property
    def seconds(self) -> float:
        """How long its attempts ran, together."""
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def recommendations(self) -> list[Recommendation]:
        """What to do, out of what its rules and the profiler found."""
        figures = self.profile.figures
        return recommendations.of(self.rules, self.profile.verdict, figures.loop_seconds if figures else None)

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights are in the bundle or, without one, would be if the job ended now."""
        kept_loss = self.manifest.metrics.get("valid_loss") if self.manifest else None
        return series.kept_epoch(self.series.epochs["valid_loss"], kept_loss)


def read(folder: JobDir, requests: Iterable[RuleRequest] | None = None) -> JobFacts:
    """The facts about a job, running or ended. requests: the rules to hold it against; by default the job's own.

    Raises UserError for a folder without a job, VizslaError where job.json or an attempt was damaged: then not even
    the state is known.
    """
    job = folder.job()
    jobdir.advance(folder)
    attempts = tuple(folder.attempts())
    last = attempts[-1] if attempts else None
    problems: list[str] = []
    found = _records(folder, last, problems)
    plan = _or_none(folder.plan, problems) if job.entry_point == CLASSIFIER else None
    asked = job.rules if requests is None else requests
    known = evaluations.context(folder, plan)
    return JobFacts(
        folder=folder,
        job=job,
        attempts=attempts,
        plan=plan,
        records=found,
        series=series.read(found),
        data=_document(folder.reports / "data_report.json", DataReport, problems),
        evaluation=_document(folder.reports / "evaluation.json", Evaluation, problems),
        execution=_document(folder.private / "execution.json", dict[str, Any], problems),
        manifest=_or_none(lambda: bundle.read(folder.model), problems) if bundle.is_bundle(folder.model) else None,
        rules=evaluations.evaluate(asked, found, last, known),
        profile=summary.read(found, known.settings, [_times(attempt) for attempt in attempts]),
        problems=tuple(problems),
    )


def _times(attempt: Attempt) -> tuple[float, float | None]:
    """Its start and end, unix seconds."""
    ended = datetime.fromisoformat(attempt.ended).timestamp() if attempt.ended else None
    return datetime.fromisoformat(attempt.created).timestamp(), ended


def _records(folder: JobDir, last: Attempt | None, problems: list[str]) -> tuple[Record, ...]:
    torn: list[str] = []
    found = _or_none(lambda: records.read(folder.records, on_tear=torn.append), problems)
    if last and last.finished:  # while a job runs, the end of a file is a line that is just being written
        problems += [f"The records in {file} are torn or damaged; they are read up to there." for file in torn]
    problems += [sentence for record in found or () for sentence in _switched_off(record)]
    return tuple(found or ())


def _switched_off(record: Record) -> list[str]:
    """What observers failed with; from there on their measurements are missing."""
    if record.kind != "attempt" or record.name != "switched_off" or not isinstance(record.value, Mapping):
        return []
    return [f"{name} failed while the job ran, and was switched off: {why}" for name, why in record.value.items()]


def _document(path: Path, shape: type[T], problems: list[str]) -> T | None:
    """What `path` holds; None where there is no such file, or one that is not `shape`, which is noted."""
    try:
        return TypeAdapter(shape).validate_python(read_json(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{path.name} cannot be read ({reason(error)}).")
    except ValueError:
        problems.append(f"{path.name} is damaged, so what it says is missing here.")
    return None


def _or_none(look: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return look()
    except VizslaError as error:
        problems.append(error.message)
    except OSError as error:
        problems.append(f"The records cannot be read ({reason(error)}).")
    return None
