"""The Job: what was asked, as a value. It names an entry point, hyperparameters and channels, and does nothing.

Hyperparameters are strings, as in SageMaker's hyperparameters.json; plan.py gives them types. `Launch` holds the
settings that belong to the machine or to the launcher and must never change what a plan means.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from vizsla import keys
from vizsla.errors import UserError

CLASSIFIER = "classifier"
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")  # AWS's pattern for names of jobs and endpoints
MAX_NAME_LENGTH = 63
DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h)?")
UNITS = {"s": 1, "min": 60, "h": 3600}
# Keys that SageMaker's launchers add for themselves; AWS's toolkit drops them before a script sees them, and so do we.
LAUNCHER_PREFIXES = ("sagemaker_", "_tuning_")
STALLED = "StalledTrainingRule"
# What a profiler rule thinks about comes from outside of the training as well, so it is asked there.
PROFILER_RULES = frozenset(
    {
        *("ProfilerReport", "BatchSize", "CPUBottleneck", "IOBottleneck", "LowGPUUtilization", "GPUMemoryIncrease"),
        *("LoadBalancing", "Dataloader", "MaxInitializationTime", "StepOutlier"),
        *("OverallSystemUsage", "OverallFrameworkMetrics"),
    }
)
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
    """Threads for the network; by default the number that is fastest here, at most the job's share of the cores."""
    loader_workers: int | None = Field(None, ge=0, le=256)
    """Threads that decode photos; 0 decodes between two steps; by default the number that is fastest here."""
    memory_format: Literal["channels_last", "contiguous"] | None = None
    """Layout of images in memory: channels_last or contiguous; by default the one that is faster here."""
    engine: Literal["torch", "onnxruntime"] | None = None
    """What runs the frozen part of a network: torch or onnxruntime; by default the one that is faster here."""
    precision: Literal["float32", "bfloat16"] | None = None
    """float32 or bfloat16; by default bfloat16 where the CPU has it, it is faster and a probe loses nothing by it."""
    compile: bool = False
    """torch.compile for the trained part: not offered, as it gained too little; docs/execution.md has figures."""


COLLECTIONS = (
    *("weights", "biases", "gradients", "activation_inputs", "activation_outputs"),
    *("inputs", "losses", "labels", "predictions"),
)


def _collections(value: Any) -> Any:
    """ "all", "none" or names with commas between them → names."""
    if not isinstance(value, str):
        return value
    names = tuple(name for part in value.strip("[]()").split(",") if (name := part.strip()))
    words: dict[tuple[str, ...], tuple[str, ...]] = {("all",): COLLECTIONS, ("none",): ()}
    return words.get(names, names)


def _known_collections(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in names if name not in COLLECTIONS]:
        raise ValueError(f"there is no collection {unknown[0]}; there are {', '.join(COLLECTIONS)}")
    return names


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from error
    return text


Collections = Annotated[tuple[str, ...], BeforeValidator(_collections), AfterValidator(_known_collections)]


class DebugSettings(keys.Section):
    """What the debugger records of a network while it is trained; nothing of it changes the training."""

    collections: Collections = COLLECTIONS
    """What is recorded: all, none (the debugger is off), or some of these with commas between them."""
    save_every: int | None = Field(None, ge=1)
    """Record every so many training steps, and the first ten; by default about 50 of the run, and the first ten."""
    eval_save_every: int | None = Field(None, ge=1)
    """Record every so many evaluations, and the first ten; by default about 50 of the run, and the first ten."""
    start_step: int = Field(0, ge=0)
    """Record nothing before this training step."""
    end_step: int | None = Field(None, ge=0)
    """Record nothing from this training step on."""
    include: Annotated[str, AfterValidator(_pattern)] = ""
    """A regular expression: modules whose path it matches are recorded like activations, whatever their type."""
    raw: Collections = ()
    """Collections of which whole tensors are kept as well, in checkpoints/vizsla/tensors/; they can be large."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


class ProfileSettings(keys.Section):
    """What the profiler records of where the time goes; nothing of it changes the training."""

    enabled: bool = True
    """Whether there are system samples, phases and a profile at all."""
    interval_ms: Annotated[Literal[100, 200, 500, 1000, 5000, 60000], BeforeValidator(_whole)] = 500
    """Milliseconds between two samples of the system: 100, 200, 500, 1000, 5000 or 60000."""
    start_step: int = Field(0, ge=0)
    """The first training step of the operator profile, counted over the whole run."""
    num_steps: int = Field(10, ge=0, le=100)
    """Steps in the operator profile, at most 100; 0 makes none. The phases of all steps are recorded either way."""
    python: bool = False
    """Whether Python's own profiler (cProfile) sees the same steps; it makes them slower."""
    stop_after: int | None = Field(None, ge=1)
    """End the job after so many training steps, for a profile alone; by default it trains to the end."""


