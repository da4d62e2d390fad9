"""`create_trial(path)`: what a hook saved, read back, while it trains and afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import smdebug.pytorch as smd
import torch
from smdebug import modes
from smdebug.core.tensor import StepState
from smdebug.exceptions import (
    NoMoreData,
    StepNotYetAvailable,
    StepUnavailable,
    TensorUnavailable,
    TensorUnavailableForStep,
)
from smdebug.trials import Trial, create_trial

from tests.compat.training import Training, everything, finished
from vizsla.debugger import watch
from vizsla.jobdir import JobDir, Outcome
from vizsla.process import Process
from vizsla.records import Record, Writer
from vizsla.segments import Segments

LOSS = "CrossEntropyLoss_output_0"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """Weights every 2 train steps, losses at each, of 3 train steps, 2 eval steps and 3 train steps."""
    hook = smd.Hook(out_dir=str(tmp_path), include_collections=["weights"], save_config=smd.SaveConfig(save_interval=2))
    hook.get_collection("losses").save_config = smd.SaveConfig(save_interval=1)
    training = Training(hook=hook)
    training.train(3)
    training.evaluate(2)
    training.train(3)
    return finished(hook)


def test_steps(trial: Trial) -> None:
    assert trial.modes() == [modes.TRAIN, modes.EVAL]
    assert trial.steps(mode=modes.TRAIN) == [0, 1, 2, 3, 4, 5]
    assert trial.steps(mode=modes.EVAL) == [0, 1]
    assert trial.steps() == list(range(8))
    assert trial.steps(mode=modes.PREDICT) == []
    weight = trial.tensor("Net_fc.weight")
    assert (weight.steps(modes.TRAIN), weight.steps(modes.EVAL), weight.steps()) == ([0, 2, 4], [0], [0, 2, 3, 6])
    assert weight.prev_steps(3, 2, modes.TRAIN) == [0, 2]
    assert (trial.mode(4), trial.mode_step(4), trial.global_step(modes.EVAL, 1)) == (modes.EVAL, 1, 4)


def test_values_by_mode_are_those_by_global_step(trial: Trial) -> None:
    loss = trial.tensor(LOSS)
    assert loss.value(0, modes.EVAL) == loss.value(3)
    assert loss.value(5, mode=modes.TRAIN) == loss.value(7)
    assert list(loss.values(mode=modes.EVAL)) == [0, 1]


def test_names_are_chosen_by_regex_collection_step_and_mode(trial: Trial) -> None:
    weights = ["Net_body.0.weight", "Net_conv1.weight", "Net_fc.weight"]
    assert trial.tensor_names() == [LOSS, *weights]
    assert trial.tensor_names(regex="^Net_f") == ["Net_fc.weight"]
    assert trial.tensor_names(regex=["^Net_f", "Loss"]) == [LOSS, "Net_fc.weight"]
    assert trial.tensor_names(collection="weights") == weights
    assert trial.tensor_names(collection=trial.collection("losses")) == [LOSS]
    assert trial.tensor_names(step=1, mode=modes.TRAIN) == [LOSS]
    assert trial.tensor_names(step=1, mode=modes.PREDICT) == []
    assert trial.tensor_names(mode=modes.EVAL, regex="fc") == ["Net_fc.weight"]


def test_what_is_not_there_has_an_error_of_its_own(trial: Trial) -> None:
    with pytest.raises(TensorUnavailable, match="'fc' was not saved"):
        trial.tensor("fc")
    with pytest.raises(TensorUnavailableForStep, match=r"was not saved at step 1 of TRAIN; it was at \[0, 2, 4\]"):
        trial.tensor("Net_fc.weight").value(1, modes.TRAIN)
    with pytest.raises(StepUnavailable, match="step 99 of TRAIN"):
        trial.tensor("Net_fc.weight").value(99, modes.TRAIN)
    with pytest.raises(ValueError, match="'average' is no reduction"):
        trial.tensor(LOSS).reduction_value(0, "average")
    with pytest.raises(NoMoreData, match="ended before step 6 of TRAIN"):
        trial.wait_for_steps([0, 6], mode=modes.TRAIN)
    trial.wait_for_steps([0, 1], mode=modes.EVAL)
    with pytest.raises(AttributeError, match=r"Trial has no 'plot'.*tensor_names"):
        trial.plot  # noqa: B018


def test_a_training_that_runs_is_followed(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=smd.SaveConfig(save_interval=2))
    training = Training(hook=hook)
    training.train(2)
    trial = create_trial(tmp_path)
    loss = trial.tensor(LOSS)
    assert (loss.steps(modes.TRAIN), trial.loaded_all_steps) == ([0], False)
    assert trial.has_passed_step(2, modes.TRAIN) is StepState.NOT_YET_AVAILABLE
    with pytest.raises(StepNotYetAvailable):
        loss.value(2, modes.TRAIN)
    training.train(2)
    hook.close()
    assert (loss.steps(modes.TRAIN), trial.loaded_all_steps) == ([0, 2], True)
    assert trial.has_passed_step(1, modes.TRAIN) is StepState.UNAVAILABLE
    with pytest.raises(StepUnavailable):
        trial.wait_for_steps([1], modes.TRAIN)


def test_a_range_of_steps(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    Training(hook=hook).train(5)
    hook.close()
    assert create_trial(tmp_path, range_steps=(1, 3)).steps() == [1, 2]
    assert create_trial(tmp_path, range_steps=(3, None)).steps() == [3, 4]  # type: ignore[arg-type]


def test_without_modes_steps_are_global(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    model = torch.nn.Linear(2, 2)
    hook.register_module(model)
    for _ in range(3):
        model(torch.ones(1, 2))
    trial = finished(hook)
    assert trial.modes() == [modes.GLOBAL]
    assert trial.steps() == trial.steps(mode=modes.GLOBAL) == [0, 1, 2]


def test_what_the_built_in_classifier_records_is_read_too(tmp_path: Path) -> None:
    folder = JobDir(tmp_path)
    (tmp_path / "attempts").mkdir()
    folder.begin(1, Process(1, started=0.0, boot="another"))
    value: dict[str, float | str] = {
        "collection": "gradients",
        "type": "",
        "size": 4,
        "mean": 0.5,
        "l2": 2.0,
        "nan": 0,
        "inf": 0,
    }
    with Writer(Segments(folder.records / "debugger")) as stream:
        stream.write(Record(1.0, "tensor", "gradient/Net_fc.weight", "train", 10, 12, value=value))
    trial = create_trial(tmp_path)
    tensor = trial.tensor(*trial.tensor_names(collection="gradients"))
    assert (tensor.steps(modes.TRAIN), tensor.steps()) == ([10], [12])
    assert tensor.reduction_value(10, "mean", mode=modes.TRAIN) == 0.5
    with pytest.raises(TensorUnavailableForStep):
        tensor.value(10, modes.TRAIN)
    assert not trial.loaded_all_steps
    folder.report_outcome(1, Outcome("Completed"))
    assert trial.loaded_all_steps


def test_a_place_where_no_hook_was_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds nothing a hook saved"):
        create_trial(str(tmp_path))
    with pytest.raises(ValueError, match="copy it to a folder first"):
        create_trial("s3://bucket/debug")


def test_a_folder_that_the_debugger_has_watched_ends_too(tmp_path: Path) -> None:
    with watch(torch.nn.Linear(1, 1), out=tmp_path) as dbg:
        dbg.step(0.5)
        assert not create_trial(str(tmp_path)).loaded_all_steps
    assert create_trial(str(tmp_path)).loaded_all_steps
