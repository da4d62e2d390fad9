"""Workers that wait for their orders: a process that is started first loads what it needs while others do the same.

Light to import, so that a command can start the worker of its job before it loads the rest of vizsla.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vizsla.machine import PYTHON_M, cpus

COMMAND = (*PYTHON_M, "vizsla.worker")
Worker = subprocess.Popen[bytes]


@contextmanager
def standby() -> Iterator[Worker]:
    """A worker that waits for its orders; ended again where none were given."""
    worker = start()
    try:
        yield worker
    finally:
        if worker.stdin and not worker.stdin.closed:
            worker.kill()
            worker.wait()
            worker.stdin.close()


def start(share: int | None = None) -> Worker:
    """A worker in a session of its own. `share` is how many cores its job gets, all by default."""
    return subprocess.Popen(
        [*COMMAND, "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(share),
        start_new_session=True,
    )


def order(worker: Worker, folder: Path, attempt: int) -> None:
    """Tells a worker what to run. One that has died already is found by jobdir.advance."""
    assert worker.stdin is not None  # noqa: S101 - a pipe was asked for
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.write(json.dumps({"folder": str(folder), "attempt": attempt}).encode() + b"\n")
        worker.stdin.close()


def environment(share: int | None = None) -> dict[str, str]:
    """What a worker finds around it."""
    return {**os.environ, "VIZSLA_CPUS": str(share or cpus()), "PYTHONUNBUFFERED": "1"}
