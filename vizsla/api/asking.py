"""Ask a bundle: predict photos, evaluate a labelled folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vizsla import bundle
from vizsla.backends import local
from vizsla.errors import UserError
from vizsla.jobdir import JobDir, advance
from vizsla.workspace import Workspace


def predict(asked: str, files: Sequence[Path], top: int, workspace: Workspace) -> list[dict[str, Any]]:
    """An answer a file, in order. Raises UserError if there is no such bundle."""
    found, _ = locate(asked, workspace)
    return list(local.ask("predict", {"bundle": str(found), "files": [str(file) for file in files], "top": top}))


def evaluate(asked: str, folder: Path, labels: str | None, workspace: Workspace) -> dict[str, Any]:
    """The scores of a bundle on a labelled folder, as evaluation.json holds them. Raises UserError for bad input."""
    found, job = locate(asked, workspace)
    seen = job.reports / "splits.csv" if job else None
    request = {
        "bundle": str(found),
        "folder": str(folder.absolute()),
        "labels": labels,
        "seen": str(seen) if seen and seen.exists() else None,
    }
    return dict(local.ask("evaluate", request))


def locate(asked: str, workspace: Workspace) -> tuple[Path, JobDir | None]:
    """The bundle that NAME or a path means, and the job it belongs to if it was asked for by name.

    A name in the workspace comes first; a path to a bundle's folder, or to a job's, otherwise.
    """
    path = Path(asked)
    if bundle.is_bundle(path):
        return path.absolute(), None
    if (path / "job.json").is_file():
        return _of_job(JobDir(path.absolute()))
    if "/" in asked and not asked.startswith("training/"):
        raise UserError(f"{asked} is no bundle.", "A bundle is the model/ folder of a job: it has a manifest.json.")
    return _of_job(JobDir(workspace.find(asked, "training")))


def _of_job(job: JobDir) -> tuple[Path, JobDir]:
    if bundle.is_bundle(job.model):
        return job.model, job
    last = advance(job)
    state = last.state if last else "not started"
    raise UserError(f"{job.name} has no model ({state}).", f"Go on with it: vizsla train --resume {job.name}")
