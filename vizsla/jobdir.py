"""The job folder: where everything about one job lies, and the one function that says what state it is in.

Laid out like SageMaker's /opt/ml (docs/job-folder.md). Whoever submits writes job.json, plan.json, input/ and
attempts/; the worker writes checkpoints/, model/ and output/, which is what SageMaker copies.
"""

from __future__ import annotations

import fcntl
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vizsla import source
from vizsla.errors import UserError, VizslaError
from vizsla.files import read_json, write_json
from vizsla.job import Job, iso, now
from vizsla.process import Process

if TYPE_CHECKING:
    from vizsla.plan import Plan

State = Literal["InProgress", "Stopping", "Completed", "Failed", "Stopped"]
FINISHED = ("Completed", "Failed", "Stopped")
SIGNALLED = re.compile(r"^stopped by SIG[A-Z]+")
VANISHED = "The process that ran the job ended without a word; it was killed, or the machine was restarted."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, in the worker's words."""

    state: State
    reason: str | None = None
    hint: str | None = None
    exit_code: int = 0
    """What a command that waited for this job ends with, unless the job was Stopped."""
    ended: str | None = None
    """When, ISO 8601 in UTC; filled where the outcome is written down."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job's process, as attempts/<n>.json says it."""

    number: int
    state: State
    created: str
    process: Process
    ended: str | None = None
    reason: str | None = None
    hint: str | None = None
    exit_code: int = 0

    @property
    def finished(self) -> bool:
        """A finished attempt never changes."""
        return self.state in FINISHED

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        end = datetime.fromisoformat(self.ended or now())
        return (end - datetime.fromisoformat(self.created)).total_seconds()


