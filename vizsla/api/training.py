"""Train a classifier, follow the job while it runs, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vizsla import bundle, jobdir, records
from vizsla.backends import local
from vizsla.errors import UserError
from vizsla.files import read_json
from vizsla.job import Job, now, partition, slug
from vizsla.jobdir import JobDir
from vizsla.plan import Plan, resolve
from vizsla.segments import LogTail
from vizsla.workspace import MARKER, Workspace

POLL_S = 0.1
NAME_FORMAT = "%y%m%d-%H%M%S"


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for: channels (name → folder), settings as typed, and maybe a name."""

    channels: Mapping[str, Path]
    settings: Mapping[str, str]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """What somebody who waits is told: each new line of the log, once, and what progress.json says."""

    log: LogTail
    line: Callable[[str], None]
    progress: Callable[[Mapping[str, Any]], None]


def plan(request: Request) -> tuple[dict[str, str], Plan]:
    """The channels as absolute folders and the plan. Raises UserError before anything is written."""
    channels = {name: str(_folder(path)) for name, path in request.channels.items()}
    job = _job("unnamed", channels, request.settings)
    return channels, resolve(job)


def submit(request: Request, workspace: Workspace) -> JobDir:
    """Starts a training job of its own process and returns at once.

    Raises UserError for settings, names or folders that cannot be; nothing is left behind then.
    """
    channels, planned = plan(request)
    if request.name:
        folder = workspace.take("training", request.name)
    else:
        stem = slug(Path(next(iter(channels.values()))).name, 40)
        folder = workspace.take_like("training", f"{stem}-{datetime.now().strftime(NAME_FORMAT)}")
    made = jobdir.create(folder, _job(folder.name, channels, request.settings), planned)
    local.start(made)
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
        time.sleep(POLL_S)


def stop(folder: JobDir, watch: Watch) -> jobdir.Attempt:
    """Asks a job to end, and waits as `follow` does; a job that has not ended after its grace is killed."""
    local.ask_to_stop(folder)
    deadline = time.monotonic() + local.STOP_GRACE_S
    return follow(folder, watch, lambda: time.monotonic() > deadline and bool(local.kill(folder)))


def kill(folder: JobDir) -> None:
    """Ends a job at once; what it did since its last checkpoint is lost."""
    local.kill(folder)


def document(folder: JobDir) -> dict[str, Any]:
    """What `train --json` prints: the job, its state, its photos and its figures; null for what does not exist."""
    attempts = folder.attempts()
    last = jobdir.advance(folder)
    job, planned = folder.job(), folder.plan()
    report = _read_or_none(folder.reports / "data_report.json") or {}
    made = bundle.read(folder.model) if bundle.is_bundle(folder.model) else None
    counts = report.get("counts") or {"train": None, "valid": None, "test": None}
    return {
        "name": folder.name,
        "kind": folder.kind,
        "status": last.state if last else "InProgress",
        "created": job.created,
        "job": folder.name,
        "folder": str(folder.path),
        "model": planned.model,
        "classes": report.get("classes"),
        "images": {**counts, "bad": report.get("bad")},
        "metrics": dict(made.metrics) if made else dict.fromkeys(METRICS),
        "epochs": _epochs(folder),
        "seconds": round(sum(_seconds(attempt) for attempt in attempts), 3),
        "bundle": str(folder.model) if made else None,
        "reason": last.reason if last else None,
        "hint": last.hint if last else None,
    }


METRICS = ("train_loss", "valid_loss", "valid_accuracy", "test_loss", "test_accuracy")


def _job(name: str, channels: Mapping[str, str], settings: Mapping[str, str]) -> Job:
    hyperparameters, launch = partition(settings)
    weights = hyperparameters.get("weights", "")
    if weights not in ("", "pretrained", "none"):  # a file: the worker may start elsewhere
        hyperparameters["weights"] = str(Path(weights).expanduser().absolute())
    return Job(name=name, channels=dict(channels), hyperparameters=hyperparameters, launch=launch)


def _folder(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"There is no folder {path}.", "Check the spelling; DIR holds one folder of photos a class.")
    if not path.is_dir():
        raise UserError(f"{path} is a file, not a folder.", "Name the folder that holds one folder of photos a class.")
    if (path / MARKER).exists():
        raise UserError(f"{path} is a workspace: it holds runs, not photos.", "Name the folder of photos.")
    return path.absolute()


def _progress(folder: JobDir) -> Mapping[str, Any]:
    found = _read_or_none(folder.private / "progress.json")
    return found if isinstance(found, dict) else {}


def _read_or_none(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _epochs(folder: JobDir) -> int:
    """Epochs that count: those whose valid loss is on record."""
    return sum(record.name == "valid_loss" for record in records.read(folder.records, ["train"]))


def _seconds(attempt: jobdir.Attempt) -> float:
    end = datetime.fromisoformat(attempt.ended or now())
    return (end - datetime.fromisoformat(attempt.created)).total_seconds()
