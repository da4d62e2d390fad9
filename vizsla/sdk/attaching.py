"""`attach`: the estimator or the tuner behind a name."""

from __future__ import annotations

from vizsla.api import jobs
from vizsla.sdk.estimator import Estimator
from vizsla.sdk.tuner import HyperparameterTuner
from vizsla.workspace import Workspace


def attach(name: str) -> Estimator | HyperparameterTuner:
    """The estimator of a training job or the tuner of a tuning job, whoever started it.

    Raises UserError if there is none of that name, or one of each; `training/NAME` and `tuning/NAME` say which.
    """
    found = jobs.find(name, Workspace.at())
    kind = HyperparameterTuner if found.kind == "tuning" else Estimator
    return kind.attach(found.name)
