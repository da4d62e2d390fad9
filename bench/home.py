"""vizsla as somebody starts it who has never run it here: no runs yet, and a cache with nothing in it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bench import timed
from bench.timed import Ran

DEFAULTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Home:
    """Where the runs and the cache of one user lie. What runs here second finds what the first has left: it is warm."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"VIZSLA_CACHE": str(self.folder / "cache"), "VIZSLA_WORKSPACE": str(self.folder / "runs")}
        return {**os.environ, **own}

    def run(self, *arguments: str | Path, settings: Mapping[str, str] = DEFAULTS) -> Ran:
        """`vizsla ARGUMENTS --set … --json`. Raises RuntimeError where it fails."""
        given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        return timed.run([sys.executable, "-m", "vizsla", *arguments, *given, "--json"], self.environment)


@contextmanager
def cold() -> Iterator[Home]:
    """A home that is made now and removed afterwards. The system's own cache of files is left as it is."""
    with tempfile.TemporaryDirectory(prefix="vizsla-bench-") as folder:
        yield Home(Path(folder))


def shown(settings: Mapping[str, str]) -> str:
    """Settings as they are typed."""
    return " ".join(f"--set {key}={value}" for key, value in settings.items())
