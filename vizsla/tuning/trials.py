"""The trials of a sweep as their folders say they are: state, hyperparameters, curve, objective. Nothing is cached.

A trial is an ordinary job. The built-in classifier's counts with its kept epoch, also when it was stopped early or
killed; a script's with the last match of its metric, as at AWS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vizsla import jobdir, records
from vizsla.job import CLASSIFIER, Job
from vizsla.jobdir import Attempt, JobDir
from vizsla.records import PROBE, Record
from vizsla.tuning.search import State, Tried
from vizsla.tuning.spec import CLASSIFIER_METRICS, Sweep
from vizsla.workspace import Workspace

# Where an objective is. A sweep looks five times a second: samples, phases and tensors would cost it more than trials.
CLASSIFIER_STREAMS = ("train",)
SCRIPT_STREAMS = ("script",)


@dataclass(frozen=True)
class Trial:
    """One trial, as it is now."""

    number: int
    folder: JobDir
    hyperparameters: Mapping[str, str]
    """Those that are searched."""
    attempt: Attempt | None
    attempts: int
    curve: tuple[float, ...]
    """The objective after each epoch, or at each match of a script's metric."""
    objective: float | None
    seconds: float
    at_its_end: bool
    """Whether its last epoch is measured already: nothing is won by stopping it then."""

    @property
    def running(self) -> bool:
        return self.attempt is None or not self.attempt.finished

    @property
    def status(self) -> str:
        """The job's state; but a trial that completed without a value to count with has failed."""
        if self.attempt is None:
            return "InProgress"
        return "Failed" if self._without_value else self.attempt.state

    @property
    def reason(self) -> str | None:
        """Why it ended as it did, where there is something to say."""
        if self._without_value:
            return "it ended without a value of the objective"
        return self.attempt.reason if self.attempt else None

    @property
    def _without_value(self) -> bool:
        return self.attempt is not None and self.attempt.state == "Completed" and self.objective is None

    def tried(self) -> Tried:
        """What the search is told. A trial that ended without a value is a failed one, whatever it is called."""
        state: State = "InProgress" if self.running else self._ended()
        return Tried(self.number, dict(self.hyperparameters), self.objective, state, self.curve)

    def _ended(self) -> State:
        if self.objective is None:
            return "Stopped" if self.status == "Stopped" else "Failed"
        return "Stopped" if self.status == "Stopped" else "Completed"


def read_all(sweep: Sweep, workspace: Workspace) -> list[Trial]:
    """The trials there are, the first first. A folder whose job was never written down is no trial yet."""
    found: list[Trial] = []
    for number in range(1, sweep.max_jobs + 1):
        folder = JobDir(workspace.path / "training" / sweep.trial_name(number))
        if (folder.path / "job.json").exists():
            found.append(read(sweep, number, folder))
    return found


def read(sweep: Sweep, number: int, folder: JobDir) -> Trial:
    """One trial, its state moved on to what it really is."""
    job, attempt = folder.job(), jobdir.advance(folder)
    attempts = folder.attempts()
    streams = CLASSIFIER_STREAMS if job.entry_point == CLASSIFIER else SCRIPT_STREAMS
    curve, objective = scored(job, sweep.objective, records.read(folder.records, streams))
    if attempt and attempt.state == "Failed" and job.entry_point != CLASSIFIER:
        objective = None  # AWS counts no failed job; a classifier that was killed still has its finished epochs
    return Trial(
        number=number,
        folder=folder,
        hyperparameters={name: job.hyperparameters[name] for name in sweep.ranges},
        attempt=attempt,
        attempts=len(attempts),
        curve=curve,
        objective=objective,
        seconds=sum(each.seconds for each in attempts),
        at_its_end=job.entry_point == CLASSIFIER and len(curve) >= folder.plan().epochs,
    )


def scored(job: Job, objective: str, found: Sequence[Record]) -> tuple[tuple[float, ...], float | None]:
    """The objective's curve and the value the trial counts with, None if there is none yet."""
    if job.entry_point != CLASSIFIER:
        values = _values(_last_run(found, objective), objective)
        return tuple(values), _finite(values[-1]) if values else None
    values = _values(found, CLASSIFIER_METRICS[objective])
    losses = _values(found, "valid_loss")[: len(values)]
    # The probe comes before the first epoch, and is kept where no epoch has a lower loss.
    before = [record.value for record in found if record.kind == "attempt" and record.name == PROBE][-1:]
    figures = [value for value in before if isinstance(value, Mapping)]
    all_values = [*(_number(each[CLASSIFIER_METRICS[objective]]) for each in figures), *values]
    all_losses = [*(_number(each["valid_loss"]) for each in figures), *losses]
    finished = [place for place, loss in enumerate(all_losses) if math.isfinite(loss)]
    kept = min(finished, key=all_losses.__getitem__, default=None)
    return tuple(values), None if kept is None else _finite(all_values[kept])


def best(trials: Sequence[Trial], sweep: Sweep) -> Trial | None:
    """The trial with the best objective; the first of equals. One without a value is never best."""
    sign = 1 if sweep.direction == "minimize" else -1
    counted = [trial for trial in trials if trial.objective is not None and not trial.running]
    return min(counted, key=lambda trial: (sign * (trial.objective or 0.0), trial.number), default=None)


def _last_run(found: Sequence[Record], name: str) -> Sequence[Record]:
    """What a script wrote since it was last started: steps count from 0, and one that was killed began anew."""
    starts = [place for place, record in enumerate(found) if record.name == name and record.step == 0]
    return found[starts[-1] :] if starts else found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _values(found: Sequence[Record], name: str) -> list[float]:
    metrics = [record.value for record in found if record.kind == "metric" and record.name == name]
    return [float(value) for value in metrics if isinstance(value, int | float)]
