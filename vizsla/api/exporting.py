"""What a job has recorded, in the formats of other tools."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vizsla import jobdir, records
from vizsla.analysis import profiler_output
from vizsla.errors import UserError
from vizsla.files import unwritable
from vizsla.jobdir import JobDir
from vizsla.records import Record

PROFILER = "sagemaker-profiler"
PROFILER_PARTS = {"framework", "system"}  # what lies in a folder of that format, and nothing else


def export(folder: JobDir, form: str, out: Path | None = None) -> dict[str, Any]:
    """Writes what `form` has of a job into the folder `out`, whole or not at all. Returns what `--json` prints.

    What an earlier export left at that place is replaced. Raises UserError for an unknown format, a sweep, a job
    without anything to export, and a place that holds something else; VizslaError where the disk refuses.
    """
    write = FORMATS.get(form)
    if write is None:
        raise UserError(f"{form} is no format to export to.", f"It is {' or '.join(FORMATS)}.")
    if folder.kind == "tuning":
        raise UserError(f"{folder.name} is a search, which records nothing.", "Export one of its training jobs.")
    job, last = folder.job(), jobdir.advance(folder)
    return {
        "name": folder.name,
        "kind": folder.kind,
        "status": last.state if last else "InProgress",
        "created": job.created,
        "format": form,
        **write(folder, out),
    }


def _profiler(folder: JobDir, out: Path | None) -> dict[str, Any]:
    """SageMaker's `profiler-output/`: {"folder", "files", "samples", "steps", "problems"}."""
    place = (out or folder.path / "profiler-output").absolute()
    torn: list[str] = []
    found = records.read(folder.records, profiler_output.STREAMS, torn.append)
    if not any(record.kind in ("system", "phase") for record in found):
        raise UserError(
            f"{folder.name} has no samples and no phases to export.",
            "They are recorded while a job runs, unless it has --set profile.enabled=false.",
        )
    missing = _replace(place, lambda fresh: _write(folder, found, fresh))
    return {
        "folder": str(place),
        "files": sum(1 for file in place.rglob("*") if file.is_file()),
        "samples": sum(1 for record in found if record.name == "sample"),
        "steps": sum(1 for event in profiler_output.events(found) if event.name in profiler_output.TRAINING),
        "problems": [f"{file} is not there any more, so it was left out." for file in missing]
        + [f"The records in {file} are torn or damaged; they are read up to there." for file in torn],
    }


def _write(folder: JobDir, found: Sequence[Record], fresh: Path) -> list[str]:
    """Returns the files that should have been copied and are gone."""
    attempts = folder.attempts()
    missing = []
    for file in profiler_output.files(found, attempts[-1].process.pid if attempts else 0):
        target = fresh / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.source is None:
            target.write_text(file.text)
        elif (folder.path / file.source).is_file():
            shutil.copyfile(folder.path / file.source, target)
        else:
            missing.append(file.source)
    return missing


def _replace(place: Path, fill: Callable[[Path], list[str]]) -> list[str]:
    """Puts a new folder at `place` once it is complete; an earlier one goes when the new one is there."""
    _refuse_what_is_not_ours(place)
    fresh = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    old = fresh.with_suffix(".old")
    try:
        fresh.mkdir(parents=True)
        said = fill(fresh)
        if place.exists():
            place.rename(old)
        fresh.rename(place)
    except OSError as error:
        if old.exists():
            old.rename(place)
        raise unwritable(place, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return said


def _refuse_what_is_not_ours(place: Path) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise UserError(f"{place} is a file.", "Name a folder that is not there yet: --out DIR")
    if {each.name for each in place.iterdir()} - PROFILER_PARTS:
        raise UserError(f"{place} holds other things.", "Name a folder that is not there yet: --out DIR")


FORMATS: dict[str, Callable[[JobDir, Path | None], dict[str, Any]]] = {PROFILER: _profiler}
