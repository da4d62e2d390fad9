"""What it is worth that torch's threads wait asleep, alone and beside a process that keeps one core busy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.allocator import FORWARD
from bench.report import Section, spread
from vizsla.machine import KEEP_MEMORY, WAIT_ASLEEP

ROUNDS = 3
BUSY = "while True: pass"


def measure() -> Section:
    """The same forward passes both ways, in turn, with and without a busy neighbour."""
    rows = []
    for place, busy in (("alone", False), ("beside a busy process", True)):
        neighbour = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
        try:
            spinning, asleep = zip(*((_speed({}), _speed(WAIT_ASLEEP)) for _ in range(ROUNDS)), strict=True)
        finally:
            if neighbour:
                neighbour.kill()
                neighbour.wait()
        ratios = [b / a for a, b in zip(spinning, asleep, strict=True)]
        rows.append((place, spread(spinning, "img/s"), spread(asleep, "img/s"), spread(ratios, "×")))  # noqa: RUF001
    text = "Forward passes as under the next heading; spinning is what libgomp does by default."
    return Section("Threads that wait asleep", text, ("", "spinning", "asleep", "ratio, pair by pair"), rows)


def _speed(extra: dict[str, str]) -> float:
    own = {name: value for name, value in os.environ.items() if name not in WAIT_ASLEEP}
    done = subprocess.run(
        [sys.executable, "-c", FORWARD], env={**own, **KEEP_MEMORY, **extra}, check=True, capture_output=True
    )
    return float(json.loads(done.stdout))
