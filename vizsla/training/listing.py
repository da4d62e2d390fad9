"""What a folder of photos holds, by name: the first step of a training job.

`layouts.py` and `labels.py` turn what `walk` finds into a `Listing`; `check.py` decodes the photos of a listing.
Nothing is decoded here: a file is a photo when its name ends like one or its first bytes say so.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

from vizsla.errors import UserError
from vizsla.vision.preprocess import sniff

Split = Literal["train", "valid", "test"]

#: The names people give to the parts of a data set, in lower case, and ours.
SPLIT_NAMES: MappingProxyType[str, Split] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "valid": "valid",
        "val": "valid",
        "validation": "valid",
        "test": "test",
        "testing": "test",
    }
)
_READ = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
# Photos to their owner though not to us: they are candidates, so that each is named as bad and none is lost silently.
_UNREAD = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2")
PHOTO_SUFFIXES = frozenset(_READ + _UNREAD)
WORKSPACE_MARKER = ".vizsla-workspace"

_LITTER = frozenset(["__macosx", "thumbs.db", "desktop.ini"])
_HEAD_BYTES = 32
_WHAT_TO_NAME = "Name a folder that holds one folder of photos for each class."


@dataclass(frozen=True, slots=True)
class Photo:
    """A file that should be a photo; `file` is its name in reports: posix, relative to its channel's folder."""

    path: Path
    file: str
    label: str
    split: Split | None


@dataclass(frozen=True, slots=True)
class Bad:
    """Something that was left out, and why, in a few words for a person."""

    file: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """A data set by its names. `photos` and `bad` are in the order of their file names.

    `ignored` counts files that are no photos, `unlabelled` photos that nothing gives a class; `empty` names class
    folders without any file in them.
    """

    photos: tuple[Photo, ...]
    bad: tuple[Bad, ...]
    ignored: int
    layout: str
    unlabelled: int = 0
    empty: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, sorted by code point: a class's index is its place here."""
        return tuple(sorted({photo.label for photo in self.photos}))


@dataclass(frozen=True)
class Walked:
    """Everything below a folder that is not hidden, as sorted posix paths relative to it."""

    photos: tuple[str, ...]
    others: tuple[str, ...]
    folders: tuple[str, ...]
    bad: tuple[Bad, ...]


def walk(root: Path) -> Walked:
    """Find the photos below `root`; links to files are followed, links to folders are not (they may be loops)."""
    require_folder(root)
    photos: list[str] = []
    others: list[str] = []
    folders: list[str] = []
    unreadable: list[OSError] = []
    for here, names, files in os.walk(root, onerror=unreadable.append):
        below = PurePosixPath(Path(here).relative_to(root).as_posix())
        if WORKSPACE_MARKER in files:
            names.clear()
            continue
        names[:] = [name for name in names if not _is_litter(name)]
        links = [name for name in names if (Path(here) / name).is_symlink()]
        folders += [str(below / name) for name in names if name not in links]
        others += [str(below / name) for name in links]
        for name in files:
            if not _is_litter(name):
                (photos if _is_photo(Path(here) / name) else others).append(str(below / name))
    bad = [_unreadable_folder(root, error) for error in unreadable]
    return Walked(tuple(sorted(photos)), tuple(sorted(others)), tuple(sorted(folders)), tuple(bad))


def require_folder(root: Path) -> None:
    """Raise UserError unless `root` is a folder that can hold data."""
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
        is_workspace = is_folder and any(path.name == WORKSPACE_MARKER for path in root.iterdir())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{root} does not exist.", _WHAT_TO_NAME) from error
    except OSError as error:
        raise UserError(
            f"{root} cannot be read: {error.strerror}.", "Make the folder readable for this user."
        ) from error
    if not is_folder:
        raise UserError(f"{root} is a file, not a folder.", _hint_for_file(root))
    if is_workspace:
        raise UserError(f"{root} is where vizsla keeps its runs, not a data set.", _WHAT_TO_NAME)


def _hint_for_file(path: Path) -> str:
    if path.suffix.lower() in {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}:
        return "Unpack it first, and name the folder that comes out."
    if path.suffix.lower() == ".csv":
        return "Name the folder of the photos, and the CSV with --set data.labels=FILE."
    if _is_photo(path):
        return "To ask a model about one photo, use vizsla predict; to train, name the folder above the class folders."
    return _WHAT_TO_NAME


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _is_photo(path: Path) -> bool:
    named_so = path.suffix.lower() in PHOTO_SUFFIXES
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False  # a pipe would be waited for without end
        if named_so:
            return True
        with path.open("rb") as file:
            return sniff(file.read(_HEAD_BYTES)) is not None
    except OSError:
        return named_so  # a broken link, say: decoding will name it as bad


def _unreadable_folder(root: Path, error: OSError) -> Bad:
    folder = Path(os.fsdecode(error.filename))
    return Bad(folder.relative_to(root).as_posix(), f"the folder cannot be read: {error.strerror}")
