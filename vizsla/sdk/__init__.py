"""The Python face: what people type against SageMaker's SDK v2, thin over api/."""

from vizsla.sdk.attaching import attach
from vizsla.sdk.estimator import Estimator, PyTorch
from vizsla.sdk.parameters import (
    CategoricalParameter,
    ContinuousParameter,
    IntegerParameter,
    WarmStartConfig,
    WarmStartTypes,
)
from vizsla.sdk.tuner import HyperparameterTuner

__all__ = [
    "CategoricalParameter",
    "ContinuousParameter",
    "Estimator",
    "HyperparameterTuner",
    "IntegerParameter",
    "PyTorch",
    "WarmStartConfig",
    "WarmStartTypes",
    "attach",
]
