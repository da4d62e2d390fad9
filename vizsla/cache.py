"""The user's cache as a place: what lies in it, how much it may take, who needs what of it, and what has to go.

Below everything that keeps something for later runs (`training/packs.py`, `training/engines.py`, …), and below
`vizsla cache`. Whatever is here can be made again, so nothing here is an error: where the cache cannot be used, a
training computes.

Who needs an entry holds a shared lock (flock) on its `use` file; the kernel takes the lock back when the process ends,
however it ends. Who removes an entry holds the exclusive one, and moves the entry out of sight before it is unlinked,
so nobody opens half of one. Nothing is ever truncated: a memory map of what was removed stays whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vizsla import locks
from vizsla.files import read_json

# Kind → how its entries' names end. An entry of features is a folder of packs; one of the others is the files that
# share its name up to the first dot. Photos have one entry, at the top.
SUFFIX_OF: Final[Mapping[str, str]] = {"features": "", "networks": ".onnx", "executions": ".json", "photos": ".sqlite"}
PHOTOS: Final = "photos.sqlite"

_DIGEST = re.compile("[0-9a-f]{16,64}")  # nothing else is an entry: somebody's own folder may be called "features"
_TORN = re.compile(r"\.[0-9a-f]{16,64}\.\w+\.[0-9a-f]{8}\.tmp")  # what `files.write_atomic` leaves behind if killed
_GONE = re.compile(r"\.gone-[0-9a-f]{16}")
_OF_A_SHELF = re.compile(r"use|lock|about\.json|.+\.pack|\..+\.tmp")
_TORN_AFTER_S = 3600
_MOST_SHARE = 5  # at most a fifth of the disk that would be free


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is kept. `used`: when it was last needed, in unix seconds; `about`: what it says of itself."""

    kind: str
    name: str
    path: Path
    size_bytes: int
    used: float
    in_use: bool
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cleared:
    """`entries` are gone; `kept` are in use, or may not be removed."""

    entries: tuple[Entry, ...]
    kept: tuple[Entry, ...]

    @property
    def size_bytes(self) -> int:
        """How much is free now that was not."""
        return sum(entry.size_bytes for entry in self.entries)


def root() -> Path:
    """Where the cache is: VIZSLA_CACHE, else vizsla in XDG_CACHE_HOME, else ~/.cache/vizsla. It need not exist."""
    if named := os.environ.get("VIZSLA_CACHE"):
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")  # the standard wants a relative one to be passed over
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "vizsla"


# ---- looking


def entries(root: Path) -> list[Entry]:
    """Everything that is kept, kind by kind. What vanishes meanwhile is left out."""
    return [entry for kind in SUFFIX_OF for path in _paths(root, kind) if (entry := _entry(kind, path))]


def allowance(root: Path, max_gb: float) -> int:
    """Bytes that the cache may take in all: `max_gb` (of 10^9), at most a fifth of the disk that is free without it."""
    return _allowed(root, sum(entry.size_bytes for entry in entries(root)), max_gb)


def has_room(root: Path, needed_bytes: int, max_gb: float, keep: Path | None = None) -> bool:
    """Whether so much more may be kept, if all went that nobody uses, the entry at `keep` excepted."""
    return _to_evict(root, needed_bytes, max_gb, {keep}) is not None


def writable(path: Path) -> bool:
    """Whether something may be written at `path`, or be made there."""
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


# ---- removing


def make_room(root: Path, needed_bytes: int, max_gb: float) -> bool:
    """Removes what nobody uses, the least recently used first, until so much more may be kept.

    Returns False, and removes nothing, where that cannot be had.
    """
    _sweep(root)
    stuck: set[Path | None] = set()
    while chosen := _to_evict(root, needed_bytes, max_gb, stuck):
        stuck |= {entry.path for entry in chosen if not remove(entry.path)}
    return chosen is not None


def clear(root: Path, kind: str | None = None) -> Cleared:
    """Removes all entries, or those of one kind, and leaves what is in use."""
    _sweep(root)
    asked = [entry for entry in entries(root) if kind in (None, entry.kind)]
    gone = [entry for entry in asked if remove(entry.path)]
    return Cleared(tuple(gone), tuple(entry for entry in asked if entry not in gone))


