"""Processes that do the same thing at the same moment, for tests of what only one of them may get."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

START = "import sys\nfrom pathlib import Path\nprint('ready', flush=True)\nsys.stdin.readline()\n"


def race(setup: str, code: str, *arguments: str | Path, count: int = 4) -> list[str]:
    """What each of `count` processes prints that runs `code` as soon as all of them have run `setup`."""
    command = [sys.executable, "-c", f"{setup}\n{START}{code}", *map(str, arguments)]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate()[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * count
    return said
