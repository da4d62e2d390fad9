"""All kinds of jobs in one list: see them, stop them, remove them.

What only sweeps need is imported where it is used: the list of 10,000 jobs is there in half a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vizsla import jobdir
from vizsla.backends import local
from vizsla.jobdir import JobDir
from vizsla.store import Store
from vizsla.workspace import Workspace

CONTROLLER_S = 10.0  # what a sweep's controller gets beyond its trials, to end them


def listed(workspace: Workspace) -> list[dict[str, Any]]:
    """{"name", "kind", "status", "created", "seconds"} of every job, the newest first."""
    with Store(workspace) as store:
        return [row.document() for row in store.rows()]


def rebuild(workspace: Workspace) -> int:
    """Makes the index anew from the folders. Returns how many jobs it holds."""
    with Store(workspace) as store:
        store.clear()
        return len(store.rows())


def find(name: str, workspace: Workspace) -> JobDir:
    """The folder of a job or sweep. Raises UserError if there is none, or more than one."""
    return JobDir(workspace.find(name))


def stop(folder: JobDir, grace_s: float | None = None) -> jobdir.Attempt | None:
    """Asks a job to end, kills it after its grace, and returns its last attempt.

    A sweep's trials end with it, also where its controller was killed before and cannot end them.
    """
    if folder.kind != "tuning":
        return local.stop(folder, grace_s)
    from vizsla.tuning import sweep

    grace_s = sweep.load(folder).template.launch.stop_grace if grace_s is None else grace_s
    attempt = local.stop(folder, grace_s + CONTROLLER_S)
    left = _running_trials(folder)
    for each in left:  # all at once, so that they share the grace
        local.ask_to_stop(each, sweep.SWEEP_STOPPED)
    for each in left:
        local.stop(each, grace_s)
    return attempt


def kill(folder: JobDir) -> None:
    """Ends a job, or a sweep with its trials, at once; what they did since their last checkpoint is lost."""
    local.kill(folder)
    if folder.kind != "tuning":
        return
    from vizsla.tuning import sweep

    for each in _running_trials(folder):
        local.ask_to_stop(each, sweep.SWEEP_STOPPED)
        local.kill(each)


def _running_trials(folder: JobDir) -> list[JobDir]:
    from vizsla.tuning import sweep, trials

    workspace = Workspace(folder.path.parent.parent)
    return [trial.folder for trial in trials.read_all(sweep.load(folder), workspace) if trial.running and trial.attempt]


def remove(folder: JobDir) -> None:
    """Deletes a finished job with everything it made. Raises UserError for one that runs."""
    local.remove(folder)


def log(folder: JobDir, follow: bool) -> Iterator[str]:
    """The lines of a job's log, all attempts; with `follow`, new ones too until the job has ended."""
    return local.log(folder, follow)
