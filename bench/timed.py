"""Runs a program to its end: what it printed as JSON, and the seconds on the clock. What is compared are such runs."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAID = 1000  # characters of stderr that an error repeats


@dataclass(frozen=True)
class Ran:
    """One process, from its start to its end."""

    document: dict[str, Any]
    seconds: float


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Ran:
    """Raises RuntimeError for a program that fails, with the end of what it said."""
    began = time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr[-SAID:]}")
    return Ran(json.loads(done.stdout), seconds)
