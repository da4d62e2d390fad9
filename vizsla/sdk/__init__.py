"""The Python face: what people type against SageMaker's SDK v2, thin over api/."""

from vizsla.sdk import rule_configs
from vizsla.sdk.attaching import attach
from vizsla.sdk.estimator import Estimator, PyTorch
from vizsla.sdk.parameters import (
    CategoricalParameter,
    ContinuousParameter,
    IntegerParameter,
    WarmStartConfig,
    WarmStartTypes,
)
from vizsla.sdk.profiling import (
    DataloaderProfilingConfig,
    DetailedProfilingConfig,
    FrameworkProfile,
    HorovodProfilingConfig,
    ProfilerConfig,
    PythonProfilingConfig,
    SMDataParallelProfilingConfig,
)
from vizsla.sdk.rules import CollectionConfig, DebuggerHookConfig, ProfilerRule, Rule
from vizsla.sdk.tuner import HyperparameterTuner

__all__ = [
    "CategoricalParameter",
    "CollectionConfig",
    "ContinuousParameter",
    "DataloaderProfilingConfig",
    "DebuggerHookConfig",
    "DetailedProfilingConfig",
    "Estimator",
    "FrameworkProfile",
    "HorovodProfilingConfig",
    "HyperparameterTuner",
    "IntegerParameter",
    "ProfilerConfig",
    "ProfilerRule",
    "PyTorch",
    "PythonProfilingConfig",
    "Rule",
    "SMDataParallelProfilingConfig",
    "WarmStartConfig",
    "WarmStartTypes",
    "attach",
    "rule_configs",
]
