"""How this machine does the work: chosen where the job runs, written to execution.json, reused on resume.

Between the network, once it is built and cut, and everything that computes with it. `measuring.py` finds the choice;
here it is kept: in the job's folder for the job, in the user's cache for all jobs of the same network on the same share
of the same machine. Never part of the plan. The same plan, data, seed and execution give the same loss series bit for
bit on a CPU; another number of threads, engine, precision or memory format may not, so a choice once made stays.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from vizsla import cache
from vizsla.errors import UserError, VizslaError
from vizsla.files import read_json, write_json
from vizsla.job import RunSettings
from vizsla.machine import cores, cpus

log = logging.getLogger("vizsla.execution")

Engine = Literal["torch", "onnxruntime"]
Precision = Literal["float32", "bfloat16"]
MemoryFormat = Literal["channels_last", "contiguous"]

VERSION = 1  # of how a choice is made; another one makes it anew
A_DAY_S = 86_400  # how long a choice counts that was made while the machine was busy with other things


@dataclass(frozen=True, slots=True)
class Execution:
    """The choices, the versions they were made with, and why. `rates` are what `forecast.py` predicts from."""

    threads: int
    loader_workers: int
    memory_format: MemoryFormat
    precision: Precision
    engine: Engine
    torch: str
    machine: str
    frozen_threads: int = 1
    """Threads that fill the cache, of all cores: one process does it at a time, and the others wait for it."""
    crowded: bool = False
    """Whether others needed the cores while this was measured."""
    why: tuple[str, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)

    @property
    def layout(self) -> Any:
        """The torch.memory_format, for which torch's stubs have no type."""
        return torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format

    @property
    def facts(self) -> dict[str, Any]:
        """What decides the bits, as a record holds it: without how it was found."""
        return {name: value for name, value in asdict(self).items() if name not in ("crowded", "why", "rates")}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a choice is made for, beside the machine. `share` is how many cores those have who will use it."""

    model: str
    cut: str
    image_size: int
    share: int

    def place(self, root: Path, given: RunSettings) -> Path:
        """Where the cache keeps the choice. What is given is part of its name: the rest was measured with it."""
        settings = {
            name: value for name, value in given.model_dump().items() if value is not None and value is not False
        }
        key = {"version": VERSION, **asdict(self), **_versions(), "machine": _machine(), "given": settings}
        canonical = json.dumps(key, sort_keys=True, separators=(",", ":"))
        return root / "executions" / f"{hashlib.sha256(canonical.encode()).hexdigest()}.json"


def choose(
    given: RunSettings,
    file: Path | None,
    subject: Subject | None = None,
    measure: Callable[[Execution], Execution] | None = None,
) -> Execution:
    """The execution in `file` if an earlier attempt wrote one, else the one kept for `subject`, else measured now.

    Sets torch's threads. file: execution.json in a job's folder. measure: makes a choice, beginning with what fits any
    machine. Without subject and measure nothing is measured or kept for others: for a question that is asked once.
    Raises UserError for settings that exclude each other, VizslaError for a `file` that cannot be read.
    """
    refuse_impossible(given)
    execution = _of_attempt(file) if file else None
    if execution is None:
        begin = usual(given, subject.share if subject else None)
        execution = _made(begin, subject, given, measure) if subject and measure else begin
    torch.set_num_threads(execution.threads)
    if file:
        write_json(file, asdict(execution))
    return execution


def refuse_impossible(given: RunSettings) -> None:
    """Raises UserError for run.* settings that cannot be, alone or together."""
    if given.compile:
        raise UserError(
            "run.compile is not offered: torch.compile takes longer to prepare than it saves on a CPU.",
            "Leave it out; docs/execution.md says what was measured.",
        )
    if given.engine == "onnxruntime" and given.precision == "bfloat16":
        raise UserError(
            "ONNX Runtime computes in float32 on a CPU, not in bfloat16.",
            "Leave out run.engine or run.precision, or set run.engine=torch.",
        )


def usual(given: RunSettings, share: int | None = None) -> Execution:
    """What fits any machine, with nothing measured: every core of the share, float32, torch."""
    threads = given.threads or share or cpus()
    return Execution(
        threads=threads,
        loader_workers=threads if given.loader_workers is None else given.loader_workers,
        # Measured on AVX2 and AVX-512 machines: 1.3 to 2 times the images a second of torch's own default.
        memory_format=given.memory_format or "channels_last",
        precision=given.precision or "float32",
        engine=given.engine or "torch",
        torch=torch.__version__,
        machine=f"{platform.machine()} {platform.processor() or platform.system()}".strip(),
        frozen_threads=given.threads or cores(),
    )


def has_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 itself; elsewhere torch imitates it. False where torch can't say."""
    ask = getattr(torch.cpu, "get_capabilities", None)  # torch 2.6 has none
    able = ask() if ask else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def _of_attempt(file: Path) -> Execution | None:
    try:
        return _parsed(read_json(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise VizslaError(f"{file} cannot be read ({error}).", "Delete it: the choice is then made anew.") from error


def _made(
    begin: Execution, subject: Subject, given: RunSettings, measure: Callable[[Execution], Execution]
) -> Execution:
    """The choice in the cache; measured and kept there where there is none."""
    place = subject.place(cache.root(), given)
    with cache.using(place):
        if (kept := _of_machine(place)) is not None:
            return kept
        made = measure(begin)
        if (other := _of_machine(place)) is not None:
            return other  # another process was faster: there is one choice for a machine
        try:
            write_json(place, {**asdict(subject), **asdict(made), "made": time.time()})
        except VizslaError as error:  # a cache that cannot be written is no reason not to train
            log.warning("how this machine does it best is not kept: %s", error.message)
        return made


def _of_machine(place: Path) -> Execution | None:
    """None where there is none that can be read, which costs no more than measuring again.

    One that was made on a crowded machine counts for a day: long enough for all trials of a sweep to be alike.
    """
    try:
        raw = read_json(place)
        kept, made = _parsed(raw), float(raw["made"])
    except OSError:
        return None
    except (ValueError, TypeError, LookupError) as error:
        log.info("%s cannot be read (%s): measured anew", place, error)
        return None
    return None if kept.crowded and time.time() - made > A_DAY_S else kept


def _parsed(raw: Any) -> Execution:
    """Raises ValueError for what is no execution."""
    from pydantic import TypeAdapter

    return TypeAdapter(Execution).validate_json(json.dumps(raw), strict=True)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "timm", "onnxruntime", "numpy", "pillow")}


def _machine() -> str:
    """The kind of CPU and how many cores there are in all; equal machines share their choices."""
    return f"{platform.machine()} {_cpu_name()} x{os.cpu_count()}"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    facts = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "flags", "Features"))]
    return " ".join(dict.fromkeys(facts)) or platform.processor()
