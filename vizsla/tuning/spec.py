"""A sweep as a value, sweep.json: what every trial has in common, what is searched, and when it ends."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vizsla.job import Job, now

# What the built-in classifier's objective may be called, and the record that has it. "average test loss" is what the
# epoch line says and SageMaker's regexes look for; it is measured on valid.
CLASSIFIER_METRICS = {
    "average test loss": "valid_loss",
    "valid_loss": "valid_loss",
    "accuracy": "valid_accuracy",
    "valid_accuracy": "valid_accuracy",
    "train loss": "epoch_train_loss",
}


class Sweep(BaseModel):
    """One search over hyperparameters. Its trials are jobs called `<name>-001` and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    template: Job
    """The job that every trial is, but for its name and what is searched."""
    ranges: dict[str, Any]
    """As tuning.space.to_json writes them."""
    objective: str = "average test loss"
    direction: Literal["minimize", "maximize"] = "minimize"
    strategy: Literal["bayesian", "random", "grid", "hyperband"] = "bayesian"
    early_stopping: Literal["auto", "off"] = "off"
    max_jobs: int = Field(ge=1)
    parallel: int = Field(1, ge=1)
    budget_s: float | None = Field(None, gt=0)
    """No trial is started after this many seconds, and those that run are stopped."""
    seed: int = 0
    warm_start: tuple[str, ...] = ()
    warm_start_kind: Literal["IdenticalDataAndAlgorithm", "TransferLearning"] = "IdenticalDataAndAlgorithm"
    created: str = Field(default_factory=now)

    def trial_name(self, number: int) -> str:
        """The name of trial `number`, which counts from 1."""
        return f"{self.name}-{number:03d}"
