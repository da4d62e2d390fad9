"""How long the commands take that only print: the aim is 0.3 s for --help."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.report import Section, spread

COMMANDS = (("-c", "pass"), ("-m", "vizsla", "--help"), ("-m", "vizsla", "train", "--help"), ("-m", "vizsla"))
RUNS = 9


def measure() -> Section:
    """Each command in turn, nine rounds."""
    seconds: dict[tuple[str, ...], list[float]] = {command: [] for command in COMMANDS}
    for _ in range(RUNS):
        for command in COMMANDS:
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds[command].append(time.perf_counter() - began)
    rows = [(f"`python {' '.join(command)}`", spread(values)) for command, values in seconds.items()]
    return Section("Start-up", f"Whole processes, {RUNS} rounds in turn.", ("command", "median (min to max)"), rows)
