"""What is saved under which name: smdebug's, so that regular expressions written for it find the same tensors."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import smdebug.pytorch as smd
import torch
from smdebug import modes
from torch import nn

from tests.compat.training import ALWAYS, Net, Training, everything, finished

PARAMETERS = [f"Net_{layer}.{each}" for layer in ("body.0", "conv1", "fc") for each in ("bias", "weight")]


def test_names_are_smdebugs(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    Training(hook=hook).train()
    hook.save_scalar("accuracy", 0.5)
    assert finished(hook).tensor_names() == sorted(
        [
            *PARAMETERS,
            *(f"gradient/{name}" for name in PARAMETERS),
            *("Net_input_0", "Net_output_0"),
            *(f"{path}_{end}_0" for path in ("body", "body.0", "body.1", "conv1", "fc") for end in ("input", "output")),
            *("relu_input_0", "relu_input_1", "relu_output_0", "relu_output_1"),  # the one that is used twice
            *("CrossEntropyLoss_input_0", "CrossEntropyLoss_input_1", "CrossEntropyLoss_output_0"),
            "scalar/accuracy",
        ]
    )


def test_collections_hold_what_their_names_say(tmp_path: Path) -> None:
    names = ["weights", "biases", "gradients", "losses"]
    hook = smd.Hook(out_dir=str(tmp_path), include_collections=names, save_config=ALWAYS)
    Training(hook=hook).train()
    trial = finished(hook)
    assert list(trial.collections()) == sorted(names)
    assert trial.tensor_names(collection="weights") == [name for name in PARAMETERS if name.endswith("weight")]
    assert trial.tensor_names(collection="biases") == [name for name in PARAMETERS if name.endswith("bias")]
    assert trial.tensor_names(collection="gradients") == [f"gradient/{name}" for name in PARAMETERS]
    assert trial.tensor_names(collection="losses") == ["CrossEntropyLoss_output_0"]


def test_only_losses_every_500_steps_are_saved_when_nothing_is_asked_for(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path))
    Training(hook=hook).train(3)
    trial = finished(hook)
    assert trial.tensor_names() == ["CrossEntropyLoss_output_0"]
    assert trial.steps(modes.TRAIN) == [0]


def test_a_collection_of_ones_own_finds_tensors_by_regex_and_by_module(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), include_collections=["mine", "later"], save_config=ALWAYS)
    training = Training(hook=hook)
    hook.get_collection("mine").include("fc_output")
    hook.get_collection("mine").add_module_tensors(training.model.body, inputs=True, outputs=False)  # type: ignore[arg-type]
    hook.add_collection(smd.Collection("later", include_regex=["^conv1_input"]))
    hook.get_collection("unwanted").include(".*")
    training.train()
    trial = finished(hook)
    assert trial.tensor_names(collection="mine") == ["body_input_0", "fc_output_0"]
    assert trial.tensor_names(collection="later") == ["conv1_input_0"]
    assert "unwanted" not in trial.collections()


def test_activations_are_found_by_their_type_where_no_name_says_relu(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), include_collections=["relu_output", "activation_inputs"], save_config=ALWAYS)
    Training(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Tanh(), nn.Linear(4, 2)), hook).train()
    trial = finished(hook)
    assert trial.tensor_names(collection="relu_output") == ["1_output_0"]
    assert trial.tensor_names(collection="activation_inputs") == ["1_input_0", "2_input_0"]


class Labelled(nn.Module):
    """Answers with a dict that holds a list."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        return {"logits": self.fc(x), "hidden": [x, (x * 2,)], "name": "none"}


def test_tensors_in_dicts_are_saved_too(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    Training(Labelled(), hook).train()
    trial = finished(hook)
    assert trial.tensor_names(regex="^Labelled_output") == [f"Labelled_output_{index}" for index in range(3)]
    hidden, doubled = (trial.tensor(f"Labelled_output_{index}").value(0) for index in (1, 2))
    assert (doubled == 2 * hidden).all()


def test_arguments_by_name_are_inputs(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    model = Net()
    hook.register_module(model)
    model(x=torch.ones(2, 3))
    assert (finished(hook).tensor("Net_input_0").value(0) == 1).all()


def test_frozen_parameters_have_no_gradient_until_they_are_trained(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    training = Training(hook=hook)
    training.model.conv1.requires_grad_(False)
    training.train(2)
    training.model.conv1.requires_grad_(True)
    training.train(2)
    trial = finished(hook)
    assert trial.tensor("gradient/Net_conv1.weight").steps(modes.TRAIN) == [2, 3]
    assert trial.tensor("gradient/Net_fc.weight").steps(modes.TRAIN) == [0, 1, 2, 3]


def test_a_module_that_is_registered_twice_is_watched_once(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    training = Training(hook=hook)
    hook.register_module(training.model)
    hook.register_module(training.model.body)  # type: ignore[arg-type]
    training.train(2)
    trial = finished(hook)
    assert trial.steps(modes.TRAIN) == [0, 1]
    assert trial.tensor_names(regex="^body_output") == ["body_output_0"]


# torch itself looks at .grad where a graph breaks; outside of tests nobody sees that warning.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("compiled_first", [True, False])
def test_a_compiled_model_has_the_same_names(tmp_path: Path, compiled_first: bool) -> None:
    hook = everything(tmp_path)
    model = Net()
    training = Training(torch.compile(model, backend="eager") if compiled_first else model, hook)  # type: ignore[arg-type]
    if not compiled_first:
        training.model = torch.compile(model, backend="eager")  # type: ignore[assignment]
    training.train(2)
    trial = finished(hook)
    assert {*PARAMETERS, "Net_input_0", "relu_output_1", "fc_output_0"} <= set(trial.tensor_names())
    assert trial.tensor("fc_output_0").steps(modes.TRAIN) == [0, 1]


def test_a_copy_of_the_model_is_not_watched(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    training = Training(hook=hook)
    training.train()
    whole = io.BytesIO()
    torch.save(training.model, whole)
    whole.seek(0)
    for other in (
        copy.deepcopy(training.model),
        pickle.loads(pickle.dumps(training.model)),  # noqa: S301
        torch.load(whole, weights_only=False),
    ):
        assert torch.equal(other(torch.ones(1, 3)), copy.deepcopy(training.model)(torch.ones(1, 3)))
    assert finished(hook).steps(modes.TRAIN) == [0]
