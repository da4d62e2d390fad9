"""When a hook saves, where it writes, and that it is never in the way of the training."""

from __future__ import annotations

import json
import logging
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import smdebug
import smdebug.pytorch as smd
import torch
from smdebug import modes
from smdebug.core.config import of_json
from smdebug.core.modes import ModeKeys
from smdebug.profiler.utils import str2bool
from smdebug.pytorch import get_hook
from smdebug.trials import create_trial
from torch.nn import functional

from tests.compat.training import ALWAYS, Training, everything, finished
from tests.conftest import ROOT
from vizsla import records

LOSS = "CrossEntropyLoss_output_0"


def configure(monkeypatch: pytest.MonkeyPatch, place: Path, document: dict[str, Any]) -> None:
    file = place / "debughookconfig.json"
    file.write_text(json.dumps(document))
    monkeypatch.setenv("SMDEBUG_CONFIG_FILE_PATH", str(file))


# ---- when


def test_steps_are_counted_within_their_mode_and_together(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    assert (hook.step, hook.mode) == (-1, modes.GLOBAL)
    training = Training(hook=hook)
    for _ in range(2):
        training.train(3)
        training.evaluate(2)
    assert (hook.step, hook.mode_steps[modes.TRAIN], hook.mode_steps[modes.EVAL]) == (9, 5, 3)
    loss = finished(hook).tensor(LOSS)
    assert loss.steps(modes.TRAIN) == [0, 1, 2, 3, 4, 5]
    assert loss.steps(modes.EVAL) == [0, 1, 2, 3]
    assert loss.steps() == list(range(10))


def test_each_mode_has_intervals_of_its_own(tmp_path: Path) -> None:
    by_mode = {modes.TRAIN: smd.SaveConfigMode(save_interval=3), modes.EVAL: smd.SaveConfigMode(save_steps=[1])}
    hook = smd.Hook(out_dir=str(tmp_path), save_config=by_mode)
    training = Training(hook=hook)
    training.train(8)
    training.evaluate(4)
    loss = finished(hook).tensor(LOSS)
    assert (loss.steps(modes.TRAIN), loss.steps(modes.EVAL)) == ([0, 3, 6], [0, 1])


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"save_interval": 4}, [0, 4, 8]),
        ({"save_interval": 2, "start_step": 3}, [4, 6, 8]),
        ({"save_interval": 2, "end_step": 4}, [0, 2]),
        ({"save_interval": 2, "start_step": 3, "end_step": 7, "save_steps": [1, 9]}, [1, 4, 6, 9]),
        ({}, [0]),
    ],
)
def test_a_step_is_saved_that_is_named_or_a_multiple_within_bounds(arguments: dict[str, Any], steps: list[int]) -> None:
    config = smd.SaveConfig(**arguments)
    assert [step for step in range(10) if config.should_save_step(modes.TRAIN, step)] == steps


# ---- the configuration file


def test_a_configuration_as_sagemaker_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {
        "S3OutputPath": "s3://bucket/debug",
        "LocalPath": str(tmp_path / "out"),
        "HookParameters": {"train.save_interval": "3", "eval.save_interval": "2"},
        "CollectionConfigurations": [
            {"CollectionName": "gradients", "CollectionParameters": {"save_interval": "2"}},
            {
                "CollectionName": "heads",
                "CollectionParameters": {
                    "include_regex": "fc_(in|out)put,^nothing{1,2}",
                    "reductions": "mean,abs_l2_norm",
                },
            },
        ],
    }
    configure(monkeypatch, tmp_path, document)
    hook = smd.Hook.create_from_json_file()
    training = Training(hook=hook)
    training.train(7)
    training.evaluate(3)
    trial = finished(hook)
    assert trial.tensor_names(collection="heads") == ["fc_input_0", "fc_output_0"]
    assert list(trial.tensor("fc_output_0").reduction_values(0)) == ["mean", "abs_l2"]
    assert trial.tensor("fc_output_0").steps(modes.TRAIN) == [0, 3, 6]
    assert trial.tensor("fc_output_0").steps(modes.EVAL) == [0, 2]
    assert trial.tensor("gradient/Net_fc.bias").steps(modes.TRAIN) == [0, 2, 4, 6]
    assert trial.tensor(LOSS).steps(modes.TRAIN) == [0, 3, 6]


def test_the_configuration_of_the_docs_means_something(caplog: pytest.LogCaptureFixture) -> None:
    page = (ROOT / "docs" / "smdebug.md").read_text()
    asked = of_json(json.loads(page.split("```json")[1].split("```")[0]))
    assert [each.name for each in asked.collections] == ["gradients", "heads"]
    assert not caplog.records


def test_the_default_of_a_configuration_is_every_500_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, tmp_path, {"LocalPath": str(tmp_path / "out"), "CollectionConfigurations": []})
    hook = get_hook(create_if_not_exists=True)
    assert hook is not None
    assert hook.save_config == smd.SaveConfig(save_interval=500)
    Training(hook=hook).train(2)
    assert finished(hook).tensor(LOSS).steps(modes.TRAIN) == [0]


def test_without_a_configuration_losses_go_into_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hook = smd.Hook.create_from_json_file()
    Training(hook=hook).train()
    hook.close()
    assert create_trial("smdebug-output").tensor_names() == [LOSS]


