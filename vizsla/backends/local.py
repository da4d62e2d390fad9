"""Runs jobs on this machine: a folder in, a process group of its own, the folder out.

The worker is started as a program and never imported, so nothing here pulls in torch. Short questions (`ask`) are one
JSON document in and one out of the same program.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from vizsla.errors import JobError, UserError, VizslaError
from vizsla.jobdir import Attempt, JobDir, advance
from vizsla.machine import Process, cpus

WORKER = (sys.executable, "-m", "vizsla.worker")
STOP_GRACE_S = 120.0  # what SageMaker gives a job between SIGTERM and SIGKILL


def start(folder: JobDir) -> Attempt:
    """Starts the next attempt of a job in a session of its own and returns at once.

    The worker waits until its attempt is written down: if this process is killed before that, the worker reads the end
    of its input and ends without having touched anything. Raises UserError if an attempt still runs.
    """
    with folder.starting() as number:
        worker = subprocess.Popen(
            [*WORKER, "run", str(folder.path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        attempt = folder.begin(number, Process.of(worker.pid))
        assert worker.stdin is not None  # noqa: S101 - a pipe was asked for
        with contextlib.suppress(BrokenPipeError):  # a worker that died already is found by advance()
            worker.stdin.write(b"go\n")
            worker.stdin.close()
    return attempt


def ask_to_stop(folder: JobDir) -> None:
    """SIGTERM to the job's process group. It is written down first, so that a job killed later counts as stopped."""
    attempt = advance(folder)
    if attempt and not attempt.finished:
        folder.ask_to_stop(attempt)
        _signal(attempt.process, signal.SIGTERM)


def kill(folder: JobDir) -> Attempt | None:
    """Ends a job at once, with SIGKILL."""
    attempt = advance(folder)
    if attempt is None or attempt.finished:
        return attempt
    _signal(attempt.process, signal.SIGKILL)
    while attempt is not None and attempt.process.alive():
        time.sleep(0.02)
    return advance(folder)


def ask(verb: str, request: dict[str, Any]) -> Any:
    """What the worker answers to one question. Raises the VizslaError that the worker ended with."""
    with subprocess.Popen(
        [*WORKER, verb], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()
    ) as worker:
        try:
            out, err = worker.communicate(json.dumps(request).encode())
        except BaseException:  # Ctrl-C above all: the answer is not wanted any more
            worker.kill()
            raise
    try:
        answer = json.loads(out)
    except ValueError:
        lines = err.decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {worker.returncode}"
        raise JobError(f"The worker ended without an answer: {said}.", "Set log.level=debug and try again.") from None
    if "error" in answer:
        raise _error(answer["error"])
    return answer["answer"]


def _environment() -> dict[str, str]:
    return {**os.environ, "VIZSLA_CPUS": str(cpus()), "PYTHONUNBUFFERED": "1"}


def _signal(process: Process, number: signal.Signals) -> None:
    if process.alive():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _error(raw: dict[str, Any]) -> VizslaError:
    kind = UserError if raw["exit_code"] == UserError.exit_code else JobError
    return kind(raw["message"], raw["hint"])
