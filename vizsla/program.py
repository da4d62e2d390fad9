"""What an attempt runs: the built-in classifier, a sweep's controller, or the user's script and what it finds there.

`supervise` starts one and watches it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vizsla import container
from vizsla.job import Job
from vizsla.jobdir import JobDir
from vizsla.machine import PYTHON_M, computing, cpus


@dataclass(frozen=True)
class Program:
    """A command and where it runs."""

    command: list[str]
    environment: dict[str, str]
    folder: str | None = None
    metrics: tuple[tuple[str, re.Pattern[str]], ...] = ()
    notes: tuple[str, ...] = ()
    """Lines for the top of the log."""
    interval_s: float | None = None
    """Seconds between two samples of what it uses; None for none."""


def classifier(job: Job, folder: JobDir, number: int) -> Program:
    command = [*PYTHON_M, "vizsla.worker", "train", str(folder.path), str(number)]
    return Program(command, computing(), interval_s=_interval_s(job))


def sweep(folder: JobDir, number: int) -> Program:
    return Program([*PYTHON_M, "vizsla.tuning.sweep", str(folder.path), str(number)], {})


@contextmanager
def script(job: Job, folder: JobDir, number: int) -> Iterator[Program]:
    """The user's script under SageMaker's contract, seeing its folder as /opt/ml where that can be had.

    Raises VizslaError where what it is to find cannot be written down.
    """
    arguments = container.arguments(container.hyperparameters(job))
    variables = container.environment(job, folder, cpus()) | container.hooked(
        folder, number, job.hook, job.launch.profile
    )
    install, uninstalled = container.installing(job, folder)
    with container.at_opt_ml(folder) as (prefix, problem):
        unmounted = f"/opt/ml cannot be had here ({problem}): use the SM_* variables" if problem else ""
        yield Program(
            command=[*install, *prefix, *container.spelled_out(variables), sys.executable, job.entry_point, *arguments],
            environment=variables,
            folder=str(folder.code),
            metrics=tuple((metric.name, re.compile(metric.regex)) for metric in job.metrics),
            notes=tuple(note for note in (uninstalled, unmounted) if note),
            interval_s=_interval_s(job),
        )


def _interval_s(job: Job) -> float | None:
    return job.launch.profile.interval_ms / 1000 if job.launch.profile.enabled else None
