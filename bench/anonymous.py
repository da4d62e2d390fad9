"""How much memory the processes of a home hold that no file backs: what a job needs, whatever its cache maps.

RssAnon, not RSS: pages of a mapped file are counted in RSS, and the system takes them back whenever it needs them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.home import Home

EVERY_S = 0.2
KIB = 1024


@dataclass
class Peak:
    """The largest sum that was seen at one moment."""

    bytes: int = 0

    def see(self, value: int) -> None:
        self.bytes = max(self.bytes, value)

    def __str__(self) -> str:
        return f"{self.bytes / 1e9:.2f} GB"


@contextmanager
def watched(home: Home) -> Iterator[Peak]:
    """The peak of all processes that run in `home`, sampled by a thread while this is open."""
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        while not ended.wait(EVERY_S):
            peak.see(anonymous_bytes(home))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def anonymous_bytes(home: Home) -> int:
    """RssAnon of every process with this home in its environment: workers have sessions and groups of their own."""
    mark = os.fsencode(f"VIZSLA_CACHE={home.environment['VIZSLA_CACHE']}")
    return sum(_rss_anon(process) for process in Path("/proc").glob("[0-9]*") if _has(process, mark))


def _has(process: Path, mark: bytes) -> bool:
    try:
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False


def _rss_anon(process: Path) -> int:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith("RssAnon:")), 0)
