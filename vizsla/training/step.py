"""A sweep's first step, in a worker of its own: features for all its trials, and a probe to compare them with."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vizsla.job import Job
from vizsla.jobdir import JobDir
from vizsla.logs import log_to_stderr
from vizsla.observers.metrics import ProgressFile
from vizsla.plan import resolve
from vizsla.training.prepare import prepare
from vizsla.training.probe import Probe
from vizsla.training.ready import Asked, make


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """{"job", "folder", "share"} → {"shelves": [folder], "probe": its figures by the names of their records, or null}.

    share: cores that a trial will have. shelves: what the cache keeps for the trials.

    Raises UserError for photos that nobody can train on.
    """
    job, folder = Job.model_validate(request["job"]), JobDir(Path(request["folder"]))
    plan = resolve(job)
    if plan.method == "finetune":  # trials keep no probe, but are compared with the best one
        plan = plan.model_copy(update={"method": "auto"})
    log_to_stderr(job.launch.log.level.upper())
    progress = ProgressFile(folder.private / "progress.json")
    channels = {name: Path(path) for name, path in job.channels.items()}
    remember = job.launch.cache.max_gb > 0
    divided = prepare(channels, plan, folder.reports, lambda done, total: progress.show("check", done, total), remember)
    with ExitStack() as stack:
        asked = Asked(divided, plan, job.launch, folder.private, int(request["share"]))
        ready = make(asked, progress.show, stack)
    shelves = [str(shelf) for shelf in ready.source.shelves]
    return {"shelves": shelves, "probe": _figures(ready.probes.best) if ready.probes else None}


def _figures(probe: Probe) -> dict[str, Any]:
    return {
        "epoch_train_loss": probe.train_loss,
        "valid_loss": probe.valid_loss,
        "valid_accuracy": probe.valid_accuracy,
        "l2": probe.l2,
        "stages": probe.stages,
    }
