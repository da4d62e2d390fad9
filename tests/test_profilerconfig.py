"""SageMaker's profilerconfig.json: what is asked for, in the words of its SDK, read as JSON and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vizsla import profilerconfig
from vizsla.job import ProfileSettings

# As SageMaker's SDK writes it: strings, a comma before the brace, capitals as they please.
FROM_SDK = {
    "ProfilingIntervalInMilliseconds": 200,
    "ProfilingParameters": {
        "ProfilerEnabled": "True",
        "DetailedProfilingConfig": '{"StartStep": 5, "NumSteps": 2, }',
        "PythonProfilingConfig": '{"StartStep": 9, "NumSteps": 3, "ProfilerName": "cprofile", }',
        "HorovodProfilingConfig": '{"StartStep": 13, "NumSteps": 1, }',
    },
    "DisableProfiler": False,
}


@pytest.mark.parametrize(
    "settings",
    [
        ProfileSettings(),
        ProfileSettings(num_steps=0),
        ProfileSettings(enabled=False),
        ProfileSettings(interval_ms=1000, start_step=7, num_steps=3, python=True),
    ],
)
def test_settings_come_back_from_the_file_they_went_into(settings: ProfileSettings) -> None:
    document = json.loads(json.dumps(profilerconfig.document(settings)))
    assert profilerconfig.settings(document) == settings


def test_what_sagemakers_sdk_writes_is_understood() -> None:
    assert profilerconfig.settings(FROM_SDK) == ProfileSettings(interval_ms=200, start_step=5, num_steps=2, python=True)


def test_pythons_profile_alone_has_its_own_steps() -> None:
    alone = {"ProfilingParameters": {"pythonprofilingconfig": '{"startstep": 9, "numsteps": 3}'}}
    assert profilerconfig.settings(alone) == ProfileSettings(start_step=9, num_steps=3, python=True)


def test_where_nothing_is_asked_for_only_phases_are_told() -> None:
    assert profilerconfig.settings({}) == ProfileSettings(num_steps=0)


@pytest.mark.parametrize(
    "raw",
    [
        {"DisableProfiler": True},
        {"ProfilingParameters": {"ProfilerEnabled": "false"}},
    ],
)
def test_it_can_be_off(raw: dict[str, Any]) -> None:
    assert profilerconfig.settings(raw).enabled is False


@pytest.mark.parametrize(
    "raw",
    [
        {"ProfilingIntervalInMilliseconds": 300},
        {"ProfilingParameters": {"DetailedProfilingConfig": "__import__('os').system('true')"}},
        {"ProfilingParameters": {"DetailedProfilingConfig": '{"StartStep": -1}'}},
        {"ProfilingParameters": {"DetailedProfilingConfig": '{"StartStep": "soon"}'}},
        {"ProfilingParameters": ["StartStep"]},
        ["StartStep"],
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: Any) -> None:
    file = tmp_path / "profilerconfig.json"
    file.write_text(json.dumps(raw))
    monkeypatch.setenv(profilerconfig.VARIABLE, str(file))
    with pytest.raises(ValueError, match=r"profilerconfig\.json is no profiler configuration"):
        profilerconfig.found()


def test_without_a_file_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(profilerconfig.VARIABLE, raising=False)
    assert profilerconfig.found() is None


def test_a_file_that_is_named_and_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(profilerconfig.VARIABLE, str(tmp_path / "none.json"))
    with pytest.raises(FileNotFoundError):
        profilerconfig.found()