class ScriptSettings(keys.Section):
    """What is done for a script before it starts."""

    install: bool = False
    """Install the requirements.txt beside a script into the job's folder; without it they are only named."""


def _seconds(value: Any) -> Any:
    return duration(value) if isinstance(value, str) else value


class CacheSettings(keys.Section):
    """What is kept of one job for the next ones, in the user's cache."""

    max_gb: float = Field(10.0, ge=0)
    """Most that the cache may take, in GB of 10^9 bytes, and never more than a fifth of the free disk; 0 keeps none."""


class Launch(keys.Section):
    """Settings that change how a job runs, never what it computes from its plan."""

    max_runtime: Annotated[float | None, BeforeValidator(_seconds)] = Field(None, gt=0)
    """Stop the job after this long: seconds, or 90s, 10min, 2h. What it has finished is kept."""
    stop_grace: Annotated[float, BeforeValidator(_seconds)] = Field(120.0, gt=0, le=3600)
    """How long a job that was asked to stop may take before it is killed; SageMaker gives 120 s."""
    script: ScriptSettings = ScriptSettings()
    log: LogSettings = LogSettings()
    debug: DebugSettings = DebugSettings()
    profile: ProfileSettings = ProfileSettings()
    run: RunSettings = RunSettings()
    cache: CacheSettings = CacheSettings()


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


class Action(BaseModel):
    """What is done when a rule finds something: end the training, or start a command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["stop", "command"]
    command: tuple[str, ...] = ()
    """A program and its arguments, never given to a shell; it gets the finding as JSON on its stdin."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if (self.name == "command") != bool(self.command):
            raise ValueError("a command action needs a program and its arguments, a stop action takes none")
        return self


class RuleRequest(BaseModel):
    """A rule to hold a job against; `analysis.rules` knows which there are and what their parameters mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=256)
    """What its evaluation is called; no two of a job have the same."""
    rule: str
    """CamelCase, such as VanishingGradient."""
    parameters: dict[str, str] = {}
    """Strings, as SageMaker sends them; what is not here is as documented."""
    actions: tuple[Action, ...] = ()


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
    rules: tuple[RuleRequest, ...] = ()
    """What the job is watched for."""
    hook: dict[str, Any] | None = None
    """SageMaker's DebugHookConfig for a script's smdebug hook; None for the usual one."""
    launch: Launch = Launch()
    created: str = Field(default_factory=now)
    """ISO 8601, UTC."""

    @property
    def outside_rules(self) -> tuple[RuleRequest, ...]:
        """Those that are asked outside of the job's process: all of a script's; else what sees more than the loop."""
        outside = {STALLED, *PROFILER_RULES}
        return tuple(rule for rule in self.rules if self.entry_point != CLASSIFIER or rule.rule in outside)

    @property
    def inside_rules(self) -> tuple[RuleRequest, ...]:
        """Those that the built-in classifier asks while it trains."""
        return tuple(rule for rule in self.rules if rule not in self.outside_rules)

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
