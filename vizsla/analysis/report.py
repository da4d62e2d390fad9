"""The report of a job or a sweep: a page for people, and its JSON twin.

The last step of the flow: what a job wrote is read into `facts`, each section turns that into HTML, and `page` puts
them together. A new section is a file in `sections/` and a line here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vizsla.analysis import charts, page
from vizsla.analysis import facts as job_facts
from vizsla.analysis import layers as layer_grids
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section
from vizsla.analysis.sections import (
    advice,
    best,
    curves,
    head,
    heldout,
    layers,
    listing,
    operators,
    parallel,
    photos,
    places,
    search,
    settings,
    steps,
    system,
    time,
    tuning,
    verdicts,
)
from vizsla.analysis.series import Curve
from vizsla.analysis.sweeps import SweepView, TrialView
from vizsla.files import write_atomic
from vizsla.jobdir import JobDir

PAGE = "report.html"
_JOB_SECTIONS = (
    *(advice.section, verdicts.section, curves.section, layers.section),
    *(heldout.section, photos.section, time.section, steps.section, operators.section, system.section),
    *(settings.section, places.section),
)
_SWEEP_SECTIONS = (tuning.section, listing.section, best.section, search.section, parallel.section)


def job(folder: JobDir) -> tuple[str, dict[str, Any]]:
    """The page of one training job, running or ended, and its JSON twin, from one look at the folder.

    Raises UserError for a folder without a job, VizslaError where its state cannot be known.
    """
    facts = job_facts.read(folder)
    return _job_page(facts), _job_document(facts)


def job_page(folder: JobDir) -> str:
    """The page alone. Raises as `job` does."""
    return _job_page(job_facts.read(folder))


def job_document(folder: JobDir) -> dict[str, Any]:
    """The figures of the page as JSON has them: what does not exist is null. Raises as `job` does."""
    return _job_document(job_facts.read(folder))


def _job_page(facts: JobFacts) -> str:
    return page.page(head.of_job(facts), _present(section(facts) for section in _JOB_SECTIONS))


def sweep_page(sweep: SweepView, trials: Sequence[TrialView]) -> str:
    """The page of one sweep, running or ended, with its trials in any order."""
    sections = _present(section(sweep, trials) for section in _SWEEP_SECTIONS)
    return page.page(head.of_sweep(sweep, trials), sections)


def write(path: Path, html: str) -> None:
    """Puts a page into `path`, whole or not at all. Raises VizslaError as `files.write_atomic` does."""
    write_atomic(path, html)


def _job_document(facts: JobFacts) -> dict[str, Any]:
    return {
        "name": facts.folder.name,
        "kind": facts.folder.kind,
        "status": facts.status,
        "created": facts.job.created,
        "recommendations": [each.document() for each in facts.recommendations],
        "summary": _summary(facts),
        "rules": [each.document() for each in facts.rules],
        "curves": _curves(facts),
        "layers": _layers(facts),
        **facts.profile.document(),
        "evaluation": facts.evaluation.model_dump(mode="json") if facts.evaluation else None,
        "data": facts.data.model_dump(mode="json") if facts.data else None,
        "page": str(facts.folder.path / PAGE),
    }


def _summary(facts: JobFacts) -> dict[str, Any]:
    return {
        "entry_point": facts.job.entry_point,
        "model": facts.plan.model if facts.plan else None,
        "reason": facts.last.reason if facts.last else None,
        "hint": facts.last.hint if facts.last else None,
        "attempts": len(facts.attempts),
        "seconds": round(facts.seconds, 3),
        "epochs": facts.series.finished_epochs,
        "planned_epochs": facts.series.planned_epochs,
        "kept_epoch": facts.kept_epoch,
        "metrics": dict(facts.manifest.metrics) if facts.manifest else None,
        "settings": settings.changed(facts.plan) if facts.plan else dict(facts.job.hyperparameters),
        "execution": facts.execution,
        "problems": list(facts.problems),
    }


def _curves(facts: JobFacts) -> dict[str, Any]:
    series = facts.series
    return {
        **{name: _points(curve, "epoch") for name, curve in series.epochs.items()},
        "steps": {name: _points(curve, "step") for name, curve in series.steps.items()},
        "others": {name: _points(extra.curve, extra.by) for name, extra in series.extras.items()},
    }


def _layers(facts: JobFacts) -> dict[str, Any] | None:
    """The grids behind the heat maps; what is no finite number is null."""
    grids = {
        "gradients": layer_grids.gradients(facts.records),
        "active_channels": layer_grids.active_channels(facts.records),
        "activations": layer_grids.activations(facts.records),
    }
    if not any(grid.layers for grid in grids.values()):
        return None
    return {
        name: {
            "layers": list(grid.layers),
            "steps": list(grid.steps),
            "values": [charts.numbers(row) for row in grid.values],
        }
        for name, grid in grids.items()
    }


def _points(curve: Curve, by: str) -> list[dict[str, float | None]]:
    place = by if by != "value" else "number"
    return [{place: point.at, "value": point.value if math.isfinite(point.value) else None} for point in curve]


def _present(sections: Iterable[Section | None]) -> list[Section]:
    return [section for section in sections if section is not None]
