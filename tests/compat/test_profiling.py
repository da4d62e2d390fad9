"""A hook's profile of its script, where SageMaker's profilerconfig.json asks for one."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import smdebug.pytorch as smd
from smdebug import modes

from tests.compat.training import Training
from vizsla import profilerconfig, records
from vizsla.job import ProfileSettings
from vizsla.observers import places
from vizsla.records import Record

pytestmark = pytest.mark.usefixtures("job")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script finds around it under `vizsla run`."""
    monkeypatch.setenv(places.JOB, str(tmp_path))
    monkeypatch.setenv(places.ATTEMPT, "1")
    asks(tmp_path, monkeypatch, profilerconfig.document(ProfileSettings(num_steps=0)))


def asks(place: Path, monkeypatch: pytest.MonkeyPatch, document: Any) -> None:
    file = place / "profilerconfig.json"
    file.write_text(json.dumps(document))
    monkeypatch.setenv(profilerconfig.VARIABLE, str(file))


def found(place: Path) -> list[Record]:
    return list(records.read(place / "checkpoints" / "vizsla" / "records", {"profile"}))


def steps(place: Path, *names: str) -> list[tuple[str | None, int | None]]:
    return [(one.mode, one.step) for one in found(place) if one.name in names]


def test_phases_are_told_by_the_modes_of_the_hook(tmp_path: Path) -> None:
    hook = smd.Hook()
    training = Training(hook=hook)
    training.train(2)
    training.evaluate(3)
    hook.set_mode(modes.PREDICT)
    training.model(training.batch()[0])
    training.train(1)
    hook.close()
    for name in ("load", "forward", "backward", "update"):
        assert steps(tmp_path, name) == [("train", 0), ("train", 1), ("train", 2)]
    assert steps(tmp_path, "evaluate") == [("eval", 0), ("predict", 0)]


def test_where_no_mode_is_set_the_model_says_what_it_does(tmp_path: Path) -> None:
    hook = smd.Hook()
    training = Training(hook=hook)
    for _ in range(2):
        training.model.train()
        training._step()
        training.model.eval()
        training._loss()
    hook.close()
    assert steps(tmp_path, "forward") == [("train", 0), ("train", 1)]
    assert steps(tmp_path, "evaluate") == [("eval", 0), ("eval", 1)]


def test_several_passes_before_an_update_are_several_steps_as_the_hook_counts_them(tmp_path: Path) -> None:
    hook = smd.Hook()
    training = Training(hook=hook)
    hook.set_mode(modes.TRAIN)
    for _ in range(3):
        training._loss().backward()  # type: ignore[no-untyped-call]
    training.optimizer.step()
    hook.close()
    assert hook.mode_steps[modes.TRAIN] == 2
    assert steps(tmp_path, "forward") == [("train", 0), ("train", 1), ("train", 2)]
    assert steps(tmp_path, "update") == [("train", 2)]


def test_the_operators_of_the_steps_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asks(
        tmp_path, monkeypatch, {"ProfilingParameters": {"DetailedProfilingConfig": '{"StartStep": 1, "NumSteps": 2, }'}}
    )
    hook = smd.Hook()
    Training(hook=hook).train(4)
    hook.close()
    (profile,) = (one for one in found(tmp_path) if one.name == "profile")
    assert (profile.step, profile.file) == (1, "checkpoints/vizsla/profile/1-trace.json.gz")
    assert (tmp_path / str(profile.file)).is_file()


def test_the_same_losses_with_and_without_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = Training(hook=smd.Hook()).train(5)
    monkeypatch.delenv(profilerconfig.VARIABLE)
    assert Training(hook=smd.Hook(out_dir=str(tmp_path / "other"))).train(5) == with_it
    assert steps(tmp_path, "forward") == [("train", step) for step in range(4)]  # the last one's end is not seen yet


def test_without_a_configuration_nothing_is_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(profilerconfig.VARIABLE)
    hook = smd.Hook()
    Training(hook=hook).train(2)
    hook.close()
    assert found(tmp_path) == []


def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asks(tmp_path, monkeypatch, profilerconfig.document(ProfileSettings(enabled=False)))
    hook = smd.Hook()
    Training(hook=hook).train(2)
    hook.close()
    assert found(tmp_path) == []


def test_of_two_hooks_the_first_one_profiles(tmp_path: Path) -> None:
    hooks = [smd.Hook(), smd.Hook()]
    training = Training(hook=hooks[0])
    hooks[1].register_module(training.model)
    training.train(3)
    for hook in hooks:
        hook.close()
    assert steps(tmp_path, "forward") == [("train", 0), ("train", 1), ("train", 2)]


def test_a_configuration_that_cannot_be_read_costs_the_profile_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asks(tmp_path, monkeypatch, {"ProfilingIntervalInMilliseconds": 3})
    with caplog.at_level(logging.WARNING):
        hook = smd.Hook()
    training = Training(hook=hook)
    assert len(training.train(2)) == 2
    hook.close()
    assert "smdebug: nothing is profiled" in caplog.text
    assert found(tmp_path) == []
    assert hook.mode_steps[modes.TRAIN] == 1
