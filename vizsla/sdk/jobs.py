"""Jobs as the estimators and tuners hand them out: look, wait, stop, read the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from vizsla.api import debugging, jobs, training, tuning
from vizsla.console.live import Live
from vizsla.console.sweep import SweepTable
from vizsla.console.text import safe
from vizsla.errors import JobError, UserError
from vizsla.jobdir import JobDir, advance
from vizsla.sdk import html

log = logging.getLogger("vizsla")

LOOK_S = 0.3


class Job:
    """A job in its folder, in whatever process it runs."""

    def __init__(self, folder: JobDir) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return self.folder.name

    job_name = name

    def stop(self) -> None:
        """Asks the job to end and waits until it has; one that does not is killed after its grace."""
        jobs.stop(self.folder)

    def logs(self) -> None:
        """Prints the log as far as it has come."""
        for line in jobs.log(self.folder, follow=False):
            print(safe(line))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class TrainingJob(Job):
    """One training, of the built-in classifier or a script."""

    def describe(self) -> dict[str, Any]:
        """The document that `vizsla train --json` prints."""
        return training.document(self.folder)

    def rules(self) -> list[dict[str, Any]]:
        """How each rule of the job stands: {"name", "rule", "status", "triggered", "findings", "reason" …}.

        What `vizsla debug --json` has under "rules"; without rules of its own, a classifier gets the default ones.
        Raises UserError for a job that recorded nothing.
        """
        return list(debugging.debug(self.folder)["rules"])

    def wait(self, logs: object = True) -> None:
        """Waits for the job to end, printing its lines unless `logs` is False or "None".

        Raises JobError if it failed, UserError if what it was asked for is impossible.
        """
        if shown(logs):
            with Live(to_stderr=False, raw=self.folder.job().source is not None, plain=True) as live:
                training.follow(self.folder, training.watching(self.folder, live.line, live.progress))
        else:
            _until_ended(self.folder)
        raise_if_failed(self.describe())

    def _repr_html_(self) -> str:
        said = self.describe()
        rows = {
            key: said.get(key) for key in ("status", "model", "entry_point", "classes", "metrics", "folder", "reason")
        }
        return html.facts(f"Training job {self.name}", rows)


class TuningJob(Job):
    """One search over hyperparameters."""

    def describe(self) -> dict[str, Any]:
        """The document that `vizsla tune --json` prints."""
        return tuning.document(self.folder)

    def wait(self, logs: object = True) -> None:
        """Waits for the search to end, printing a line a finished trial; raises as TrainingJob.wait does."""
        made = tuning.spec(self.folder)
        with SweepTable(to_stderr=False, plain=True) as table:
            running = True
            while running:
                running = not _ended(self.folder)  # before the trials are read: the last one is told of too
                if shown(logs):
                    table.show(self.describe(), made.max_jobs, made.parallel)
                time.sleep(LOOK_S * running)
        raise_if_failed(self.describe())

    def _repr_html_(self) -> str:
        said = self.describe()
        best = said["best"]["name"] if said["best"] else None
        rows = {"status": said["status"], "objective": said["objective"], "best": best, "reason": said["reason"]}
        columns = ("name", "status", "hyperparameters", "objective", "epochs", "seconds")
        trials = [{column: trial[column] for column in columns} for trial in said["trials"]]
        return html.facts(f"Tuning job {self.name}", rows) + html.table(trials)


def shown(logs: object) -> bool:
    """Whether SDK v2's `logs` asks for lines: True, "All" and lists of levels do; False, "None" and None do not."""
    return bool(logs) and logs not in ("None", ["None"])


def raise_if_failed(document: Mapping[str, Any]) -> None:
    """Raises the error of a job that failed; a stopped one is a warning."""
    if document["status"] == "Failed":
        impossible = document.get("exit_code") == UserError.exit_code
        raise (UserError if impossible else JobError)(
            f"{document['name']} failed: {document['reason']}", document["hint"] or ""
        )
    if document["status"] == "Stopped":
        log.warning("%s was stopped: %s.", document["name"], (document["reason"] or "").rstrip("."))


def _until_ended(folder: JobDir) -> None:
    while not _ended(folder):
        time.sleep(LOOK_S)


def _ended(folder: JobDir) -> bool:
    attempt = advance(folder)
    return attempt is None or attempt.finished
