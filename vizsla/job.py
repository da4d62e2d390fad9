"""The Job: what was asked, as a value. It names an entry point, hyperparameters and channels, and does nothing.

Hyperparameters are strings, as in SageMaker's hyperparameters.json; plan.py gives them types. `Launch` holds the
settings that belong to the machine or to the launcher and must never change what a plan means.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from vizsla import keys
from vizsla.errors import UserError

CLASSIFIER = "classifier"
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")  # AWS's pattern for names of jobs and endpoints
MAX_NAME_LENGTH = 63
DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h)?")
UNITS = {"s": 1, "min": 60, "h": 3600}
# Keys that SageMaker's launchers add for themselves; AWS's toolkit drops them before a script sees them, and so do we.
LAUNCHER_PREFIXES = ("sagemaker_", "_tuning_")
CHANNEL = re.compile(r"[A-Za-z0-9\.\-_]{1,64}")  # AWS's pattern for channel names


def now() -> str:
    """This moment as ISO 8601 in UTC, to the millisecond."""
    return iso(time.time())


def duration(text: str) -> float:
    """ "90", "90s", "10min", "2h" → seconds. Raises ValueError."""
    found = DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError("write a time as 90s, 10min or 2h")
    return float(found[1]) * UNITS[found[2] or "s"]


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


class ScriptSettings(keys.Section):
    """What is done for a script before it starts."""

    install: bool = False
    """Install the requirements.txt beside a script into the job's folder; without it they are only named."""


def _seconds(value: Any) -> Any:
    return duration(value) if isinstance(value, str) else value


class Launch(keys.Section):
    """Settings that change how a job runs, never what it computes from its plan."""

    max_runtime: Annotated[float | None, BeforeValidator(_seconds)] = Field(None, gt=0)
    """Stop the job after this long: seconds, or 90s, 10min, 2h. What it has finished is kept."""
    stop_grace: Annotated[float, BeforeValidator(_seconds)] = Field(120.0, gt=0, le=3600)
    """How long a job that was asked to stop may take before it is killed; SageMaker gives 120 s."""
    script: ScriptSettings = ScriptSettings()
    log: LogSettings = LogSettings()
    run: RunSettings = RunSettings()


class Metric(BaseModel):
    """A number in a script's output: the first group of `regex` in each line that has it, as at SageMaker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=255)
    regex: str = Field(min_length=1, max_length=500)

    @field_validator("regex")
    @classmethod
    def _has_a_group(cls, regex: str) -> str:
        try:
            groups = re.compile(regex).groups
        except re.error as error:
            raise ValueError(f"is no regular expression ({error})") from error
        if groups < 1:
            raise ValueError("has no group: put the number in parentheses, such as loss=([0-9.]+);")
        return regex


class Job(BaseModel):
    """One request, ready to be carried out anywhere: locally, or one day in AWS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    entry_point: str = CLASSIFIER
    source: str | None = None
    """The absolute path of the folder a script lies in; None for the built-in classifier."""
    metrics: tuple[Metric, ...] = ()
    hyperparameters: dict[str, str] = {}
    channels: dict[str, str]
    """Channel name to the absolute path of its folder."""
    launch: Launch = Launch()
    created: str = Field(default_factory=now)
    """ISO 8601, UTC."""

    @property
    def own_hyperparameters(self) -> dict[str, str]:
        """The hyperparameters without what a launcher of SageMaker's added for itself."""
        return {name: text for name, text in self.hyperparameters.items() if not name.startswith(LAUNCHER_PREFIXES)}


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
