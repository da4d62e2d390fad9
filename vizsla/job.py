"""The Job: what was asked, as a value. It names an entry point, hyperparameters and channels, and does nothing.

Hyperparameters are strings, as in SageMaker's hyperparameters.json; plan.py gives them types. `Launch` holds the
settings that belong to the machine or to the launcher and must never change what a plan means.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vizsla import keys
from vizsla.errors import UserError

CLASSIFIER = "classifier"
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")  # AWS's pattern for names of jobs and endpoints
MAX_NAME_LENGTH = 63
CHANNEL = re.compile(r"[A-Za-z0-9\.\-_]{1,64}")  # AWS's pattern for channel names


def now() -> str:
    """This moment as ISO 8601 in UTC, to the millisecond."""
    return iso(time.time())


def iso(unix_s: float) -> str:
    """A moment as ISO 8601 in UTC, to the millisecond; later ones sort after earlier ones."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LogSettings(keys.Section):
    """What the worker writes to its log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important line that is logged: debug, info, warning or error."""


class RunSettings(keys.Section):
    """How this machine does the work; what is given here is not measured or chosen by the worker."""

    threads: int | None = Field(None, ge=1, le=1024)
    """Threads for the network; by default the job's share of the cores."""
    loader_workers: int | None = Field(None, ge=0, le=256)
    """Threads that decode photos; 0 decodes between two steps; by default as many as the network has."""
    memory_format: Literal["channels_last", "contiguous"] | None = None
    """Layout of images in memory: channels_last (by default, the faster one on CPUs) or contiguous."""


class Launch(keys.Section):
    """Settings that change how a job runs, never what it computes from its plan."""

    log: LogSettings = LogSettings()
    run: RunSettings = RunSettings()


class Job(BaseModel):
    """One request, ready to be carried out anywhere: locally, or one day in AWS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    entry_point: str = CLASSIFIER
    hyperparameters: dict[str, str] = {}
    channels: dict[str, str]
    """Channel name to the absolute path of its folder."""
    launch: Launch = Launch()
    created: str = Field(default_factory=now)
    """ISO 8601, UTC."""


def check_name(name: str) -> str:
    """`name`, if AWS would take it too. Raises UserError otherwise."""
    if not NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise UserError(
            f"{name!r} cannot be a name.",
            f"Names are letters, digits and single dashes between them, at most {MAX_NAME_LENGTH} characters.",
        )
    return name


def slug(text: str, length: int) -> str:
    """The nearest name to `text`: lower case letters, digits and dashes, at most `length` characters; never empty."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[:length].strip("-") or "photos"


def partition(settings: Mapping[str, str]) -> tuple[dict[str, str], Launch]:
    """`--set` pairs as (hyperparameters of the plan, launch settings).

    Raises UserError for a launch setting that is unknown or cannot be; the plan's own are checked by plan.resolve.
    """
    launch = {name: value for name, value in settings.items() if name.split(".")[0] in Launch.model_fields}
    rest = {name: value for name, value in settings.items() if name not in launch}
    return rest, keys.parse(Launch, launch)
