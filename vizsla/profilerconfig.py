"""SageMaker's profilerconfig.json: what a script's hook is to profile, to and from our own settings.

Its parameters are strings, some of them JSON again. They are read as JSON and nothing else; smdebug evaluated them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vizsla.files import read_json
from vizsla.job import ProfileSettings

VARIABLE = "SMPROFILER_CONFIG_PATH"
DEFAULT_FILE = Path("/opt/ml/input/config/profilerconfig.json")


def document(settings: ProfileSettings) -> dict[str, Any]:
    """The file's content for these settings."""
    steps = json.dumps({"StartStep": settings.start_step, "NumSteps": settings.num_steps})
    parameters = {"ProfilerEnabled": str(settings.enabled).lower(), "LocalPath": "/opt/ml/output/profiler"}
    if settings.num_steps:
        parameters["DetailedProfilingConfig"] = steps
    if settings.num_steps and settings.python:
        parameters["PythonProfilingConfig"] = steps
    return {
        "DisableProfiler": not settings.enabled,
        "ProfilingIntervalInMilliseconds": settings.interval_ms,
        "ProfilingParameters": parameters,
    }


def found() -> ProfileSettings | None:
    """The settings in the file that SMPROFILER_CONFIG_PATH names, else in SageMaker's place; None without either.

    Raises OSError where the file cannot be read, ValueError where it is no profiler configuration.
    """
    named = os.environ.get(VARIABLE)
    if not named and not DEFAULT_FILE.exists():
        return None
    file = Path(named) if named else DEFAULT_FILE
    raw = read_json(file)
    try:
        return settings(raw)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no profiler configuration: {_said(error)}") from error


def settings(raw: Mapping[str, Any]) -> ProfileSettings:
    """What a profilerconfig.json asks for. Names are taken in any case, as smdebug takes them. Raises ValueError.

    The operators are profiled over the steps of DetailedProfilingConfig, Python over those as well if it is asked for;
    if only Python is, over its own. Configurations of what there is not here (Horovod, seconds for steps) mean nothing.
    """
    top = _lowered(raw)
    parameters = _lowered(top.get("profilingparameters") or {})
    off = _is_true(top.get("disableprofiler")) or not _is_true(parameters.get("profilerenabled", "true"))
    python = _config(parameters.get("pythonprofilingconfig"))
    steps = _config(parameters.get("detailedprofilingconfig"))
    steps = python if steps is None else steps
    asked: dict[str, Any] = {"enabled": not off, "num_steps": 0, "python": python is not None}
    if top.get("profilingintervalinmilliseconds"):
        asked["interval_ms"] = int(top["profilingintervalinmilliseconds"])
    if steps is not None:
        asked["start_step"] = int(steps.get("startstep", 0))
        asked["num_steps"] = int(steps.get("numsteps", 1))  # as SageMaker's SDK counts where only a start is given
    return ProfileSettings.model_validate(asked)


def _config(text: Any) -> dict[str, Any] | None:
    if text is None or isinstance(text, Mapping):
        return None if text is None else _lowered(text)
    # SageMaker's SDK leaves a comma before the brace.
    return _lowered(json.loads(re.sub(r",\s*}", "}", str(text)) or "{}"))


def _lowered(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in mapping.items()}


def _is_true(value: Any) -> bool:
    return str(value).lower() in ("true", "1")


def _said(error: Exception) -> str:
    return str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
