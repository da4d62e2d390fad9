"""Which steps of a training are profiled whole, and what is kept of them: a trace, a table of operators.

Whose training it is makes no difference: it says which step comes next, and which is done.
"""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vizsla.errors import VizslaError, named
from vizsla.files import write_atomic
from vizsla.job import ProfileSettings
from vizsla.observers import operators
from vizsla.observers.operators import Session
from vizsla.observers.visit import At
from vizsla.records import Record, Value
from vizsla.training.clock import Phase

log = logging.getLogger("vizsla.profiler")

FAST = 3  # of gzip's nine levels: half the time of the usual one, and a tenth more bytes


@dataclass(frozen=True, slots=True)
class ProfileFiles:
    """root: the folder that a record's `file` is relative to. folder: where the files are, from there, with `/`."""

    root: Path
    attempt: int
    folder: str = "checkpoints/vizsla/profile"

    def write(self, name: str, data: bytes) -> str:
        """Writes a file whole or not at all, and gives it as a record names it. Raises VizslaError."""
        file = f"{self.folder}/{self.attempt}-{name}"
        write_atomic(self.root / file, data)
        return file


class Window:
    """The steps from `start_step` on, `num_steps` of them, once. Not for two threads."""

    def __init__(self, settings: ProfileSettings, files: ProfileFiles, write: Callable[[Record], None]) -> None:
        self._steps = range(settings.start_step, settings.start_step + settings.num_steps)
        self._python = settings.python
        self._files = files
        self._write = write
        self._session: Session | None = None
        self._seen: list[tuple[At, Sequence[Phase]]] = []
        self._t = self._opened = self._overhead_s = 0.0

    def before(self, step: int) -> None:
        """The training step that comes next. Raises what a profiler raises that cannot begin."""
        if self._steps and step == self._steps[0] and self._session is None:
            if operators.is_profiled():
                log.warning("the operators are not profiled: another torch.profiler is at work")
                return
            begun = time.perf_counter()
            self._session = Session(self._python)
            self._session.start()
            self._t, self._opened = time.time(), time.perf_counter()
            self._overhead_s = self._opened - begun

    def after(self, at: At, phases: Sequence[Phase]) -> None:
        """A training step is done. Raises VizslaError and OSError where what was seen cannot be written."""
        if self._session:
            self._seen.append((at, phases))
            if at.step >= self._steps[-1]:
                self._finish(self._session)
        self.before(at.step + 1)

    def close(self) -> None:
        """The training is over: a profile that is not finished ends with it, and is kept."""
        if self._session is None:
            return
        try:
            if self._seen:
                self._finish(self._session)
        except (VizslaError, OSError, RuntimeError, ValueError) as error:
            log.warning("the profile of the last steps could not be kept: %s", named(error))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Stops profiling; what was seen is dropped."""
        session, self._session = self._session, None
        self._steps = range(0)
        if session:
            session.stop()

    def _finish(self, session: Session) -> None:
        seconds, begun = time.perf_counter() - self._opened, time.perf_counter()
        session.stop()
        raw, laps = session.trace(), [(at.step, phases) for at, phases in self._seen]
        with operators.collector_paused():
            trace = json.loads(raw)
            expensive = operators.most_expensive(trace, [phases for _, phases in laps])
        file = self._files.write("trace.json.gz", gzip.compress(operators.with_phases(raw, trace, laps), FAST))
        python = session.python()
        stats = self._files.write("python.pstats", python) if python else None
        overhead_s = self._overhead_s + time.perf_counter() - begun
        self._tell("profile", {"seconds": seconds, "steps": len(self._seen), "overhead_s": overhead_s}, file)
        for one in expensive:
            figures: dict[str, float | str] = {
                "operator": one.name,
                "calls": one.calls,
                "cpu_s": one.cpu_s,
                "cuda_s": one.cuda_s,
            }
            self._tell("operator", figures)
        if stats:
            self._tell("python", {"seconds": seconds, "steps": len(self._seen)}, stats)
        self.abandon()

    def _tell(self, name: str, value: Value, file: str | None = None) -> None:
        first = self._seen[0][0]
        self._write(
            Record(
                *(self._t, "phase", name, "train"),
                step=first.step,
                global_step=first.global_step,
                epoch=first.epoch,
                value=value,
                file=file,
            )
        )
