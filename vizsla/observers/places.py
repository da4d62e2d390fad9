"""Where the records of a loop lie that is no job of vizsla's: a folder of the user's, with one attempt a run."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from vizsla.errors import UserError
from vizsla.files import unwritable

JOB = "VIZSLA_JOB"  # set for a script under `vizsla run`: the job's folder,
ATTEMPT = "VIZSLA_ATTEMPT"  # and which attempt at it this is


def folder(out: str | os.PathLike[str], example: str) -> Path:
    """The folder `out` with `records` in it, made if it is not there. Raises UserError for what cannot be one."""
    if not os.fspath(out) or "\0" in os.fspath(out):
        raise UserError(
            f"There has to be a folder to write to, and {out!r} cannot be one.", f'Name one, such as out="{example}".'
        )
    made = Path(out).absolute()
    try:
        (made / "records").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(made / "records", error) from error
    return made


def next_attempt(records: Path) -> int:
    """Records are never overwritten: a run in the same folder is one more attempt, which goes on from nothing."""
    numbers = [file.name.partition("-")[0] for file in records.glob("*/*-*.jsonl*")]
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=0)


def is_first_worker() -> bool:
    """Of several that train one model together all are alike: what is seen of the first one stands for them."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"
