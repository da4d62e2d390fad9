"""How this machine does the work: chosen where the job runs, written to execution.json, reused on resume.

Never part of the plan. The same plan, data, seed and execution give the same loss series bit for bit on a CPU; another
number of threads or another memory format may not.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from vizsla.errors import VizslaError
from vizsla.files import read_json, write_json
from vizsla.job import RunSettings
from vizsla.machine import cpus


@dataclass(frozen=True, slots=True)
class Execution:
    """The choices, and the versions they were made with."""

    threads: int
    loader_workers: int
    memory_format: Literal["channels_last", "contiguous"]
    precision: Literal["float32"]
    engine: Literal["torch"]
    torch: str
    machine: str

    @property
    def layout(self) -> Any:
        """The torch.memory_format, for which torch's stubs have no type."""
        return torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format


def choose(given: RunSettings, file: Path | None) -> Execution:
    """The execution in `file` if an earlier attempt wrote one, else what fits this machine; sets torch's threads.

    Without a file nothing is kept: for a question that is asked once.
    """
    execution = (_kept(file) if file else None) or _fresh(given)
    torch.set_num_threads(execution.threads)
    if file:
        write_json(file, asdict(execution))
    return execution


def _kept(file: Path) -> Execution | None:
    try:
        return Execution(**read_json(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise VizslaError(f"{file} cannot be read ({error}).", "Delete it: the choice is then made anew.") from error


def _fresh(given: RunSettings) -> Execution:
    threads = given.threads or cpus()
    return Execution(
        threads=threads,
        loader_workers=threads if given.loader_workers is None else given.loader_workers,
        # Measured on AVX2 and AVX-512 machines: 1.3 to 2 times the images a second of torch's own default.
        memory_format=given.memory_format or "channels_last",
        precision="float32",
        engine="torch",
        torch=torch.__version__,
        machine=f"{platform.machine()} {platform.processor() or platform.system()}".strip(),
    )
