"""vizsla: a folder of photos becomes a tuned, debugged, profiled and served image classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vizsla.errors import JobError, UserError, VizslaError

if TYPE_CHECKING:
    from vizsla.sdk import (
        CategoricalParameter,
        CollectionConfig,
        ContinuousParameter,
        DataloaderProfilingConfig,
        DebuggerHookConfig,
        DetailedProfilingConfig,
        Estimator,
        FrameworkProfile,
        HorovodProfilingConfig,
        HyperparameterTuner,
        IntegerParameter,
        ProfilerConfig,
        ProfilerRule,
        PythonProfilingConfig,
        PyTorch,
        Rule,
        SMDataParallelProfilingConfig,
        WarmStartConfig,
        WarmStartTypes,
        attach,
        rule_configs,
    )

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
    "JobError",
    "ProfilerConfig",
    "ProfilerRule",
    "PyTorch",
    "PythonProfilingConfig",
    "Rule",
    "SMDataParallelProfilingConfig",
    "UserError",
    "VizslaError",
    "WarmStartConfig",
    "WarmStartTypes",
    "__version__",
    "attach",
    "rule_configs",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The Python face, loaded when it is first asked for: the command line and the worker never need it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vizsla import sdk

    return getattr(sdk, name)
