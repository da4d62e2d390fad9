"""Runs jobs on this machine: a folder in, a process group of its own, the folder out.

The worker is started as a program and never imported, so nothing here pulls in torch. Short questions (`ask`) are one
JSON document in and one out of the same program.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vizsla import records
from vizsla.backends import standby
from vizsla.backends.base import Status
from vizsla.backends.standby import Worker
from vizsla.errors import JobError, UserError, VizslaError
from vizsla.files import reason
from vizsla.job import Job
from vizsla.jobdir import Attempt, JobDir, advance, create
from vizsla.machine import computing, waiting_asleep
from vizsla.plan import Plan
from vizsla.process import Process
from vizsla.segments import LogTail, read_log
from vizsla.workspace import Workspace

STOP_GRACE_S = 120.0  # what SageMaker gives a job between SIGTERM and SIGKILL
LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """backends.base.Backend on this machine: the functions below, by name."""

    workspace: Workspace

    def submit(self, job: Job, plan: Plan | None) -> str:
        place = self.workspace.take("training", job.name)
        with self.workspace.filling(place):
            start(create(place, job, plan))
        return job.name

    def poll(self, name: str) -> Status:
        folder = self._find(name)
        job, attempt = folder.job(), advance(folder)
        metrics = {each.name: each.value for each in records.read(folder.records) if each.kind == "metric"}
        return Status(
            name=name,
            state=attempt.state if attempt else "InProgress",
            created=job.created,
            ended=attempt.ended if attempt else None,
            reason=attempt.reason if attempt else None,
            hint=attempt.hint if attempt else None,
            metrics={key: value for key, value in metrics.items() if isinstance(value, float | int | str)},
        )

    def stop(self, name: str) -> Status:
        stop(self._find(name))
        return self.poll(name)

    def fetch(self, name: str) -> Path:
        return self._find(name).path

    def logs(self, name: str, follow: bool = False) -> Iterator[str]:
        return log(self._find(name), follow)

    def remove(self, name: str) -> None:
        remove(self._find(name))

    def _find(self, name: str) -> JobDir:
        return JobDir(self.workspace.find(name, "training"))


def start(folder: JobDir, share: int | None = None, ready: Worker | None = None) -> Attempt:
    """Starts the next attempt of a job in a session of its own and returns at once.

    The worker waits until its attempt is written down: if this process is killed before that, the worker reads the end
    of its input and ends without having touched anything. `share` is how many cores the job gets, all by default;
    `ready` is a worker that waits already. Raises UserError if an attempt still runs.
    """
    with folder.starting() as number:
        _end_orphans(folder)
        worker = ready or standby.start(share)
        attempt = folder.begin(number, Process.of(worker.pid))
        standby.order(worker, folder.path, number)
        threading.Thread(target=worker.wait, daemon=True).start()  # takes it off the system's list when it has ended
    return attempt


def ask_to_stop(folder: JobDir, reason: str = "stopped by the user") -> None:
    """SIGTERM to the job's worker, which passes it on to the whole group once, as one in a container would.

    It is written down first, so that a job killed later counts as stopped.
    """
    attempt = advance(folder)
    if attempt and attempt.state == "InProgress":
        folder.ask_to_stop(attempt, reason)
        if attempt.process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(attempt.process.pid, signal.SIGTERM)


def kill(folder: JobDir) -> Attempt | None:
    """Ends a job at once, with SIGKILL."""
    attempt = advance(folder)
    if attempt is None or attempt.finished:
        return attempt
    _signal(attempt.process, signal.SIGKILL)
    while attempt is not None and attempt.process.alive():
        time.sleep(0.02)
    return advance(folder)


def stop(folder: JobDir, grace_s: float | None = None) -> Attempt | None:
    """Asks a job to end, kills it after its grace, and returns its last attempt. A sweep's trials end with it."""
    ask_to_stop(folder)
    if grace_s is None:
        grace_s = folder.job().launch.stop_grace if (folder.path / "job.json").exists() else STOP_GRACE_S
    deadline = time.monotonic() + grace_s
    while (attempt := advance(folder)) and not attempt.finished:
        if time.monotonic() > deadline:
            return kill(folder)
        time.sleep(LOOK_S)
    return attempt


def remove(folder: JobDir) -> None:
    """Deletes a finished job with everything it made. Raises UserError for one that runs, or may not be deleted."""
    attempt = advance(folder)
    if attempt and not attempt.finished:
        raise UserError(f"{folder.name} is still running.", f"Stop it first: vizsla stop {folder.name}")
    # Renamed first: a removal that is killed half-way leaves no half job behind under its name.
    grave = folder.path.with_name(f".removed-{folder.name}")
    shutil.rmtree(grave, ignore_errors=True)
    try:
        folder.path.rename(grave)
        shutil.rmtree(grave)
    except FileNotFoundError:
        return  # another process was faster
    except OSError as error:
        raise UserError(
            f"{folder.path} could not be deleted: {reason(error)}.", "Ask for the right to write there, then again."
        ) from error


def log(folder: JobDir, follow: bool) -> Iterator[str]:
    """The lines of a job's log, all attempts; with `follow`, new ones too until the job has ended."""
    if not follow:
        yield from read_log(folder.logs, "job")
        return
    tail = LogTail(folder.logs, "job")
    while True:
        attempt = advance(folder)  # before the log is read: what a finished job had to say is there by now
        yield from tail.poll()
        if attempt is None or attempt.finished:
            return
        time.sleep(LOOK_S)


def ask(verb: str, request: dict[str, Any], long: bool = False) -> Any:
    """What the worker answers to one question. Raises the VizslaError that the worker ended with.

    long: it computes for longer than a moment, as a training does; what it says meanwhile goes to this stderr.
    """
    with subprocess.Popen(
        [*standby.COMMAND, verb],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if long else subprocess.PIPE,
        env={**standby.environment(), **(computing() if long else waiting_asleep())},
    ) as worker:
        try:
            out, err = worker.communicate(json.dumps(request).encode())
        except BaseException:  # Ctrl-C above all: the answer is not wanted any more
            worker.kill()
            raise
    try:
        answer = json.loads(out)
    except ValueError:
        lines = (err or b"").decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {worker.returncode}"
        raise JobError(f"The worker ended without an answer: {said}.", "Set log.level=debug and try again.") from None
    if "error" in answer:
        raise _error(answer["error"])
    return answer["answer"]


def _end_orphans(folder: JobDir) -> None:
    """Ends what a worker that was killed alone has left of its last attempt, before another one writes there."""
    attempts = folder.attempts()
    # A group keeps its number as long as one of it lives: only where a later process has it, the group is gone.
    if attempts and not attempts[-1].process.replaced():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(attempts[-1].process.pid, signal.SIGKILL)


def _signal(process: Process, number: signal.Signals) -> None:
    if process.alive():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _error(raw: dict[str, Any]) -> VizslaError:
    kind = UserError if raw["exit_code"] == UserError.exit_code else JobError
    return kind(raw["message"], raw["hint"])
