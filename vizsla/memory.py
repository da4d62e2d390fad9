"""How much memory there is for processes here, how much of it is used, and giving back what is not needed."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


def give_back() -> None:
    """Gives the system back what glibc keeps for later: between two parts of a job that need different memory."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class Memory:
    """The memory that processes here may use: the machine's, or what their control group allows where that is less."""

    def __init__(self, groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> None:
        self.total_bytes = psutil.virtual_memory().total
        self._group: _Group | None = None
        for group in _memory_groups(groups, own):
            limit = group.limit_bytes()
            if limit is not None and limit < self.total_bytes:
                self.total_bytes, self._group = limit, group

    def used_bytes(self) -> int:
        """What something new could not have at once: files that are kept in memory only to be quick do not count."""
        if self._group and (used := self._group.used_bytes()) is not None:
            return used
        return self.total_bytes - psutil.virtual_memory().available


@dataclass(frozen=True, slots=True)
class _Group:
    """A control group of Linux, as a folder, and what its files are called: version 2 has other names than 1."""

    folder: Path
    limit: str
    usage: str
    unused_files: str

    def limit_bytes(self) -> int | None:
        """None where there is no limit, or no such group to be seen."""
        text = _text(self.folder / self.limit)
        return int(text) if text.isdecimal() else None

    def used_bytes(self) -> int | None:
        usage = _text(self.folder / self.usage)
        counts = dict(line.split(maxsplit=1) for line in _text(self.folder / "memory.stat").splitlines())
        return int(usage) - int(counts.get(self.unused_files, 0)) if usage.isdecimal() else None


def _memory_groups(groups: Path, own: Path) -> Iterator[_Group]:
    """The groups this process is in, the smallest first; each may have a limit of its own."""
    for line in _text(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            top, names = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = groups / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = top / path.strip("/")
        for each in (folder, *folder.parents):
            yield _Group(each, *names)
            if each == top:
                break


def _text(file: Path) -> str:
    """ "" for a file that cannot be read."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
