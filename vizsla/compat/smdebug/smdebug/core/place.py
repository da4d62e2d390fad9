"""Where a hook's records and tensors lie: in the job's folder under `vizsla run`, else in the hook's `out_dir`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vizsla.observers.places import ATTEMPT, JOB

PRIVATE = Path("checkpoints", "vizsla")  # of a job folder: see docs/job-folder.md
STREAM = "hook"
DEFAULT_OUT = "smdebug-output"


@dataclass(frozen=True)
class Place:
    """base: what a record's `file` is relative to. private: where records/ and tensors/ are. stream: of records."""

    base: Path
    private: Path
    stream: str
    attempt: int

    @property
    def records(self) -> Path:
        return self.private / "records" / self.stream

    @property
    def tensors(self) -> Path:
        """A second hook of one job has a folder of its own."""
        folder = self.private / "tensors"
        return folder if self.stream == STREAM else folder / self.stream


def for_writing(out_dir: str | None) -> Place:
    """Under `vizsla run` the job's folder, whatever `out_dir` says, since that is where its rules look.

    Elsewhere `out_dir`; one that is there already gets another attempt, and a trial shows the last one only.
    """
    job = os.environ.get(JOB)
    if not job:
        base = Path(out_dir or DEFAULT_OUT).expanduser().absolute()
        return Place(base, base, STREAM, last_attempt(base / "records" / STREAM) + 1)
    base, attempt = Path(job), int(os.environ.get(ATTEMPT, "1"))
    records = base / PRIVATE / "records"
    names = [STREAM, *(f"{STREAM}-{number}" for number in range(2, 1000))]
    free = next(name for name in names if last_attempt(records / name) < attempt)
    return Place(base, base / PRIVATE, free, attempt)


def for_reading(path: str | Path) -> Place:
    """What was written for the hook's `out_dir`, a job's folder, or its `checkpoints/vizsla`.

    Under `vizsla run` an `out_dir` in which nothing is means the job's own, as it does for a hook.
    """
    base = Path(path).expanduser().absolute()
    job = os.environ.get(JOB)
    if not (base / "records").is_dir() and not (base / PRIVATE).is_dir() and job:
        base = Path(job)
    if (base / PRIVATE).is_dir():
        return Place(base, base / PRIVATE, STREAM, 0)
    inside = base.parts[-2:] == PRIVATE.parts
    return Place(base.parent.parent if inside else base, base, STREAM, 0)


def last_attempt(stream: Path) -> int:
    """The number of the last attempt that wrote to this stream; 0 if none did."""
    return max((int(file.name[:4]) for file in stream.glob("[0-9][0-9][0-9][0-9]-*")), default=0)
