"""Whether a process still runs, though numbers of processes are used again."""

from __future__ import annotations

import os
import select
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: float
    """Seconds after the machine was: a clock that is put right does not change them."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """The running process `pid`. Raises psutil.NoSuchProcess if it has ended."""
        return cls(pid, _started(psutil.Process(pid)), _boot_id())

    def replaced(self) -> bool:
        """Whether its number may belong to another process by now; one that has ended keeps it until that happens."""
        if self.boot != _boot_id():
            return True
        try:
            return abs(_started(psutil.Process(self.pid)) - self.started) >= 2
        except psutil.NoSuchProcess:
            return False

    def wait(self, timeout_s: float) -> None:
        """Returns when the process ends, at the latest after `timeout_s`."""
        try:
            handle = os.pidfd_open(self.pid)  # Linux; elsewhere there is no such function
        except (AttributeError, OSError):
            time.sleep(timeout_s)
            return
        try:
            end = select.poll()
            end.register(handle, select.POLLIN)
            end.poll(timeout_s * 1000)
        finally:
            os.close(handle)

    def alive(self) -> bool:
        """Whether this very process still runs. A zombie has ended."""
        if self.boot != _boot_id():
            return False
        try:
            found = psutil.Process(self.pid)
            return abs(_started(found) - self.started) < 2 and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def _started(process: psutil.Process) -> float:
    return process.create_time() - psutil.boot_time()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        return f"{psutil.boot_time():.0f}"
