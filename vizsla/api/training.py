"""Train a classifier, follow the job while it runs, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vizsla import bundle, jobdir, records
from vizsla.api import requests
from vizsla.api.requests import Request
from vizsla.backends import local
from vizsla.backends.standby import Worker
from vizsla.errors import UserError
from vizsla.files import read_json
from vizsla.job import CLASSIFIER, Job, slug
from vizsla.jobdir import JobDir
from vizsla.records import PROBE, Record
from vizsla.segments import LogTail
from vizsla.workspace import Workspace

POLL_S = 0.1
DOCUMENTED = ("train", "script", "findings", "watcher")  # streams; what a debugger records is not for a summary
NAME_FORMAT = "%y%m%d-%H%M%S"


@dataclass(frozen=True, slots=True)
class Watch:
    """What somebody who waits is told: each new line of the log, once, and what progress.json says."""

    log: LogTail
    line: Callable[[str], None]
    progress: Callable[[Mapping[str, Any]], None]


def submit(request: Request, workspace: Workspace, what: str = "", ready: Worker | None = None) -> JobDir:
    """Starts a training job of its own process and returns at once.

    what: a word for a name that nobody gave. ready: a worker that waits already.

    Raises UserError for settings, names or folders that cannot be; nothing is left behind then.
    """
    asked = requests.job(request)
    planned = requests.plan(asked)
    if request.name:
        folder = workspace.take("training", request.name)
    else:
        words = (_stem(asked), what, datetime.now().strftime(NAME_FORMAT))
        folder = workspace.take_like("training", "-".join(word for word in words if word))
    with workspace.filling(folder):
        made = jobdir.create(folder, asked.model_copy(update={"name": folder.name}), planned)
        local.start(made, ready=ready)
    return made


def resume(name: str, workspace: Workspace) -> JobDir:
    """Goes on with a job that was stopped, killed or failed. Raises UserError for one that is completed or running."""
    folder = find(name, workspace)
    last = jobdir.advance(folder)
    if last and last.state == "Completed":
        raise UserError(
            f"{name} is completed: there is nothing to go on with.", "Train anew with the settings you want."
        )
    local.start(folder)
    return folder


def find(name: str, workspace: Workspace) -> JobDir:
    """The training job called `name`. Raises UserError if there is none."""
    return JobDir(workspace.find(name, "training"))


def is_script(folder: JobDir) -> bool:
    """Whether the job runs a script of the user's: every line of its log is the script's then."""
    return folder.job().entry_point != CLASSIFIER


def watching(folder: JobDir, line: Callable[[str], None], progress: Callable[[Mapping[str, Any]], None]) -> Watch:
    """A Watch over the attempt that runs now."""
    return Watch(LogTail(folder.logs, "job", from_attempt=len(folder.attempts())), line, progress)


def follow(folder: JobDir, watch: Watch, between: Callable[[], object] = lambda: None) -> jobdir.Attempt:
    """Waits for the running attempt to end, telling `watch` what happens. Returns it in its last state.

    `between` is called between two looks at the job.
    """
    while True:
        attempt = jobdir.advance(folder)  # before the log is read: what a finished job had to say is there by now
        for line in watch.log.poll():
            watch.line(line)
        watch.progress(_progress(folder))
        if attempt and attempt.finished:
            return attempt
        between()
        if attempt:
            attempt.process.wait(POLL_S)
        else:
            time.sleep(POLL_S)


def stop(folder: JobDir, watch: Watch) -> jobdir.Attempt:
    """Asks a job to end, and waits as `follow` does; a job that has not ended after its grace is killed."""
    local.ask_to_stop(folder)
    deadline = time.monotonic() + folder.job().launch.stop_grace
    return follow(folder, watch, lambda: time.monotonic() > deadline and bool(local.kill(folder)))


def kill(folder: JobDir) -> None:
    """Ends a job at once; what it did since its last checkpoint is lost."""
    local.kill(folder)


def document(folder: JobDir) -> dict[str, Any]:
    """What `train --json` and `run --json` print: the job, its state, its figures; null for what does not exist."""
    job, last = folder.job(), jobdir.advance(folder)
    common = {
        "name": folder.name,
        "kind": folder.kind,
        "status": last.state if last else "InProgress",
        "created": job.created,
        "job": folder.name,
        "folder": str(folder.path),
    }
    found = records.read(folder.records, DOCUMENTED)
    own = _of_classifier(folder, found) if job.entry_point == CLASSIFIER else _of_script(folder, job, found)
    return {
        **common,
        **own,
        "seconds": round(sum(attempt.seconds for attempt in folder.attempts()), 3),
        "rules": [rule.name for rule in job.rules],
        "issues": list(dict.fromkeys(record.name for record in found if record.kind == "finding")),
        "reason": last.reason if last else None,
        "hint": last.hint if last else None,
        "exit_code": last.exit_code if last else 0,
    }


def _of_classifier(folder: JobDir, found: Sequence[Record]) -> dict[str, Any]:
    report = _read_or_none(folder.reports / "data_report.json") or {}
    made = bundle.read(folder.model) if bundle.is_bundle(folder.model) else None
    counts = report.get("counts") or {"train": None, "valid": None, "test": None}
    return {
        "model": folder.plan().model,
        "classes": report.get("classes"),
        "images": {**counts, "bad": report.get("bad")},
        "metrics": dict(made.metrics) if made else dict.fromkeys(METRICS),
        "probe": _probe(found),
        "epochs": sum(record.name == "valid_loss" for record in found),  # those that were measured on valid
        "bundle": str(folder.model) if made else None,
    }


def _probe(found: Sequence[Record]) -> Any:
    """What was measured of the probe before the first epoch; None where none was a candidate."""
    return next((record.value for record in reversed(found) if record.kind == "attempt" and record.name == PROBE), None)


def _of_script(folder: JobDir, job: Job, found: Sequence[Record]) -> dict[str, Any]:
    """A script's metrics are their last matches, as at SageMaker; its bundle is what it left in model/."""
    last = {record.name: record.value for record in found if record.kind == "metric"}
    return {
        "entry_point": job.entry_point,
        "hyperparameters": job.hyperparameters,
        "metrics": {metric.name: last.get(metric.name) for metric in job.metrics},
        "bundle": str(folder.model) if folder.model.is_dir() and any(folder.model.iterdir()) else None,
    }


METRICS = ("train_loss", "valid_loss", "valid_accuracy", "test_loss", "test_accuracy")


def _stem(asked: Job) -> str:
    """What a job is called after: its script, or the folder of its first channel."""
    named = Path(asked.entry_point).stem if asked.source else Path(next(iter(asked.channels.values()))).name
    return slug(named, 40)


def _progress(folder: JobDir) -> Mapping[str, Any]:
    found = _read_or_none(folder.private / "progress.json")
    return found if isinstance(found, dict) else {}


def _read_or_none(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None
