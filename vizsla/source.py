"""A script's source folder, copied into the job's folder: what ran can be looked at later, whatever became of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vizsla.errors import UserError
from vizsla.files import unwritable
from vizsla.workspace import MARKER

LIMIT_BYTES = 200_000_000
UNWANTED = ("__pycache__", "node_modules")


def check(folder: Path, entry_point: str) -> None:
    """Raises UserError unless `folder` holds a script called `entry_point`, and no more than a source folder does."""
    if not folder.is_dir():
        raise UserError(f"There is no source folder {folder}.", "Name the folder the script lies in: --source DIR")
    script = folder / entry_point
    if Path(entry_point).is_absolute() or ".." in Path(entry_point).parts:
        raise UserError(f"The script {entry_point} is outside {folder}.", "Name it as seen from the source folder.")
    if not script.is_file():
        raise UserError(f"There is no script {entry_point} in {folder}.", "Check the name, or say --source DIR.")
    size_bytes = sum((folder / file).stat().st_size for file in files(folder))
    if size_bytes > LIMIT_BYTES:
        raise UserError(
            f"The source folder {folder} holds {size_bytes / 1e6:.0f} MB.",
            "It is copied into every job: keep data out of it, and hand data over with --channel NAME=DIR.",
        )


def copy(folder: Path, target: Path, entry_point: str) -> None:
    """Copies what `files` names. Raises UserError as `check` does, VizslaError if it cannot be written."""
    check(folder, entry_point)
    for file in files(folder):
        try:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / file, target / file)
        except OSError as error:
            raise unwritable(target / file, error) from error


def files(folder: Path) -> list[Path]:
    """The files that belong to a script, relative to its folder: nothing hidden, no runs, no virtual environments."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _wanted(Path(place) / name)]
        found += [Path(place, name).relative_to(folder) for name in names if not name.startswith(".")]
    return sorted(file for file in found if (folder / file).is_file())


def _wanted(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in UNWANTED
    return not (hidden or (folder / MARKER).exists() or (folder / "pyvenv.cfg").exists())
