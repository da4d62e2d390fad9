"""HyperparameterTuner: a search over an estimator's hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self

from vizsla.api import training, tuning
from vizsla.api.tuning import MAX_NAME_LENGTH, Search
from vizsla.errors import UserError
from vizsla.sdk import arguments, html
from vizsla.sdk.analytics import HyperparameterTuningJobAnalytics
from vizsla.sdk.arguments import Inputs
from vizsla.sdk.estimator import Estimator
from vizsla.sdk.jobs import TuningJob
from vizsla.sdk.parameters import ParameterRange, WarmStartConfig, WarmStartTypes
from vizsla.tuning import space
from vizsla.tuning.spec import Sweep
from vizsla.workspace import Workspace


class HyperparameterTuner:
    """SDK v2's tuner, with its names and defaults: Bayesian, Maximize, one job (all combinations for Grid).

    A hyperparameter that has a range is searched, whatever the estimator says of it. The trials never see the
    held-out photos. What else SDK v2 takes is accepted and said once to have no effect.
    """

    def __init__(
        self,
        estimator: Estimator,
        objective_metric_name: str,
        hyperparameter_ranges: Mapping[str, ParameterRange],
        metric_definitions: Sequence[Mapping[str, str]] | None = None,
        strategy: str = "Bayesian",
        objective_type: str = "Maximize",
        max_jobs: int | None = None,
        max_parallel_jobs: int = 1,
        max_runtime_in_seconds: float | None = None,
        *,
        base_tuning_job_name: str | None = None,
        warm_start_config: WarmStartConfig | None = None,
        early_stopping_type: str = "Off",
        random_seed: int | None = None,
        **others: object,
    ) -> None:
        arguments.set_aside(others, arguments.TUNER, HyperparameterTuner.__init__)
        self.estimator = _with_metrics(estimator, metric_definitions)
        self.objective_metric_name = objective_metric_name
        self.hyperparameter_ranges = {name: _range(name, each) for name, each in hyperparameter_ranges.items()}
        self.strategy = _word("strategy", strategy, ("Bayesian", "Random", "Grid", "Hyperband"))
        self.objective_type = _word("objective_type", objective_type, ("Maximize", "Minimize"))
        self.max_jobs = max_jobs or (None if strategy == "Grid" else 1)
        self.max_parallel_jobs = max_parallel_jobs
        self.max_runtime_in_seconds = max_runtime_in_seconds
        self.base_tuning_job_name = base_tuning_job_name
        self.warm_start_config = warm_start_config
        self.early_stopping_type = _word("early_stopping_type", early_stopping_type, ("Off", "Auto"))
        self.random_seed = random_seed
        self.latest_tuning_job: TuningJob | None = None

    def fit(
        self,
        inputs: Inputs | None = None,
        job_name: str | None = None,
        *,
        wait: bool = True,
        logs: object = "All",
        **others: object,
    ) -> None:
        """Starts the search and waits for it unless `wait` is false; see Estimator.fit."""
        arguments.set_aside(others, arguments.FIT, self.fit)
        name = job_name or arguments.name_from(self.base_tuning_job_name, MAX_NAME_LENGTH)
        request = self.estimator.request(inputs, name, without=list(self.hyperparameter_ranges))
        self.latest_tuning_job = TuningJob(tuning.submit(request, self._search(), Workspace.at()))
        if wait:
            try:
                self.latest_tuning_job.wait(logs)
            except KeyboardInterrupt:
                self.stop_tuning_job()
                raise

    def wait(self) -> None:
        """Waits for the latest search to end. Raises JobError if it failed."""
        self._latest().wait()

    def stop_tuning_job(self) -> None:
        """Stops the latest search with its trials; those that have ended keep their values."""
        self._latest().stop()

    def describe(self) -> dict[str, Any]:
        """The document that `vizsla tune --json` prints."""
        return self._latest().describe()

    def best_training_job(self) -> str:
        """The name of the trial with the best objective. Raises UserError if none has one yet."""
        best = self.describe()["best"]
        if best is None:
            raise UserError(f"{self._latest().name} has no trial with a value yet.", "Wait for it: tuner.wait()")
        return str(best["name"])

    def best_estimator(self) -> Estimator:
        """The winner, attached: `.model_data` is its bundle, `.fit` the final training.

        That one uses the winner's hyperparameters and all training photos, and asks the held-out ones once.
        """
        folder = self._latest().folder
        workspace = Workspace(folder.path.parent.parent)  # whatever the working folder is by now
        trial = training.find(self.best_training_job(), workspace)
        winner = Estimator._of(trial.job(), trial)
        if winner.entry_point is None:  # a script's trial was told nothing that the final training is not
            winner._hyperparameters = tuning.winner(folder.name, workspace)
            winner.model = winner._hyperparameters.pop("model", None)
        return winner

    def analytics(self) -> HyperparameterTuningJobAnalytics:
        """The trials as rows or as a data frame."""
        return HyperparameterTuningJobAnalytics(self._latest().folder)

    @classmethod
    def attach(cls, tuning_job_name: str) -> Self:
        """The tuner of a search that was started before, here or on the command line."""
        folder = tuning.find(tuning_job_name, Workspace.at())
        made = tuning.spec(folder)
        tuner = cls(
            Estimator._of(made.template, None),
            made.objective,
            {name: ParameterRange(span) for name, span in space.from_json(made.ranges).items()},
            strategy=made.strategy.capitalize(),
            objective_type=made.direction.capitalize(),
            max_jobs=made.max_jobs,
            max_parallel_jobs=made.parallel,
            max_runtime_in_seconds=made.budget_s,
            warm_start_config=_warm_start(made),
            early_stopping_type=made.early_stopping.capitalize(),
            random_seed=made.seed,
        )
        tuner.latest_tuning_job = TuningJob(folder)
        return tuner

    def _search(self) -> Search:
        warm, budget_s = self.warm_start_config, self.max_runtime_in_seconds
        return Search(
            ranges=[(name, each.span) for name, each in self.hyperparameter_ranges.items()],
            jobs=self.max_jobs,
            parallel=self.max_parallel_jobs,
            objective=self.objective_metric_name,
            direction=self.objective_type.lower(),
            strategy=self.strategy.lower(),
            early_stopping=self.early_stopping_type.lower(),
            budget=None if budget_s is None else f"{budget_s:f}s",
            warm_start=sorted(warm.parents) if warm else (),
            warm_start_kind=(warm.type if warm else WarmStartTypes.IDENTICAL_DATA_AND_ALGORITHM).value,
            seed=self.random_seed,
        )

    def _latest(self) -> TuningJob:
        if self.latest_tuning_job is None:
            raise UserError("Nothing has been searched yet.", "Call .fit first, or HyperparameterTuner.attach a name.")
        return self.latest_tuning_job

    def _repr_html_(self) -> str:
        ranges = {name: _shown(name, each) for name, each in self.hyperparameter_ranges.items()}
        rows = {"objective": f"{self.objective_type} {self.objective_metric_name}", "strategy": self.strategy, **ranges}
        own = html.facts("HyperparameterTuner", rows)
        return own + (self.latest_tuning_job._repr_html_() if self.latest_tuning_job else "")


def _with_metrics(estimator: Estimator, definitions: Sequence[Mapping[str, str]] | None) -> Estimator:
    """The estimator with the tuner's metrics beside its own; the one that was handed over stays as it is."""
    if not definitions:
        return estimator
    if estimator.entry_point is None:
        raise UserError("metric_definitions go with a script.", "The built-in classifier's metrics are known.")
    made = copy(estimator)
    made.metric_definitions = {**estimator.metric_definitions, **arguments.metrics(definitions)}
    return made


def _range(name: str, given: object) -> ParameterRange:
    if not isinstance(given, ParameterRange):
        raise UserError(
            f"The range of {name} is {given!r}.",
            "Give a ContinuousParameter, an IntegerParameter or a CategoricalParameter.",
        )
    return given


def _word(argument: str, given: str, words: Sequence[str]) -> str:
    if given not in words:
        raise UserError(f"{argument} cannot be {given!r}.", f"It is {' or '.join(words)}.")
    return given


def _warm_start(made: Sweep) -> WarmStartConfig | None:
    return WarmStartConfig(WarmStartTypes(made.warm_start_kind), made.warm_start) if made.warm_start else None


def _shown(name: str, each: ParameterRange) -> dict[str, Any]:
    return {key: value for key, value in each.as_tuning_range(name).items() if key != "Name"}