@dataclass(frozen=True, slots=True)
class JobDir:
    """The folder of one job."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def kind(self) -> str:
        return self.path.parent.name

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def private(self) -> Path:
        """What vizsla itself keeps where SageMaker copies: execution, progress, outcomes, records, logs."""
        return self.checkpoints / "vizsla"

    @property
    def records(self) -> Path:
        return self.private / "records"

    @property
    def logs(self) -> Path:
        return self.private / "logs"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def output(self) -> Path:
        return self.path / "output"

    @property
    def reports(self) -> Path:
        """data_report.json, splits.csv, evaluation.json."""
        return self.output / "data"

    @property
    def config(self) -> Path:
        """hyperparameters.json, inputdataconfig.json, resourceconfig.json."""
        return self.path / "input" / "config"

    @property
    def code(self) -> Path:
        """The copy of a script's source folder that the script runs in."""
        return self.path / "code"

    def channel(self, name: str) -> Path:
        return self.path / "input" / "data" / name

    def job(self) -> Job:
        """Raises UserError if this folder holds no job."""
        try:
            return Job.model_validate(read_json(self.path / "job.json"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self.path} holds no job.", "A job's folder has a job.json in it.") from None
        except ValueError as error:
            raise _unreadable(self.path / "job.json") from error

    def plan(self) -> Plan:
        """Raises VizslaError if there is none, or one that this vizsla cannot read."""
        from vizsla.plan import Plan  # a script's worker has no use for it

        try:
            return Plan.model_validate(read_json(self.path / "plan.json"))
        except (OSError, ValueError) as error:
            raise _unreadable(self.path / "plan.json") from error

    def attempts(self) -> list[Attempt]:
        """All attempts, the first first."""
        numbers = sorted(int(file.stem) for file in (self.path / "attempts").glob("*.json") if file.stem.isdigit())
        return [self._attempt(number) for number in numbers]

    @contextmanager
    def starting(self) -> Iterator[int]:
        """Holds the folder while an attempt is started, and gives that attempt's number.

        Raises UserError if an attempt still runs, or if this folder holds no job: one that was killed while it was laid
        out has no job.json. The lock goes with the process that holds it, however that ends.
        """
        if not (self.path / "sweep.json").exists():
            self.job()
        with (self.path / "attempts" / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            last = advance(self)
            if last and not last.finished:
                raise UserError(f"{self.name} is still running (process {last.process.pid}).", "Wait for it to end.")
            yield last.number + 1 if last else 1

    def begin(self, number: int, process: Process) -> Attempt:
        """Writes down that attempt `number` runs in `process`; to be called while `starting`."""
        attempt = Attempt(number, "InProgress", now(), process)
        self._save(attempt)
        return attempt

    def ask_to_stop(self, attempt: Attempt, reason: str = "stopped by the user") -> Attempt:
        """InProgress → Stopping, written before any signal is sent, so that a killed job counts as stopped."""
        if attempt.state != "InProgress":
            return attempt
        stopping = replace(attempt, state="Stopping", reason=reason)
        self._save(stopping)
        return stopping

    def report_outcome(self, number: int, outcome: Outcome) -> None:
        """The worker's last word on an attempt."""
        write_json(self._outcome_file(number), asdict(replace(outcome, ended=now())))

    def outcome(self, number: int) -> Outcome | None:
        """The worker's last word, or None while (or because) there is none that can be read."""
        try:
            return Outcome(**read_json(self._outcome_file(number)))
        except (OSError, ValueError, TypeError):
            return None

    def last_sign(self) -> str:
        """When the worker was last heard of: by its progress, its log, its records. "" if never."""
        return max(map(_changed, self.private.rglob("*")), default="")

    def _attempt(self, number: int) -> Attempt:
        file = self._attempt_file(number)
        try:
            raw = read_json(file)
            return Attempt(**{**raw, "process": Process(**raw["process"])})
        except (ValueError, TypeError, KeyError) as error:
            raise _unreadable(file) from error

    def _save(self, attempt: Attempt) -> None:
        write_json(self._attempt_file(attempt.number), asdict(attempt))

    def _attempt_file(self, number: int) -> Path:
        return self.path / "attempts" / f"{number}.json"

    def _outcome_file(self, number: int) -> Path:
        return self.private / "outcomes" / f"{number}.json"


def create(folder: Path, job: Job, plan: Plan | None) -> JobDir:
    """Lays out an empty `folder` for a job; only the built-in classifier has a plan.

    job.json comes last: a folder without it is not a job yet.
    """
    made = JobDir(folder)
    config = made.config
    for place in (
        made.path / "attempts",
        made.private / "outcomes",
        made.model,
        made.reports,
        made.channel(""),
        config,
    ):
        place.mkdir(parents=True, exist_ok=True)
    write_json(config / "hyperparameters.json", dict(job.hyperparameters))
    write_json(config / "inputdataconfig.json", dict.fromkeys(job.channels, FILE_MODE))
    write_json(config / "resourceconfig.json", ONE_HOST)
    for name, target in job.channels.items():
        made.channel(name).symlink_to(target, target_is_directory=True)
    if plan:
        write_json(folder / "plan.json", plan.model_dump(mode="json"))
    if job.source:
        source.copy(Path(job.source), made.code, job.entry_point)
    write_json(folder / "job.json", job.model_dump(mode="json"))
    return made


def advance(folder: JobDir) -> Attempt | None:
    """The last attempt in the state it is really in; the one function that moves a state on. None before the first.

    An attempt that says InProgress or Stopping and whose process is gone gets the worker's last word or, where there
    is none, Failed (Stopped, if it had been asked to stop), as of when it was last heard of. Two processes that do this
    at once write the same.
    """
    attempts = folder.attempts()
    if not attempts:
        return None
    attempt = attempts[-1]
    if attempt.finished:
        return attempt
    if attempt.process.alive():  # even if it has had its last word: the end of the log is still being written
        return attempt
    outcome = folder.outcome(attempt.number) or _vanished(folder, attempt)
    if attempt.state == "Stopping" and outcome.state == "Stopped":  # who asked, and what the worker made of it
        outcome = replace(outcome, reason=because(outcome.reason, attempt.reason))
    ended = replace(attempt, **asdict(outcome))
    folder._save(ended)
    return ended


def because(said: str | None, cause: str | None) -> str:
    """What a process said of its end, with the cause in the place of the signal that brought it the wish to end."""
    return SIGNALLED.sub(lambda _: cause or "", said or "", count=1)


def _vanished(folder: JobDir, attempt: Attempt) -> Outcome:
    """The outcome of an attempt whose worker was gone without a word."""
    ended = max(attempt.created, folder.last_sign())
    if attempt.state == "Stopping":  # it still ran when that was written down
        asked = _changed(folder._attempt_file(attempt.number))
        return Outcome("Stopped", attempt.reason, ended=max(ended, asked))
    return Outcome("Failed", VANISHED, ended=ended)


def _changed(file: Path) -> str:
    """When a file was last written; "" for a folder, and for what is gone."""
    try:
        found = file.stat()
    except OSError:
        return ""
    return "" if stat.S_ISDIR(found.st_mode) else iso(found.st_mtime)


def _unreadable(file: Path) -> VizslaError:
    return VizslaError(f"{file} cannot be read.", "It was changed by hand or the disk lost it; train again.")


FILE_MODE = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
ONE_HOST: dict[str, Any] = {
    "current_host": "algo-1",
    "current_instance_type": "local",
    "hosts": ["algo-1"],
    "current_group_name": "homogeneousCluster",
    "instance_groups": [
        {"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": ["algo-1"]},
    ],
    "network_interface_name": "lo",
}