def remove(path: Path) -> bool:
    """Unlinks the entry at `path`; returns False where somebody uses it, or where nothing may be removed."""
    try:
        handle = locks.alone(_use_file(path))
    except OSError:
        return False
    try:
        away = _move_away(path) if _is_folder(path) else None
        if away is None:
            _unlink([*_files(path), _use_file(path)])  # the lock last: until then nobody comes in
    except OSError:
        return False
    finally:
        os.close(handle)
    if away:
        _discard(away)
    return True


# ---- using


@contextmanager
def using(entry_path: Path) -> Iterator[None]:
    """Keeps an entry from being removed meanwhile, whether it is there already or not, and notes that it was used.

    Where no lock can be had, as on a disk that cannot be written, it goes without.
    """
    use, handle = _use_file(entry_path), None
    with contextlib.suppress(OSError):
        handle = locks.shared(use)
    try:
        _touch(use)
        yield
    finally:
        _touch(use)
        if handle is not None:
            os.close(handle)


def _touch(file: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(file)


# ---- what lies where


def _is_folder(path: Path) -> bool:
    return not path.suffix


def _use_file(path: Path) -> Path:
    return path / "use" if _is_folder(path) else path.with_suffix(".use")


def _paths(root: Path, kind: str) -> list[Path]:
    if kind == "photos":
        return [root / PHOTOS] if (root / PHOTOS).is_file() else []
    suffix = SUFFIX_OF[kind]
    named = [path for path in _listed(root / kind) if path.suffix == suffix and _DIGEST.fullmatch(path.stem)]
    return [path for path in named if (path.is_dir() if suffix == "" else path.is_file())]


def _files(path: Path) -> list[Path]:
    """What an entry takes room with, its lock left out."""
    if _is_folder(path):
        return [file for file in _listed(path) if _OF_A_SHELF.fullmatch(file.name)]
    family = [file for file in _listed(path.parent) if file.name.startswith(f"{path.stem}.")]
    return [file for file in family if file != _use_file(path)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _entry(kind: str, path: Path) -> Entry | None:
    try:
        used = path.stat().st_mtime
    except OSError:
        return None
    with contextlib.suppress(OSError):
        used = max(used, _use_file(path).stat().st_mtime)
    return Entry(
        kind, path.stem, path, sum(map(_size, _files(path))), used, locks.is_held(_use_file(path)), _about(kind, path)
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _about(kind: str, path: Path) -> Mapping[str, Any]:
    if kind == "photos":
        return {}
    try:
        told = read_json(path / "about.json" if _is_folder(path) else path.with_suffix(".json"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


# ---- how much, and what goes


def _allowed(root: Path, held_bytes: int, max_gb: float) -> int:
    there = next(each for each in (root, *root.parents) if each.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return 0
    return int(min(max_gb * 1e9, (free + held_bytes) // _MOST_SHARE))


def _to_evict(root: Path, needed_bytes: int, max_gb: float, keep: Collection[Path | None]) -> list[Entry] | None:
    """What has to go so that so much more may be kept; None where even all that may go is not enough."""
    there = entries(root)
    held = sum(entry.size_bytes for entry in there)
    over = held + needed_bytes - _allowed(root, held, max_gb)
    chosen = []
    for entry in sorted(there, key=lambda each: (each.used, each.name)):
        if over > 0 and entry.size_bytes and not entry.in_use and entry.path not in keep:
            chosen.append(entry)
            over -= entry.size_bytes
    return chosen if over <= 0 else None


def _move_away(folder: Path) -> Path:
    away = folder.with_name(f".gone-{secrets.token_hex(8)}")
    folder.rename(away)
    return away


def _discard(folder: Path) -> None:
    """Unlinks what is ours in a folder, and the folder if that was all."""
    with contextlib.suppress(OSError):  # another process may be at the same
        _unlink(_files(folder))
        folder.rmdir()


def _unlink(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    """Removes what processes left behind that were killed while they wrote or removed."""
    for path in _listed(root / "features"):
        if _GONE.fullmatch(path.name):
            _discard(path)
    for path in [*_listed(root / "networks"), *_listed(root / "executions")]:
        if _TORN.fullmatch(path.name) and _age_s(path) > _TORN_AFTER_S:
            with contextlib.suppress(OSError):
                path.unlink()


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
