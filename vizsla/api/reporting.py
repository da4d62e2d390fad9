"""The report of a job or sweep: one page that opens offline, and the same figures as a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vizsla import jobdir
from vizsla.analysis import report
from vizsla.analysis.sweeps import SweepView, TrialView
from vizsla.api import tuning
from vizsla.jobdir import JobDir
from vizsla.tuning import baseline, search, space
from vizsla.tuning.trials import Trial


def write(folder: JobDir) -> tuple[Path, dict[str, Any]]:
    """Writes report.html at the top of the folder. Returns its place and the document behind it."""
    page = folder.path / report.PAGE
    if folder.kind == "tuning":
        document = tuning.document(folder)
        for trial in tuning.look(folder):
            report.write(trial.folder.path / report.PAGE, report.job_page(trial.folder))
        report.write(page, report.sweep_page(*views(folder, document)))
    else:
        html, document = report.job(folder)
        report.write(page, html)
    return page, {**document, "page": str(page)}


def views(folder: JobDir, document: dict[str, Any]) -> tuple[SweepView, list[TrialView]]:
    """A sweep and its trials as the page shows them."""
    made, found, last = tuning.spec(folder), tuning.look(folder), jobdir.advance(folder)
    ranges = space.from_json(made.ranges)
    view = SweepView(
        name=folder.name,
        status=document["status"],
        created=made.created,
        objective_name=made.objective,
        direction=made.direction,
        strategy=made.strategy,
        seconds=document["seconds"],
        best=document["best"]["name"] if document["best"] else None,
        baseline=baseline.value(folder, made),
        importance=search.importance([trial.tried() for trial in found], ranges, made.direction),
        ranges={name: _range(each) for name, each in made.ranges.items()},
        linear=frozenset(name for name, each in made.ranges.items() if each.get("scaling") == "Linear"),
        reason=last.reason if last else None,
    )
    return view, [_trial(trial) for trial in found]


def _trial(trial: Trial) -> TrialView:
    return TrialView(
        name=trial.folder.name,
        number=trial.number,
        status=trial.status,
        hyperparameters=dict(trial.hyperparameters),
        objective=trial.objective,
        epochs=len(trial.curve),
        seconds=trial.seconds,
        curve=trial.curve,
        reason=trial.reason,
        page=f"../../training/{trial.folder.name}/{report.PAGE}",
    )


def _range(each: dict[str, Any]) -> str:
    return ", ".join(each["values"]) if "values" in each else f"{each['low']:g} to {each['high']:g}"
