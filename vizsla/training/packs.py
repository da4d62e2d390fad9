"""Shelves of features in the user's cache: written once, in packs, and read through a memory map.

Between `features.py`, which computes what is missing, and the disk. A shelf belongs to all that its numbers depend on
beside the photo; an item on it is a photo, by the hash of its bytes, in one view. Packs (`packfile.py`) appear whole
and are never changed, so a kill at any byte costs a pack that nobody had seen. Each is held against its checksum when a
shelf is opened; a bad one is unlinked and its rows are missing.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import resource
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from vizsla import cache, files, locks
from vizsla.errors import VizslaError
from vizsla.training import packfile
from vizsla.training.packfile import PACK_BYTES, Item, Spec

__all__ = ["CacheFull", "Item", "Rows", "Shelf", "Spec", "fits"]

log = logging.getLogger("vizsla.packs")

WAIT_S: Final = 0.5
_MANY_PACKS: Final = 64  # each takes one of the files a process may have open: 1,024 by default, 256 on a Mac
_OPEN_FILES: Final = 65_536


class CacheFull(VizslaError):  # noqa: N818 - a state of the cache, which a training works around
    """Nothing more can be kept: the allowance or the disk is used up, or the cache may not be written."""


@dataclass(frozen=True)
class Rows:
    """Rows of a shelf, in the order they were asked for; not in memory before they are taken."""

    spec: Spec
    _packs: Sequence[np.ndarray]
    _places: np.ndarray
    """int64 (rows, 2): which pack, and where in it."""

    def __len__(self) -> int:
        return len(self._places)

    @property
    def item_bytes(self) -> int:
        """Bytes of one row."""
        return self.spec.item_bytes

    def take(self, indices: Sequence[int]) -> np.ndarray:
        """A copy, (indices, *shape): float32, or uint16 that are the bits of bfloat16."""
        taken = np.empty((len(indices), *self.spec.shape), self.spec.kept_as)
        for place, (pack, row) in enumerate(self._places[np.asarray(indices, np.int64)].tolist()):
            taken[place] = self._packs[pack][row]
        return taken


class Shelf:
    """One shelf; a context manager: from enter to exit it is not evicted. `Rows` outlive it.

    Where the cache cannot be used a shelf is empty, and `filling` raises CacheFull.
    """

    def __init__(self, root: Path, spec: Spec, max_gb: float) -> None:
        self.spec = spec
        self.item_bytes = spec.item_bytes
        self.path = _place(root, spec)
        self._root = root
        self._max_gb = max_gb
        self._names: set[str] = set()
        self._packs: list[np.ndarray] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        self._open = ExitStack()
        self._may_add = False

    @classmethod
    def open(cls, root: Path, spec: Spec, max_gb: float) -> Self:
        """The shelf of `spec` in the cache at `root`, to be entered before it is asked."""
        return cls(root, spec, max_gb)

    def __enter__(self) -> Self:
        self._open.enter_context(cache.using(self.path))
        self._load()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def missing(self, items: Sequence[Item]) -> list[Item]:
        """Those that are not there, in order, each once."""
        return [item for item in dict.fromkeys(items) if packfile.key(item) not in self._places]

    def rows(self, items: Sequence[Item]) -> Rows:
        """The rows of `items`. Raises KeyError where one is missing."""
        places = [self._places[packfile.key(item)] for item in items]
        return Rows(self.spec, tuple(self._packs), np.array(places, np.int64).reshape(-1, 2))

    @contextmanager
    def filling(self, waits: Callable[[], None]) -> Iterator[None]:
        """Holds the shelf for one process to add to, and knows then what others have added.

        While another process fills it, `waits()` is called twice a second; what it raises ends the waiting. Raises
        CacheFull where nothing can be kept.
        """
        handle = self._alone(waits)
        try:
            self._sweep()
            self._load()
            self._may_add = True
            yield
        finally:
            self._may_add = False
            os.close(handle)

    def add(self, items: Sequence[Item], rows: np.ndarray) -> None:
        """Puts rows on the shelf, to be called while `filling`; they are there for all processes when it returns.

        rows: (items, *shape), float32, or uint16 that are the bits of bfloat16. Raises CacheFull where they do not fit.
        """
        if not self._may_add:
            raise RuntimeError("a shelf is added to while it is being filled")
        if rows.shape != (len(items), *self.spec.shape) or rows.dtype != self.spec.kept_as:
            raise ValueError(f"{rows.dtype} {rows.shape} are no rows of {len(items)} items of {self.spec.shape}")
        rows = np.ascontiguousarray(rows)
        most = max(1, PACK_BYTES // self.item_bytes)
        for start in range(0, len(items), most):
            self._add_pack(items[start : start + most], rows[start : start + most])

    def _add_pack(self, items: Sequence[Item], rows: np.ndarray) -> None:
        content = packfile.packed(self.spec, items, rows)
        size_bytes = sum(len(part) for part in content)
        if not cache.make_room(self._root, size_bytes, self._max_gb):
            raise CacheFull(
                f"The cache in {self._root} has no room for {size_bytes / 1e6:.1f} MB more.",
                "Allow it more with --set cache.max_gb=, make room on the disk, or see: vizsla cache",
            )
        path = self.path / f"{secrets.token_hex(8)}.pack"
        try:
            packfile.write(path, content)
        except OSError as error:
            raise _full(path, error) from error
        if not self._load_pack(path):
            raise CacheFull(f"{path} could not be read back.", "Check that the disk is in order.")

    def _alone(self, waits: Callable[[], None]) -> int:
        while True:
            try:
                return locks.alone(self.path / "lock")
            except BlockingIOError:
                waits()
                time.sleep(WAIT_S)
            except OSError as error:
                raise _full(self.path, error) from error

    def _sweep(self) -> None:
        """What a killed process had begun is nobody's, now that this one alone may write; and who looks is told."""
        for torn in self.path.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                torn.unlink()
        about = self.path / "about.json"
        if not about.exists():
            with contextlib.suppress(VizslaError):  # nothing depends on it
                files.write_json(about, self.spec.document())

    def _load(self) -> None:
        """Opens the packs that this process does not know yet."""
        found = sorted(self.path.glob("*.pack"))
        if len(found) > _MANY_PACKS:
            _allow_open_files()
        for path in found:
            if path.name not in self._names:
                self._load_pack(path)

    def _load_pack(self, path: Path) -> bool:
        try:
            keys, rows = packfile.opened(path, self.spec)
        except packfile.Damaged as damage:
            log.warning("a pack of features is damaged (%s) and is made anew: %s", damage, path)
            with contextlib.suppress(OSError):
                path.unlink()
            return False
        except OSError as error:
            log.warning("a pack of features cannot be read (%s): %s", files.reason(error), path)
            return False
        self._names.add(path.name)
        for row, key in enumerate(keys):
            self._places.setdefault(key, (len(self._packs), row))
        self._packs.append(rows)
        return True


def fits(root: Path, spec: Spec, count: int, max_gb: float) -> bool:
    """Whether so many more rows may be kept, if all went that nobody uses, the shelf of `spec` excepted."""
    packs = math.ceil(count * spec.item_bytes / PACK_BYTES)
    needed = count * (spec.item_bytes + packfile.KEY_BYTES) + packs * packfile.HEAD_BYTES
    place = _place(root, spec)
    return cache.writable(place) and cache.has_room(root, needed, max_gb, keep=place)


def _place(root: Path, spec: Spec) -> Path:
    return root / "features" / spec.digest()


def _full(path: Path, error: OSError) -> CacheFull:
    told = files.unwritable(path, error)
    cure = "Make room on the disk, or clear the cache: vizsla cache clear"
    return CacheFull(told.message, cure if error.errno in (errno.ENOSPC, errno.EDQUOT) else told.hint)


def _allow_open_files() -> None:
    """Raises the number of files that this process may have open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
