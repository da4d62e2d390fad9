"""What every place where a job can run has to do. tests/backend_contract.py says the same as tests.

A place never computes: it takes a job in, runs it, and gives its folder back. Names are the only handles, so whoever
asks about a job need not be who submitted it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vizsla.job import Job
from vizsla.jobdir import State
from vizsla.plan import Plan
from vizsla.records import Scalar


@dataclass(frozen=True, slots=True)
class Status:
    """A job's state document."""

    name: str
    state: State
    created: str
    """ISO 8601, UTC; so is `ended`."""
    ended: str | None
    reason: str | None
    """Why it failed or was stopped, in one line."""
    hint: str | None
    metrics: Mapping[str, Scalar]
    """The last value of each metric that was seen so far."""


class Backend(Protocol):
    """A place where jobs run. Each method raises UserError for a name that it does not know."""

    def submit(self, job: Job, plan: Plan | None) -> str:
        """Starts a job and returns its name at once; `plan` is None for a script.

        Raises UserError, and leaves nothing behind, if the name is taken or the script is not there.
        """

    def poll(self, name: str) -> Status:
        """How the job is now."""

    def stop(self, name: str) -> Status:
        """Asks the job to end, kills it after its `stop_grace`, and returns how it ended.

        A job that has ended already stays as it is.
        """

    def fetch(self, name: str) -> Path:
        """The job's folder on this machine, with model/ and output/ as far as they are there."""

    def logs(self, name: str, follow: bool = False) -> Iterator[str]:
        """The lines the job has written, in order; with `follow`, new ones too until it has ended."""

    def remove(self, name: str) -> None:
        """Deletes the job with everything it made. Raises UserError while it runs."""
