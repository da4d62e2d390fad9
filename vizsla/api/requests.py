"""What a user asks for, and the job and plan it becomes: checked whole before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vizsla import source
from vizsla.api import hooks
from vizsla.errors import UserError
from vizsla.job import CHANNEL, CLASSIFIER, Job, Launch, Metric, RuleRequest, partition
from vizsla.plan import Plan, resolve
from vizsla.workspace import MARKER


@dataclass(frozen=True, slots=True)
class Script:
    """A user's script: its name in its source folder, hyperparameters as they are, and metrics (name → regex)."""

    entry_point: str
    source: Path
    hyperparameters: Mapping[str, str]
    metrics: Mapping[str, str]
    hook: Mapping[str, Any] | None = None
    """SageMaker's DebugHookConfig; None for the usual one."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a job is watched for. A rule that is named replaces the default one of its kind."""

    named: Sequence[RuleRequest] = ()
    defaults: bool = False
    """Whether the built-in classifier's default rules are on as well."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for: channels (name → folder), settings as typed, and maybe a name."""

    channels: Mapping[str, Path]
    settings: Mapping[str, str]
    name: str | None = None
    script: Script | None = None
    """None is the built-in classifier."""
    rules: Rules = Rules()


def job(request: Request, name: str = "unnamed") -> Job:
    """The job. Raises UserError for folders, settings or a script that cannot be."""
    channels = {_channel(name): str(_folder(path)) for name, path in request.channels.items()}
    hyperparameters, launch = partition(request.settings)
    if request.script is None:
        return Job(
            name=name,
            channels=channels,
            hyperparameters=_with_absolute_weights(hyperparameters),
            rules=_rules(request.rules),
            launch=launch,
        )
    if hyperparameters:
        raise UserError(
            f"{next(iter(hyperparameters))} is no setting of vizsla's for a script.",
            f"Hand it to the script: --hp {next(iter(hyperparameters))}=VALUE",
        )
    script, watched, launch = request.script, _rules(Rules(request.rules.named)), _of_script(launch, request.settings)
    source.check(script.source, script.entry_point)
    return Job(
        name=name,
        entry_point=script.entry_point,
        source=str(script.source.absolute()),
        channels=channels,
        hyperparameters=dict(script.hyperparameters),
        metrics=tuple(_metric(name, regex) for name, regex in script.metrics.items()),
        rules=watched,
        hook=hooks.config(script.hook, watched, launch.debug),
        launch=launch,
    )


def _of_script(launch: Launch, settings: Mapping[str, str]) -> Launch:
    """A script may hold a profiler of its own, so its operators are profiled only where that was asked for.

    Raises UserError for a number of steps to stop after: the loop is the script's.
    """
    profile = launch.profile
    if profile.stop_after is not None:
        raise UserError(
            "profile.stop_after ends the built-in classifier's loop, not that of a script.",
            "Leave it out, and let the script end by itself; --set max_runtime=60s ends it from outside.",
        )
    if any(name.replace("-", "_") == "profile.num_steps" for name in settings):
        return launch
    return launch.model_copy(update={"profile": profile.model_copy(update={"num_steps": 0})})


def plan(asked: Job) -> Plan | None:
    """The plan of a job of the built-in classifier; a script has none. Raises UserError as plan.resolve does."""
    return resolve(asked) if asked.entry_point == CLASSIFIER else None


def _rules(asked: Rules) -> tuple[RuleRequest, ...]:
    """Raises UserError for a rule or a parameter that cannot be."""
    if not asked.named and not asked.defaults:
        return ()
    from vizsla.analysis import defaults, rules  # a job without rules does not wait for them to load

    for each in asked.named:
        rules.make(each)
    kinds = {each.rule for each in asked.named}
    usual = [each for each in defaults.requests() if each.rule not in kinds] if asked.defaults else []
    return rules.distinct([*usual, *asked.named])


def _with_absolute_weights(hyperparameters: dict[str, str]) -> dict[str, str]:
    weights = hyperparameters.get("weights", "")
    if weights in ("", "pretrained", "none"):
        return hyperparameters
    return {**hyperparameters, "weights": str(Path(weights).expanduser().absolute())}  # the worker may start elsewhere


def _metric(name: str, regex: str) -> Metric:
    try:
        return Metric(name=name, regex=regex)
    except ValidationError as error:
        said = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise UserError(f"The metric {name}={regex} cannot be used: it {said}.", _METRIC_HINT) from error


def _channel(name: str) -> str:
    if not CHANNEL.fullmatch(name):
        raise UserError(f"{name!r} cannot be a channel's name.", "Letters, digits, dots, dashes and underscores.")
    return name


def _folder(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"There is no folder {path}.", "Check the spelling; DIR holds one folder of photos a class.")
    if not path.is_dir():
        raise UserError(f"{path} is a file, not a folder.", "Name the folder that holds one folder of photos a class.")
    if (path / MARKER).exists():
        raise UserError(f"{path} is a workspace: it holds runs, not photos.", "Name the folder of photos.")
    return path.absolute()


_METRIC_HINT = "Write it as --metric 'average test loss=average test loss: ([0-9.]+);'"
