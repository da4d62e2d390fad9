"""A process and all that it has started: what they compute, hold and wait for, as /proc shows it. Part of the sampler.

Systems without /proc show nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
MOST_BYTES = 1 << 14  # of a file that is read
SWITCHES = b"nonvoluntary_ctxt_switches:"


@dataclass(frozen=True, slots=True)
class Work:
    """What the processes of a tree have done since they began, and what they hold now."""

    cpu_s: float
    """Of those that have ended too: who waits for a child gets its time."""
    faults: int
    """Pages that had to be read from a disk."""
    switches: Mapping[int, int]
    """Of each thread: how often it had to leave its core to another one although it had more to do."""
    rss_bytes: int
    threads: int
    processes: int


class Tree:
    """The process `root` and its descendants, but for those `without`."""

    def __init__(self, root: int, without: Collection[int] = ()) -> None:
        self._root = root
        self._without = frozenset(without)
        self._others: set[int] = set()  # they stay outside: an orphan's new parent is never one of the tree
        self._members: set[int] = set()

    def look(self) -> Work | None:
        """None where there is no /proc, and once the tree has ended and nobody can tell what it did."""
        self._find()
        found = {pid: stat for pid in self._members if (stat := _stat(pid))}
        if not found:
            return None
        alive = [pid for pid, stat in found.items() if stat.alive]
        return Work(
            cpu_s=sum(stat.cpu_s for stat in found.values()),
            faults=sum(stat.faults for stat in found.values()),
            switches={thread: count for pid in alive for thread, count in _switches(pid)},
            rss_bytes=sum(stat.rss_bytes for stat in found.values()),
            threads=sum(found[pid].threads for pid in alive),
            processes=len(alive),
        )

    def _find(self) -> None:
        """Looks at the processes that are new since the last time alone: to read all would be half of the cost."""
        there = _pids()
        self._members &= there
        self._others &= there
        parents = {pid: stat.parent for pid in there - self._members - self._others if (stat := _stat(pid))}
        for pid in sorted(parents):
            self._place(pid, parents)

    def _place(self, pid: int, parents: Mapping[int, int]) -> None:
        """Follows the parents of a new process up to one whose place is known."""
        line: list[int] = []
        while pid in parents and pid not in self._members and pid not in self._others and pid != self._root:
            line.append(pid)
            pid = parents[pid]
        inside = pid == self._root or pid in self._members
        if pid == self._root:
            self._members.add(pid)
        for each in reversed(line):
            inside = inside and each not in self._without
            (self._members if inside else self._others).add(each)


@dataclass(frozen=True, slots=True)
class _Stat:
    """One line of /proc/<pid>/stat."""

    parent: int
    alive: bool
    cpu_s: float
    faults: int
    threads: int
    rss_bytes: int


def _stat(pid: int) -> _Stat | None:
    """None for a process that is gone."""
    line = _read(f"/proc/{pid}/stat")
    fields = line[line.rfind(b")") + 2 :].split()  # its name stands in parentheses before them, and may hold some
    if len(fields) < 22:
        return None
    state, parent, major, childrens_major = fields[0], int(fields[1]), int(fields[9]), int(fields[10])
    return _Stat(
        parent=parent,
        alive=state not in (b"Z", b"X"),
        cpu_s=sum(map(int, fields[11:15])) * TICK_S,
        faults=major + childrens_major,
        threads=int(fields[17]),
        rss_bytes=int(fields[21]) * PAGE_BYTES,
    )


def _switches(pid: int) -> list[tuple[int, int]]:
    """Of each thread of a process; /proc/<pid>/status has those of its first thread alone."""
    found = []
    for thread in _entries(f"/proc/{pid}/task"):
        _, named, count = _read(f"/proc/{pid}/task/{thread}/status").rpartition(SWITCHES)
        if named:
            found.append((int(thread), int(count)))
    return found


def _pids() -> set[int]:
    return {int(name) for name in _entries("/proc") if name.isdigit()}


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - this runs twice a second beside a training
    except OSError:
        return []


def _read(file: str) -> bytes:
    """The content of a small file of /proc; nothing of one that is gone. Python's own files cost twice as much."""
    try:
        handle = os.open(file, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(handle, MOST_BYTES)
    except OSError:  # it has ended just now
        return b""
    finally:
        os.close(handle)
