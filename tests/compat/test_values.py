"""What is saved is what passed through the model, and looking changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smdebug.pytorch as smd
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from smdebug import modes
from smdebug.core.reduction_config import ALLOWED_NORMS, ALLOWED_REDUCTIONS, reduced
from smdebug.exceptions import TensorUnavailableForStep
from smdebug.trials import create_trial
from torch import nn
from torch.nn import functional

from tests.compat.training import ALWAYS, PHOTOS, Training, everything, finished
from vizsla import records


def saved(out: Path, name: str) -> list[Mapping[str, Any]]:
    """The values of the records of one tensor."""
    found = records.read(out / "records")
    return [record.value for record in found if record.name == name and isinstance(record.value, Mapping)]


def test_weights_are_those_before_the_update_and_gradients_those_of_the_step(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    training = Training(hook=hook)
    before, gradients = [], []
    for _ in range(3):
        before.append(training.model.fc.weight.detach().numpy().copy())  # type: ignore[union-attr,operator]
        training.train()
        gradients.append(training.model.fc.weight.grad.numpy().copy())  # type: ignore[union-attr,operator]
    trial = finished(hook)
    assert all(gradient.any() for gradient in gradients)
    for step in range(3):
        assert np.array_equal(trial.tensor("Net_fc.weight").value(step, modes.TRAIN), before[step])
        assert np.array_equal(trial.tensor("gradient/Net_fc.weight").value(step, mode=modes.TRAIN), gradients[step])


def test_a_gradient_is_that_of_one_backward_pass_where_gradients_accumulate(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    training = Training(hook=hook)
    for _ in range(2):
        training.criterion(training.model(torch.ones(PHOTOS, 3)), torch.ones(PHOTOS).long()).backward()
    first, second = finished(hook).tensor("gradient/Net_fc.bias").values().values()
    assert np.array_equal(first, second)


def test_losses_are_exact(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    losses = Training(hook=hook).train(4)
    found = finished(hook).tensor("CrossEntropyLoss_output_0").values(modes.TRAIN)
    assert list(found) == [0, 1, 2, 3]
    assert [value.dtype for value in found.values()] == [np.float32] * 4
    assert [float(value) for value in found.values()] == losses


def test_the_input_of_an_activation_in_place_is_what_went_in(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    Training(hook=hook).train()
    trial = finished(hook)
    before, after = (trial.tensor(f"relu_{end}_0").value(0) for end in ("input", "output"))
    assert (before < 0).any()
    assert np.array_equal(after, np.maximum(before, 0))


def test_looking_changes_no_loss(tmp_path: Path) -> None:
    assert Training(hook=everything(tmp_path)).train(20) == Training().train(20)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_precision_is_saved(tmp_path: Path, dtype: torch.dtype) -> None:
    hook = everything(tmp_path)
    training = Training(hook=hook, dtype=dtype)
    weight = training.model.fc.weight.detach().clone()  # type: ignore[union-attr,operator]
    losses = training.train(2)
    trial = finished(hook)
    found = trial.tensor("Net_fc.weight").value(0, modes.TRAIN)
    assert np.array_equal(found, (weight.float() if dtype is torch.bfloat16 else weight).numpy())
    assert float(trial.tensor("CrossEntropyLoss_output_0").value(1)) == losses[1]


def test_what_is_not_finite_is_saved_as_it_is(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    hook.save_tensor("odd", torch.tensor([float("nan"), float("inf"), 1.0]))
    hook.save_scalar("bad", float("nan"))
    trial = finished(hook)
    assert np.array_equal(trial.tensor("odd").value(0), [np.nan, np.inf, 1.0], equal_nan=True)
    assert np.isnan(trial.tensor("scalar/bad").value(0))


# ---- reductions

NUMPY = {
    "min": np.min,
    "max": np.max,
    "mean": np.mean,
    "std": np.std,
    "variance": np.var,
    "sum": np.sum,
    "prod": np.prod,
    "median": np.median,
    "l1": lambda x: np.linalg.norm(x, 1),
    "l2": lambda x: np.linalg.norm(x, 2),
}


@given(
    arrays.arrays(np.float32, st.integers(1, 30), elements=st.floats(-8, 8, width=32)),
    st.sampled_from([*ALLOWED_REDUCTIONS, *ALLOWED_NORMS]),
    st.booleans(),
)
def test_reductions_are_numpys(values: np.ndarray[Any, Any], name: str, absolute: bool) -> None:
    wide = values.astype(np.float64)
    full = f"abs_{name}" if absolute else name
    expected = NUMPY[name](np.abs(wide) if absolute else wide)  # type: ignore[operator]
    assert float(reduced(torch.from_numpy(values), [full])[full]) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_a_reduced_tensor_is_its_reductions_alone(tmp_path: Path) -> None:
    only = smd.ReductionConfig(reductions=["mean", "std"], abs_reductions=["max"], norms=["l2"], abs_norms=["l1"])
    hook = everything(tmp_path, reduction_config=only)
    training = Training(hook=hook)
    weight = training.model.fc.weight.detach().double().numpy()  # type: ignore[union-attr,operator]
    training.train()
    trial = finished(hook)
    tensor = trial.tensor("Net_fc.weight")
    assert tensor.reduction_values(0, modes.TRAIN) == pytest.approx(
        {
            "mean": weight.mean(),
            "std": weight.std(),
            "l2": np.linalg.norm(weight),
            "abs_max": np.abs(weight).max(),
            "abs_l1": np.abs(weight).sum(),
        }
    )
    assert tensor.reduction_value(0, "max", mode=modes.TRAIN, abs=True) == np.abs(weight).max()
    assert tensor.shape(0, modes.TRAIN) == (2, 16)
    with pytest.raises(TensorUnavailableForStep, match="ask reduction_value"):
        tensor.value(0, modes.TRAIN)
    with pytest.raises(TensorUnavailableForStep, match=r"sum of Net_fc\.weight was not saved"):
        tensor.reduction_value(0, "sum", mode=modes.TRAIN)
    assert trial.tensor("CrossEntropyLoss_output_0").value(0).shape == ()  # scalars are never reduced
    assert not (tmp_path / "tensors").exists()


def test_a_reduced_tensor_is_whole_too_where_that_is_asked_for(tmp_path: Path) -> None:
    hook = everything(tmp_path, reduction_config=smd.ReductionConfig(reductions=["min"], save_raw_tensor=True))
    Training(hook=hook).train()
    tensor = finished(hook).tensor("Net_fc.weight")
    assert tensor.reduction_value(0, "min") == tensor.value(0).min()
    assert tensor.reduction_value(0, "sum") == pytest.approx(float(tensor.value(0).sum()), rel=1e-6)


def test_an_unknown_reduction_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'average' is no reduction .* mean"):
        smd.ReductionConfig(reductions=["average"])


# ---- what a script saves by hand


def test_labels_and_predictions_are_class_indices_to_the_rules(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    labels, scores = torch.tensor([1, 0, 1]), torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.7, 0.3]])
    hook.save_tensor("labels", labels, "labels")
    hook.save_tensor("net_predictions", scores, collections_to_write=["predictions"])
    trial = finished(hook)
    assert [value["indices"] for value in saved(tmp_path, "labels")] == [[1, 0, 1]]
    (predictions,) = saved(tmp_path, "net_predictions")
    assert (predictions["collection"], predictions["indices"]) == ("predictions", [1, 0, 0])
    assert np.array_equal(trial.tensor("net_predictions").value(0), scores.numpy())


def test_many_labels_take_more_than_one_record(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    hook.save_tensor("labels", torch.arange(5000) % 7)
    finished(hook)
    parts = [value["indices"] for value in saved(tmp_path, "labels")]
    assert [len(part) for part in parts] == [4096, 904]
    assert [index for part in parts for index in part] == [index % 7 for index in range(5000)]


def test_the_value_of_a_loss_function_is_a_loss(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    loss = functional.cross_entropy(torch.zeros(2, 2), torch.ones(2).long())
    hook.record_tensor_value(tensor_name="nll_loss", tensor_value=loss)
    trial = finished(hook)
    assert trial.tensor_names(collection="losses") == ["nll_loss_output_0"]
    assert float(trial.tensor("nll_loss_output_0").value(0)) == loss.item()


def test_a_loss_of_ones_own_class_is_a_loss_whatever_its_name(tmp_path: Path) -> None:
    class Focal(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean()

    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    focal = Focal()
    hook.register_loss(focal)
    focal(torch.ones(3))
    trial = finished(hook)
    assert trial.tensor_names(collection="losses") == ["Focal_output_0"]
    assert saved(tmp_path, "Focal_output_0")[0]["type"] == "Focal"


def test_a_loss_within_the_model_is_a_loss(tmp_path: Path) -> None:
    class Judged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.criterion = nn.MSELoss()

        def forward(self, x: torch.Tensor) -> Any:
            return self.criterion(x, x + 2)

    hook = smd.Hook(out_dir=str(tmp_path), save_config=ALWAYS)
    model = Judged()
    hook.register_module(model)
    hook.register_loss(model.criterion)
    model(torch.ones(3))
    trial = finished(hook)
    assert trial.tensor_names(collection="losses") == ["criterion_output_0"]
    assert trial.tensor("criterion_output_0").value(0) == 4
    (value,) = saved(tmp_path, "criterion_output_0")
    assert (value["collection"], value["type"], value["value"]) == ("losses", "MSELoss", 4)


def test_a_scalar_is_saved_at_every_step_and_can_be_a_metric(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path))
    training = Training(hook=hook)
    for step in range(3):
        training.train()
        hook.save_scalar("accuracy", step / 10, sm_metric=True)
    found = finished(hook).tensor("scalar/accuracy").values(modes.TRAIN)
    assert {step: float(value) for step, value in found.items()} == {0: 0.0, 1: 0.1, 2: 0.2}
    metrics = [record for record in records.read(tmp_path / "records") if record.kind == "metric"]
    assert [(one.name, one.mode, one.step, one.value) for one in metrics] == [
        ("accuracy", "train", step, step / 10) for step in range(3)
    ]


def test_a_tensor_follows_the_steps_of_its_collection(tmp_path: Path) -> None:
    hook = smd.Hook(out_dir=str(tmp_path), save_config=smd.SaveConfig(save_interval=100))
    hook.get_collection("often").save_config = smd.SaveConfig(save_interval=2)
    training = Training(hook=hook)
    for _ in range(5):
        training.train()
        hook.save_tensor("mine", torch.ones(2), collections_to_write="often")
        hook.save_tensor("seldom", [1.0, 2.0])
    trial = finished(hook)
    assert trial.tensor("mine").steps(modes.TRAIN) == [0, 2, 4]
    assert trial.tensor("seldom").steps(modes.TRAIN) == [0]


# ---- what vizsla's rules read


def test_records_have_the_statistics_of_the_rules(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    training = Training(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sigmoid(), nn.Linear(4, 2)), hook)
    training.train(2)
    trial = finished(hook)
    weights = saved(tmp_path, "Sequential_0.weight")
    assert [value.get("previous_step") for value in weights] == [None, 0]
    before, now = (trial.tensor("Sequential_0.weight").value(step) for step in (0, 1))
    assert weights[1]["change_abs_mean"] == pytest.approx(np.abs(now - before).mean(), rel=1e-5)
    assert weights[0]["abs_mean"] == pytest.approx(np.abs(before).mean(), rel=1e-6)
    assert {"p5", "p95"} <= set(saved(tmp_path, "gradient/Sequential_0.weight")[0])
    relu = saved(tmp_path, "1_output_0")[0]
    assert (relu["collection"], relu["type"]) == ("activation_outputs", "ReLU")
    assert relu["active"] == pytest.approx((trial.tensor("1_output_0").value(0) > 0).mean(axis=0).tolist())
    assert "cdf:0" in saved(tmp_path, "2_input_0")[0]
    inputs = saved(tmp_path, "Sequential_input_0")[0]
    assert (inputs["collection"], inputs["samples"], len(inputs["channel_mean"])) == ("inputs", PHOTOS, 3)
    loss = saved(tmp_path, "CrossEntropyLoss_output_0")[0]
    assert (loss["collection"], loss["type"]) == ("losses", "CrossEntropyLoss")
    assert loss["value"] == float(trial.tensor("CrossEntropyLoss_output_0").value(0))


def test_raw_tensors_lie_beside_the_records(tmp_path: Path) -> None:
    hook = everything(tmp_path)
    training = Training(hook=hook)
    training.train()
    training.evaluate()
    hook.close()
    files = {str(record.file) for record in records.read(tmp_path / "records") if record.file}
    assert files == {"tensors/train/000000000.safetensors", "tensors/eval/000000000.safetensors"}
    assert all((tmp_path / file).is_file() for file in files)
    assert create_trial(str(tmp_path)).tensor("fc_output_0").value(0, modes.EVAL).shape == (PHOTOS, 2)
