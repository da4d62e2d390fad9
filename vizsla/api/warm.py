"""Whether a sweep may learn from the earlier ones it names."""

from __future__ import annotations

import json

from vizsla import jobdir
from vizsla.errors import UserError
from vizsla.job import CLASSIFIER, LAUNCHER_PREFIXES
from vizsla.jobdir import JobDir
from vizsla.tuning import parents, sweep
from vizsla.tuning.parents import Basis
from vizsla.tuning.spec import CLASSIFIER_METRICS, Sweep
from vizsla.workspace import Workspace


def check(made: Sweep, workspace: Workspace) -> None:
    """Raises UserError for parents that are not there, still run, or cannot be compared with `made`."""
    folders = [JobDir(workspace.find(name, "tuning")) for name in made.warm_start]
    for folder in folders:
        last = jobdir.advance(folder)
        if last is None or not last.finished:
            raise UserError(f"{folder.name} has not ended yet.", "Wait for it, or stop it: a warm start needs its end.")
    parents.check_parents(made.warm_start_kind, [basis(sweep.load(folder)) for folder in folders], basis(made))


def basis(made: Sweep) -> Basis:
    """What a sweep is compared by: its channels are its data, its entry point and source folder its algorithm."""
    job, own = made.template, made.template.entry_point == CLASSIFIER
    given = [name.replace("-", "_") if own else name for name in (*job.hyperparameters, *made.ranges)]
    return Basis(
        name=made.name,
        objective=CLASSIFIER_METRICS[made.objective] if own else made.objective,
        direction=made.direction,
        hyperparameters=frozenset(name for name in given if not name.startswith(LAUNCHER_PREFIXES)),
        data=json.dumps(job.channels, sort_keys=True),
        algorithm=f"{job.entry_point} {job.source or ''}",
    )