@pytest.mark.parametrize(
    "document",
    [
        {"CollectionConfigurations": [{}]},
        {"HookParameters": {"save_interval": "often"}},
        {"HookParameters": {"save_interval": "-1"}},
        {"HookParameters": {"reductions": "average"}},
        {"HookParameters": ["save_interval"]},
        [],
    ],
)
def test_a_configuration_that_is_none_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: Any
) -> None:
    configure(monkeypatch, tmp_path, document)
    with pytest.raises(ValueError, match=r"debughookconfig\.json is no debugger hook configuration"):
        get_hook(create_if_not_exists=True)


def test_a_parameter_that_means_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    configure(monkeypatch, tmp_path, {"LocalPath": str(tmp_path), "HookParameters": {"save_intervall": "3"}})
    smd.Hook.create_from_json_file()
    assert "HookParameters: save_intervall mean nothing here and are ignored" in caplog.text


# ---- one hook for all of a script


def test_the_hook_is_the_same_wherever_it_is_asked_for(tmp_path: Path) -> None:
    assert get_hook() is None
    hook = smd.Hook(out_dir=str(tmp_path))
    assert get_hook() is hook
    assert get_hook(create_if_not_exists=True) is hook


# ---- never in the way


def test_the_kill_switch_leaves_a_hook_that_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_SMDEBUG", "0")
    hook = everything(tmp_path / "out")
    losses = Training(hook=hook).train(3)
    hook.save_scalar("accuracy", 0.5)
    hook.save_tensor("mine", torch.ones(2))
    hook.record_tensor_value("loss", torch.ones(()))
    hook.close()
    assert not (tmp_path / "out").exists()
    assert losses == Training().train(3)


def test_of_several_workers_the_first_one_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        hook = everything(tmp_path / rank)
        Training(hook=hook).train()
        hook.close()
    assert [each.name for each in tmp_path.iterdir()] == ["0"]


def test_a_disk_that_refuses_is_said_once_and_ends_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out").write_text("a file where a folder should be")
    hook = everything(tmp_path / "out")
    losses = Training(hook=hook).train(5)
    hook.close()
    assert losses == Training().train(5)
    said = [record for record in caplog.records if record.name == "smdebug" and record.levelno >= logging.WARNING]
    assert [record.message.split(":")[1].strip() for record in said] == [
        "something could not be saved, training goes on",
        "5 times something could not be saved",
    ]


def test_a_mistake_in_what_is_saved_ends_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    hook.save_scalar("accuracy", "high")
    hook.save_tensor("mine", object())
    Training(hook=hook).train()
    assert finished(hook).tensor_names() == [LOSS]
    assert caplog.text.count("could not convert string to float") == 1


def test_what_cannot_be_watched_is_refused_when_it_is_registered(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path))
    with pytest.raises(TypeError, match="Save the value of a function with record_tensor_value"):
        hook.register_loss(functional.cross_entropy)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"takes a torch\.nn\.Module"):
        hook.register_module("net")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Use modes\.TRAIN"):
        hook.set_mode("train")  # type: ignore[arg-type]


def _forked(training: Training) -> None:
    training.train(2)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_was_forked_writes_nothing(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    training = Training(hook=hook)
    training.train()
    child = multiprocessing.get_context("fork").Process(target=_forked, args=(training,))
    child.start()
    child.join()
    assert child.exitcode == 0
    training.train()
    assert finished(hook).tensor(LOSS).steps(modes.TRAIN) == [0, 1]


# ---- where


def test_a_folder_that_is_there_gets_another_attempt(tmp_path: Path) -> None:
    for steps in (5, 2):
        hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
        Training(hook=hook).train(steps)
        trial = finished(hook)
    assert trial.steps(modes.TRAIN) == [0, 1]
    assert sorted(file.name for file in (tmp_path / "records" / "hook").iterdir()) == [
        "0001-000000.jsonl",
        "0002-000000.jsonl",
    ]


def test_in_a_job_everything_goes_into_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "job"
    monkeypatch.setenv("VIZSLA_JOB", str(job))
    monkeypatch.setenv("VIZSLA_ATTEMPT", "3")
    for _ in range(2):
        hook = everything(tmp_path / "elsewhere")
        Training(hook=hook).train(2)
        hook.close()
    assert not (tmp_path / "elsewhere").exists()
    private = job / "checkpoints" / "vizsla"
    assert [each.name for each in sorted((private / "records").iterdir())] == ["hook", "hook-2"]
    assert (private / "records" / "hook" / "0003-000000.jsonl").exists()
    files = {record.file for record in records.read(private / "records") if record.file}
    assert files == {
        f"checkpoints/vizsla/tensors/{folder}train/00000000{step}.safetensors"
        for folder in ("", "hook-2/")
        for step in (0, 1)
    }
    assert all((job / str(file)).exists() for file in files)
    for path in (job, private, tmp_path / "elsewhere"):
        assert create_trial(str(path)).tensor("Net_fc.weight").value(0, modes.TRAIN).shape == (2, 16)


# ---- what is there


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match=r"smdebug has no 'Hook'.*modes"):
        smdebug.Hook  # noqa: B018
    with pytest.raises(AttributeError, match=r"smdebug\.pytorch has no 'SessionHook'.*get_hook.*docs/smdebug\.md"):
        smd.SessionHook  # noqa: B018
    with pytest.raises(AttributeError, match=r"Hook has no 'log_histogram'.*save_scalar"):
        smd.Hook(out_dir=str(tmp_path)).log_histogram  # noqa: B018


def test_words_scripts_import() -> None:
    assert smd.modes is modes is ModeKeys
    assert [mode.value for mode in (modes.TRAIN, modes.EVAL, modes.PREDICT, modes.GLOBAL)] == [1, 2, 3, 4]
    assert [str2bool(word) for word in ("True", "yes", "0", "false")] == [True, True, False, False]
