"""What photos turned out to be, kept in the user's cache: the hash of their bytes, or why they are bad.

For `check.py`, so that a folder of photos that did not change is not read again. A file is known by its path, size,
time of change and inode; what was found holds for the way of decoding it was found with. One SQLite file, which several
processes may use; where it cannot be used nothing is remembered, and a damaged one is made anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from vizsla import cache
from vizsla.vision.preprocess import Preprocessing

_SETTLED_NS: Final = 2_000_000_000  # two changes in one tick of a file system's clock look like one; FAT's takes 2 s
_WRITE_EVERY: Final = 256
_WAIT_S: Final = 10.0
_SCHEMA: Final = 1
_BEYOND_REPAIR: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last: odd tables
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS photo (path BLOB, decoding TEXT, size INTEGER, mtime_ns INTEGER, inode INTEGER,"
    " sha256 TEXT, reason TEXT, crc32 INTEGER, PRIMARY KEY (path, decoding)) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True)
class Look:
    """A file at a moment: what it is known by. `at_ns` is when it was looked at."""

    path: bytes
    size_bytes: int
    mtime_ns: int
    inode: int
    at_ns: int

    @classmethod
    def at(cls, path: Path) -> Self:
        """Raises OSError where there is no file."""
        now = time.time_ns()
        found = path.stat()
        return cls(os.fsencode(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ino, now)

    @property
    def stamp(self) -> tuple[int, int, int]:
        return self.size_bytes, self.mtime_ns, self.inode

    def holds(self) -> bool:
        """Whether the file is still what was looked at, and a change just after the look would have shown."""
        if self.at_ns - self.mtime_ns < _SETTLED_NS:
            return False
        try:
            return Look.at(Path(os.fsdecode(self.path))).stamp == self.stamp
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Verdict:
    """sha256: of the bytes, in hex. reason: why they give no photo; "" for a good one."""

    sha256: str
    reason: str = ""


class Remembered:
    """Context manager over what is remembered in the cache at `root`. Threads may share it."""

    def __init__(self, root: Path) -> None:
        self._file = root / cache.PHOTOS
        self._pillow = version("pillow")
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._db: sqlite3.Connection | None = None
        self._unwritten: list[tuple[Any, ...]] = []
        self._damaged = False

    def __enter__(self) -> Self:
        self._connect()
        if self._damaged:
            self._start_over()
            self._connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._write()
            self._close()
            if self._damaged:
                self._start_over()

    def recall(self, look: Look, spec: Preprocessing) -> Verdict | None:
        """What that file turned out to be when it was last decoded so; None if it has changed, or nobody knows."""
        where = (look.path, self._decoding(spec))
        with self._lock:
            rows = self._execute(
                "SELECT size, mtime_ns, inode, sha256, reason, crc32 FROM photo WHERE path = ? AND decoding = ?", where
            )
        for *stamp, sha256, reason, crc32 in rows:
            if crc32 != _crc32(*where, *stamp, sha256, reason):
                self._damaged = True
            elif tuple(stamp) == look.stamp:
                return Verdict(sha256, reason)
        return None

    def keep(self, look: Look, spec: Preprocessing, verdict: Verdict) -> None:
        """Remembers what a file turned out to be; not if it was changed a moment before the look, or since."""
        if self._db is None or not look.holds():
            return
        row = (look.path, self._decoding(spec), *look.stamp, verdict.sha256, verdict.reason)
        with self._lock:
            self._unwritten.append((*row, _crc32(*row)))
            if len(self._unwritten) >= _WRITE_EVERY:
                self._write()

    def _decoding(self, spec: Preprocessing) -> str:
        """All that whether bytes are a photo may depend on."""
        return f"{spec.version} {spec.size} {spec.resize} {spec.max_pixels} pillow {self._pillow}"

    def _connect(self) -> None:
        self._damaged = False
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._open.enter_context(cache.using(self._file))
            self._db = sqlite3.connect(self._file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error):
            self._close()
            return
        schema, health = (
            self._execute("PRAGMA user_version"),
            self._execute("PRAGMA integrity_check(1)"),
        )  # quick_check overlooks rows out of order
        if health and health != [("ok",)]:
            self._damaged = True
        elif schema == [(0,)]:
            self._execute(_TABLE)
            self._execute(f"PRAGMA user_version = {_SCHEMA}")
        elif schema and schema != [(_SCHEMA,)]:
            self._damaged = True  # of another version: as good as damaged

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows found; none where the file cannot be used."""
        if self._db is None:
            return []
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _write(self) -> None:
        rows, self._unwritten = self._unwritten, []
        if self._db is None or not rows:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO photo VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:  # a full disk, a cache that may not be written: known again next time, not now
            if self._db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more exactly what happened
        self._damaged |= code in _BEYOND_REPAIR

    def _start_over(self) -> None:
        """Removes the file, unless another process has it open: then the next one does."""
        self._close()
        cache.remove(self._file)

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._db = None
        self._open.close()


def _crc32(*row: Any) -> int:
    """SQLite sees to the order of its pages, not to the bits of a row."""
    return zlib.crc32(repr(row).encode())
