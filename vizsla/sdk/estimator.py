"""Estimator: a training that can be asked for again and again. PyTorch is its other name."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from vizsla import keys
from vizsla.api import training
from vizsla.api.requests import Request, Rules, Script
from vizsla.errors import UserError
from vizsla.job import CLASSIFIER, Job, Launch
from vizsla.jobdir import JobDir
from vizsla.sdk import arguments, html, profiling
from vizsla.sdk.arguments import Inputs
from vizsla.sdk.jobs import TrainingJob
from vizsla.sdk.profiling import DataloaderProfilingConfig, FrameworkProfile, ProfilerConfig
from vizsla.sdk.rule_configs import RuleConfig
from vizsla.sdk.rules import CollectionConfig, DebuggerHookConfig, ProfilerRule, Rule, of_request, rule_list
from vizsla.workspace import Workspace

log = logging.getLogger("vizsla")


class Estimator:
    """The built-in classifier, or with `entry_point` a script of the user's own, under SageMaker's contract.

    `hyperparameters` are the settings of docs/settings.md for the classifier, and whatever a script takes for a script.
    `max_run` is in seconds. What else SDK v2 takes is accepted, and said once to have no effect; an unknown argument
    is a UserError. `rules` takes what is typed, too: "overfit:ratio_threshold=0.2". Jobs lie in $VIZSLA_WORKSPACE or
    ./vizsla-runs.
    """

    def __init__(
        self,
        entry_point: str | Path | None = None,
        source_dir: str | Path | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        *,
        model: str | None = None,
        metric_definitions: Sequence[Mapping[str, str]] | None = None,
        max_run: float | None = None,
        base_job_name: str | None = None,
        rules: Sequence[Rule | ProfilerRule | RuleConfig | str] | str | None = None,
        debugger_hook_config: DebuggerHookConfig | bool | None = None,
        profiler_config: ProfilerConfig | None = None,
        disable_profiler: bool = False,
        **others: object,
    ) -> None:
        arguments.set_aside(others, arguments.ESTIMATOR, Estimator.__init__)
        self.entry_point = None if entry_point is None else Path(entry_point).as_posix()
        self.source_dir = None if source_dir is None else Path(source_dir)
        self.model = model
        self.metric_definitions = arguments.metrics(metric_definitions)
        self.max_run = max_run
        self.base_job_name = base_job_name
        self.rules = rule_list(rules)
        self.debugger_hook_config = debugger_hook_config
        self.profiler_config = ProfilerConfig(disable_profiler=True) if disable_profiler else profiler_config
        self.latest_training_job: TrainingJob | None = None
        self._hyperparameters = arguments.texts(hyperparameters or {})
        self._settings: dict[str, str] = {}
        self._added_rules: list[Rule | ProfilerRule] = []  # besides those of the constructor, or the default ones
        self._check()
        arguments.say_without_effect(profiler_config.without_effect() if profiler_config else ())

    def fit(
        self,
        inputs: Inputs | None = None,
        wait: bool = True,
        logs: object = "All",
        job_name: str | None = None,
        **others: object,
    ) -> None:
        """Starts a training on a folder, or on a folder a channel, and waits for it unless `wait` is false.

        Raises UserError for what cannot be, and JobError if the training failed. Ctrl-C stops it.
        """
        arguments.set_aside(others, arguments.FIT, self.fit)
        request = self.request(inputs, job_name or arguments.name_from(self.base_job_name))
        self.latest_training_job = TrainingJob(training.submit(request, Workspace.at()))
        if wait:
            try:
                self.latest_training_job.wait(logs)
            except KeyboardInterrupt:
                self.latest_training_job.stop()
                raise

    def stop(self) -> None:
        """Stops the latest training; what it has finished is kept."""
        self._latest().stop()

    def logs(self) -> None:
        """Prints the latest training's log."""
        self._latest().logs()

    def enable_default_profiling(self) -> None:
        """Trainings to come are profiled as usual: two samples a second, the phases, the first ten steps."""
        self._settings = {name: value for name, value in self._settings.items() if not name.startswith("profile.")}
        self._profile(ProfilerConfig())

    def disable_profiling(self) -> None:
        """Nothing is recorded of the time of trainings to come."""
        self._profile(ProfilerConfig(disable_profiler=True))

    def update_profiler(
        self,
        rules: Sequence[ProfilerRule | RuleConfig | str] | None = None,
        system_monitor_interval_millis: int | None = None,
        s3_output_path: str | None = None,
        framework_profile_params: FrameworkProfile | None = None,
        disable_framework_metrics: bool = False,
    ) -> None:
        """Profiles trainings to come so; `rules` are added. Without framework metrics no operators are profiled."""
        if disable_framework_metrics and framework_profile_params:
            raise UserError(
                "framework_profile_params and disable_framework_metrics exclude each other.", "Give one of them."
            )
        off = FrameworkProfile(dataloader_profiling_config=DataloaderProfilingConfig())
        changed = profiling.updated(
            self.profiler_config or ProfilerConfig(),
            system_monitor_interval_millis=system_monitor_interval_millis,
            s3_output_path=s3_output_path,
            framework_profile_params=off if disable_framework_metrics else framework_profile_params,
        )
        if rules is not None:
            self._added_rules += rule_list(rules) or ()
        self._profile(changed)

    def _profile(self, config: ProfilerConfig) -> None:
        self.profiler_config = config
        arguments.say_without_effect(config.without_effect())
        if self.latest_training_job is not None:
            log.warning("%s goes on as it was started: this is for trainings to come.", self.latest_training_job.name)

    def hyperparameters(self) -> dict[str, str]:
        """The hyperparameters as a training gets them."""
        return dict(self._hyperparameters)

    def set_hyperparameters(self, **hyperparameters: Any) -> None:
        """Adds or replaces hyperparameters for trainings to come."""
        self._hyperparameters |= arguments.texts(hyperparameters)

    @property
    def model_data(self) -> str:
        """The folder of the latest training's bundle. Raises UserError if it has none."""
        found = self._latest().describe()["bundle"]
        if found is None:
            raise UserError(f"{self._latest().name} has no model.", "Its log says why: estimator.logs()")
        return str(found)

    @classmethod
    def attach(cls, training_job_name: str) -> Self:
        """The estimator of a training job that was started before, here or on the command line."""
        folder = training.find(training_job_name, Workspace.at())
        return cls._of(folder.job(), folder)

    @classmethod
    def _of(cls, job: Job, latest: JobDir | None) -> Self:
        """The estimator that asks for what `job` asked for."""
        hyperparameters = dict(job.hyperparameters)
        if job.entry_point == CLASSIFIER:
            made = cls(model=hyperparameters.pop("model", None), hyperparameters=hyperparameters)
        else:
            definitions = [{"Name": metric.name, "Regex": metric.regex} for metric in job.metrics]
            made = cls(job.entry_point, job.source, hyperparameters, metric_definitions=definitions)
        made._settings = _texts(job.launch)
        if job.rules:
            made.rules = [of_request(request) for request in job.rules]
        else:  # a trial of a search records less than a training does
            made._settings.pop("debug.collections", None)
        if made._settings.get("profile.num_steps") == "0":
            del made._settings["profile.num_steps"]
        made.latest_training_job = TrainingJob(latest) if latest else None
        return made

    def request(self, inputs: Inputs | None, name: str | None = None, without: Sequence[str] = ()) -> Request:
        """What a training with these inputs asks for; `without` names hyperparameters that are left to a search."""
        searched = {self._spelled(name) for name in without}
        given = {name: value for name, value in self._hyperparameters.items() if self._spelled(name) not in searched}
        settings = self._settings | (self.profiler_config.settings() if self.profiler_config else {})
        if self.max_run is not None:
            settings["max_runtime"] = arguments.text(self.max_run)
        channels = arguments.channels(inputs)
        if self.entry_point is None:
            if not channels:
                raise UserError("No photos are named.", 'Say where they are: .fit("photos/")')
            chosen = {} if self.model is None else {"model": self.model}
            debug = self._hook.settings(self._collections) if self._hook else {"debug.collections": "none"}
            return Request(channels, {**given, **chosen, **debug, **settings}, name, rules=self._watched)
        return Request(channels, settings, name, self._script(given), self._watched)

    @property
    def _watched(self) -> Rules:
        """A list of rules, also an empty one, takes the place of the default ones: at AWS there is no other rule."""
        named = [rule.request for rule in (*(self.rules or ()), *self._added_rules)]
        return Rules(named, defaults=self.rules is None)

    @property
    def _hook(self) -> DebuggerHookConfig | None:
        """What is saved; None where the user wants nothing to be."""
        if isinstance(self.debugger_hook_config, DebuggerHookConfig):
            return self.debugger_hook_config
        return None if self.debugger_hook_config is False else DebuggerHookConfig()

    @property
    def _collections(self) -> list[CollectionConfig]:
        return [each for rule in self.rules or () if isinstance(rule, Rule) for each in rule.collections]

    def _script(self, hyperparameters: Mapping[str, str]) -> Script:
        entry_point = Path(self.entry_point or "")
        folder, script = (self.source_dir, entry_point) if self.source_dir else (entry_point.parent, entry_point.name)
        asked = isinstance(self.debugger_hook_config, DebuggerHookConfig) or self._collections
        hook = self._hook.document(self._collections) if self._hook else {"CollectionConfigurations": []}
        return Script(str(script), folder, hyperparameters, self.metric_definitions, hook if asked else None)

    def _spelled(self, name: str) -> str:
        return name.replace("-", "_") if self.entry_point is None else name  # a script gets its names verbatim

    def _check(self) -> None:
        if self.entry_point is None and (self.source_dir or self.metric_definitions):
            raise UserError(
                "source_dir and metric_definitions go with a script.",
                "Name it as entry_point; the built-in classifier's metrics are known: docs/tuning.md lists them.",
            )
        if self.entry_point is not None and self.model is not None:
            raise UserError(
                "model is the built-in classifier's, and entry_point a script of yours.", "Give one of them."
            )
        if self.model is not None and "model" in self._hyperparameters:
            raise UserError("model is given twice.", "Give it once.")
        if not isinstance(self.debugger_hook_config, DebuggerHookConfig | bool | None):
            raise UserError(
                f"debugger_hook_config is {self.debugger_hook_config!r}.",
                "Give it a DebuggerHookConfig(…); False switches the debugger off.",
            )
        if not isinstance(self.profiler_config, ProfilerConfig | None):
            raise UserError(
                f"profiler_config is {self.profiler_config!r}.",
                "Give it a ProfilerConfig(…); disable_profiler=True switches the profiler off.",
            )

    def _latest(self) -> TrainingJob:
        if self.latest_training_job is None:
            raise UserError("Nothing has been trained yet.", "Call .fit first, or Estimator.attach a job by its name.")
        return self.latest_training_job

    def _repr_html_(self) -> str:
        rows = {
            "model": self.model,
            "entry_point": self.entry_point,
            "source_dir": self.source_dir,
            "hyperparameters": self._hyperparameters,
        }
        own = html.facts(type(self).__name__, rows)
        return own + (self.latest_training_job._repr_html_() if self.latest_training_job else "")


PyTorch = Estimator


def _texts(launch: Launch) -> dict[str, str]:
    """The launch settings that were given, as they are typed."""
    raw = launch.model_dump(mode="json", exclude_defaults=True)
    found = {}
    for key in keys.declared(Launch):
        value: Any = raw
        for part in key.name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            found[key.name] = ",".join(value) if isinstance(value, list) else arguments.text(value)
    return found
