"""The index of a workspace: what `vizsla ps` needs of finished jobs, in SQLite, so that 10,000 of them list at once.

The folders are the truth: a name that the index does not know is read from its folder, one whose folder is gone is
forgotten, and a job that is not finished is always asked anew. Deleting the file loses nothing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from types import TracebackType
from typing import Any, Self

from vizsla import jobdir
from vizsla.errors import UserError, VizslaError
from vizsla.files import read_json
from vizsla.jobdir import JobDir
from vizsla.workspace import KINDS, Workspace

FILE = "index.sqlite"
IN_MEMORY = ":memory:"
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One job as the list shows it."""

    kind: str
    name: str
    status: str
    created: str
    seconds: float
    stamp: int
    """When the folder of its attempts last changed: a job that was resumed since is read anew."""

    def document(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("name", "kind", "status", "created", "seconds")}


def _first(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE job (kind TEXT, name TEXT, status TEXT, created TEXT, seconds REAL, stamp INTEGER,"
        " PRIMARY KEY (kind, name))"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first,)


class Store:
    """Context manager over the index of one workspace. Two processes may use it at once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __enter__(self) -> Self:
        try:
            self._open(self._place())
        except sqlite3.Error:  # damaged, or where nothing may be written: the list is then made in memory each time
            self._open(IN_MEMORY)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    def rows(self) -> list[Row]:
        """Every job there is, the newest first; the index is brought up to date on the way."""
        there = {(kind, name) for kind in KINDS for name in self._workspace.names(kind)}
        known = {(row.kind, row.name): row for row in self._known() if row.stamp == self._stamp(row.kind, row.name)}
        fresh = [row for key in there - known.keys() if (row := self._read(*key))]
        self._keep([row for row in fresh if row.status in jobdir.FINISHED])
        return sorted([*fresh, *known.values()], key=lambda row: (row.created, row.name), reverse=True)

    def clear(self) -> None:
        """Forgets everything; the next look reads the folders. An index that cannot be used is made anew."""
        if self._at == IN_MEMORY:
            self._db.close()
            for file in self._workspace.path.glob(f"{FILE}*"):
                with contextlib.suppress(OSError):
                    file.unlink()
            self.__enter__()
        with contextlib.suppress(sqlite3.Error):  # one that is damaged further in is given up by the next look
            self._db.execute("DELETE FROM job")

    def _open(self, at: str) -> None:
        self._at = at
        self._db = sqlite3.connect(at, timeout=WAIT_S, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._migrate()

    def _place(self) -> str:
        return str(self._workspace.path / FILE) if self._workspace.path.is_dir() else IN_MEMORY

    def _migrate(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        done = self._db.execute("PRAGMA user_version").fetchone()[0]
        for step in MIGRATIONS[done:]:
            step(self._db)
        self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        self._db.execute("COMMIT")

    def _known(self) -> list[Row]:
        try:
            found = self._db.execute("SELECT kind, name, status, created, seconds, stamp FROM job").fetchall()
        except sqlite3.Error:  # damaged further in, or made by another version
            self._db.close()
            self._open(IN_MEMORY)
            found = []
        return [Row(*row) for row in found]

    def _keep(self, rows: Iterable[Row]) -> None:
        self._write("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?, ?, ?)", [astuple(row) for row in rows])

    def _write(self, statement: str, values: list[tuple[Any, ...]]) -> None:
        if not values:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(statement, values)
            self._db.execute("COMMIT")
        except sqlite3.Error:  # a full disk: the list is right all the same, and slower next time
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _stamp(self, kind: str, name: str) -> int:
        """-1 for a folder that is gone, which no row has."""
        try:
            return os.stat(f"{self._workspace.path}/{kind}/{name}/attempts").st_mtime_ns  # noqa: PTH116 - 10,000 of them
        except OSError:
            return -1

    def _read(self, kind: str, name: str) -> Row | None:
        """A job's row from its folder; None for a folder that is no job (yet)."""
        folder = JobDir(self._workspace.path / kind / name)
        stamp = self._stamp(kind, name)  # before anything is read: what changes meanwhile is read again next time
        try:
            made = read_json(folder.path / ("sweep.json" if kind == "tuning" else "job.json"))
            attempts, last = folder.attempts(), jobdir.advance(folder)
        except (OSError, ValueError, UserError, VizslaError):
            return None
        seconds = sum(attempt.seconds for attempt in attempts[:-1]) + (last.seconds if last else 0.0)
        return Row(kind, name, last.state if last else "InProgress", str(made["created"]), round(seconds, 3), stamp)
