"""VanishingGradient, WeightUpdateRatio, PoorWeightInitialization: what reaches layers and what moves them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.analysis.rules.making import PLAN, judge, metric, saved_losses, tensor
from vizsla.analysis.rules import Context
from vizsla.records import Record


def gradient(layer: str, step: int, size: float) -> Record:
    return tensor(f"gradient/Net_{layer}.weight", step, "gradients", abs_mean=size, p5=-size, p95=size)


def healthy_steps(count: int) -> list[Record]:
    return [gradient(layer, step, 1e-3) for step in range(count) for layer in ("conv1", "fc")]


@pytest.mark.parametrize("rule", ["vanishing_gradient", "poor_weight_initialization"])
def test_the_classifiers_first_step_is_let_be_also_where_no_weights_are_recorded(rule: str) -> None:
    def found(at: int) -> int:
        steps = [gradient("conv1", at, 0.0), gradient("fc", at, 0.1)]
        return judge(rule, steps, Context(settings=PLAN)).triggered

    assert (found(0), found(1)) == (0, 1)


def test_a_gradient_below_the_threshold_is_named() -> None:
    found = judge(
        "vanishing_gradient",
        [gradient("conv1", 4, 9e-8), gradient("fc", 4, 0.1)],
        Context(settings=PLAN | {"weights": "none"}),
    )
    assert (found.status, found.triggered, found.datapoints) == ("IssuesFound", 1, 2)
    (finding,) = found.findings
    assert (finding.tensor, finding.step, finding.mode) == ("gradient/Net_conv1.weight", 4, "train")
    assert finding.numbers == {"abs_mean": 9e-8, "threshold": 1e-7}
    assert "Net_conv1.weight" in finding.message
    assert "step 4" in finding.message
    assert "--set weights=pretrained" in finding.cure


def test_a_gradient_at_the_threshold_is_not() -> None:
    assert judge("vanishing_gradient", [gradient("conv1", 0, 1e-7)]).status == "NoIssuesFound"


def test_own_parameters_ask_for_more_than_one_small_step() -> None:
    rule = "vanishing_gradient:patience=3,share_of_largest=0.001"
    steps = [record for step in range(6) for record in (gradient("conv1", step, 0.0), gradient("fc", step, 0.1))]
    assert judge(rule, steps).triggered == 4  # at steps 2 to 5
    assert judge(rule, steps[:4]).status == "NoIssuesFound"
    learnt = [record for step in range(6) for record in (gradient("conv1", step, 1e-9), gradient("fc", step, 1e-8))]
    assert judge(rule, learnt).status == "NoIssuesFound"


def test_a_bias_is_let_be_where_its_layer_is_reached() -> None:
    bias = tensor("gradient/Net_conv1.bias", 0, "gradients", abs_mean=1e-9)
    assert judge("vanishing_gradient", [bias, gradient("conv1", 0, 0.1)]).status == "NoIssuesFound"
    assert judge("vanishing_gradient", [bias, gradient("conv1", 0, 1e-9)]).triggered == 2
    assert judge("vanishing_gradient", [bias, gradient("fc", 0, 0.1)]).triggered == 1


def test_without_gradients_nothing_is_said() -> None:
    found = judge("vanishing_gradient", [tensor("Net_fc.weight", 0, "weights", abs_mean=0.0)])
    assert (found.status, found.datapoints) == ("NotApplicable", 0)
    assert "save the collection gradients" in found.reason


def test_a_head_that_starts_at_zero_is_let_be_in_its_first_step() -> None:
    zero = tensor("Net_fc.weight", 0, "weights", zeros=1.0)
    first = [zero, gradient("conv1", 0, 0.0), gradient("fc", 0, 0.1)]
    assert judge("vanishing_gradient", [*first, *healthy_steps(3)[2:]]).status == "NoIssuesFound"
    assert judge("vanishing_gradient", first[1:]).status == "IssuesFound"  # nobody knows why
    assert judge("vanishing_gradient", [*first, gradient("conv1", 1, 0.0)]).triggered == 1
    all_zero = [zero, gradient("conv1", 0, 0.0), gradient("fc", 0, 0.0)]
    assert judge("vanishing_gradient", all_zero).triggered == 2


def weights(step: int, change: float, before: float, name: str = "Net_fc.weight", mode: str = "train") -> Record:
    moved = {"change_abs_mean": change, "previous_abs_mean": before, "previous_step": float(step - 1)}
    return tensor(name, step, "weights", mode, **(moved if step else {}))


@pytest.mark.parametrize(
    ("change", "before", "status"),
    [(11.0, 1.0, "IssuesFound"), (1e-9, 1.0, "IssuesFound"), (9.9, 1.0, "NoIssuesFound"), (0.01, 1.0, "NoIssuesFound")],
)
def test_weights_that_move_too_much_or_not_at_all(change: float, before: float, status: str) -> None:
    assert judge("weight_update_ratio", [weights(0, 0, 0), weights(1, change, before)]).status == status


def test_frozen_and_zero_weights_have_no_ratio() -> None:
    trained = tensor("gradient/Net_fc.weight", 0, "gradients", abs_mean=0.1)
    frozen = [weights(step, 0.0, 1.0, "Net_conv1.weight") for step in range(3)]
    head = [weights(1, 0.001, 0.0), weights(2, 0.001, 0.001)]
    found = judge("weight_update_ratio", [trained, *frozen, *head])
    assert (found.status, found.datapoints) == ("NoIssuesFound", 1)
    assert judge("weight_update_ratio", frozen).status == "IssuesFound"  # no gradients: nobody knows it is frozen


def test_weights_without_a_gradient_cannot_move() -> None:
    gradients = [gradient("conv1", 0, 0.0), gradient("fc", 0, 0.1)]
    stays = [weights(1, 0.0, 1.0, "Net_conv1.weight"), weights(1, 0.1, 1.0)]
    assert judge("weight_update_ratio", [*gradients, *stays]).status == "NoIssuesFound"
    assert judge("weight_update_ratio", [gradient("conv1", 0, 0.1), *stays]).status == "IssuesFound"


def test_global_weights_count_where_there_are_no_training_ones() -> None:
    assert judge("weight_update_ratio", [weights(1, 20.0, 1.0, mode="global")]).status == "IssuesFound"
    both = [weights(1, 0.1, 1.0), weights(1, 20.0, 1.0, mode="global")]
    assert judge("weight_update_ratio", both).status == "NoIssuesFound"


def test_weights_saved_once_or_too_far_apart_are_not_judged() -> None:
    assert judge("weight_update_ratio", [weights(0, 0, 0)]).status == "NotApplicable"
    far = tensor("Net_fc.weight", 9, "weights", change_abs_mean=20.0, previous_abs_mean=1.0, previous_step=0)
    assert judge("weight_update_ratio:num_steps=9", [far]).status == "IssuesFound"
    found = judge("weight_update_ratio:num_steps=8", [far])
    assert (found.status, "num_steps=8" in found.reason) == ("NotApplicable", True)


@given(pair=arrays(np.float64, (2, 5), elements=st.floats(-1e3, 1e3)))
def test_the_ratio_is_numpys(pair: np.ndarray) -> None:
    before, now = pair
    record = weights(1, float(np.abs(now - before).mean()), float(np.abs(before).mean()))
    found = judge("weight_update_ratio:large_threshold=0,small_threshold=0", [record])
    expected = np.abs(now - before).mean() / (np.abs(before).mean() + 1e-9)
    measured = [finding.measured["ratio"] for finding in found.findings]
    assert measured == pytest.approx([expected] if expected > 0 and np.abs(before).mean() > 0 else [])


def inputs(step: int, *variances: float) -> list[Record]:
    return [
        tensor(f"layer{at}.act_input_0", step, "activation_inputs", kind_of="ReLU6", variance=variance)
        for at, variance in enumerate(variances)
    ]


FALLING = saved_losses([1 / (step + 1) for step in range(20)])


def test_variances_that_differ_between_layers_are_poor() -> None:
    found = judge("poor_weight_initialization", [*inputs(0, 1.0, 5.0, 10.1), *FALLING])
    assert (found.status, found.triggered) == ("IssuesFound", 1)
    assert found.findings[0].measured["times"] == pytest.approx(10.1)
    assert judge("poor_weight_initialization", [*inputs(0, 1.0, 5.0, 10.0), *FALLING]).status == "NoIssuesFound"


@pytest.mark.parametrize("variances", [(0.0, 1.0), (0.0, 0.0), (float("inf"), 1.0), (float("nan"), 1.0)])
def test_layers_that_let_nothing_through_are_poor(variances: tuple[float, float]) -> None:
    assert judge("poor_weight_initialization", inputs(0, *variances)).status == "IssuesFound"


def test_a_gradient_without_spread_is_poor() -> None:
    found = judge("poor_weight_initialization", [*FALLING, gradient("conv1", 0, 0.0004)])
    assert found.status == "IssuesFound"
    assert found.findings[0].measured["range"] == pytest.approx(0.0008)
    assert judge("poor_weight_initialization", [*FALLING, gradient("conv1", 0, 0.0006)]).status == "NoIssuesFound"


def test_gradients_that_are_all_small_may_be_those_of_photos_already_learnt() -> None:
    rule = "poor_weight_initialization:share_of_largest=1e-6"
    learnt = [gradient("conv1", 5, 1e-9), gradient("fc", 5, 1e-8)]
    assert judge("poor_weight_initialization", learnt).triggered == 2
    assert judge(rule, learnt).status == "NoIssuesFound"
    assert judge(rule, [gradient("conv1", 5, 0.0), gradient("fc", 5, 0.0)]).status == "NoIssuesFound"
    assert judge(rule, [gradient("conv1", 5, 1e-9), gradient("fc", 5, 0.1)]).triggered == 1


def test_a_loss_without_a_new_low_is_poor() -> None:
    flat = saved_losses([1.0, 1.0, 1.1, 1.2, 1.0, 1.3, 1.0])
    assert judge("poor_weight_initialization", flat).triggered == 2  # five and six steps after the first
    assert judge("poor_weight_initialization", flat[:5]).status == "NoIssuesFound"


def test_only_the_first_steps_count() -> None:
    late = [*inputs(10, 1.0, 1e9), gradient("conv1", 10, 0.0), *saved_losses([1.0] * 30)[10:]]
    assert judge("poor_weight_initialization", late).status == "NotApplicable"


def test_the_loss_may_be_left_out() -> None:
    flat = saved_losses([1.0] * 20)
    assert judge("poor_weight_initialization:patience=10", flat).status == "NotApplicable"
    found = judge("poor_weight_initialization:patience=10", [*inputs(0, 1.0, 1.0), *flat])
    assert (found.status, found.reason.count("losses")) == ("NoIssuesFound", 0)


def test_blocks_that_start_at_zero_pass_nothing_on() -> None:
    """The last scale of each block of a residual network starts at zero; at step 1 it has a gradient, and moves."""
    scale = tensor("Net_block.bn2.weight", 1, "weights", zeros=1.0)
    step = [scale, gradient("block.bn2", 1, 0.1), gradient("block.conv1", 1, 0.0), gradient("fc", 1, 0.1)]
    for rule in ("poor_weight_initialization", "vanishing_gradient"):
        assert judge(rule, step).status == "NoIssuesFound"
        assert judge(rule, step[1:]).status == "IssuesFound"


def test_a_bias_may_have_no_gradient() -> None:
    bias = tensor("gradient/Net_conv1.bias", 0, "gradients", p5=0.0, p95=0.0)
    assert judge("poor_weight_initialization", [*FALLING, bias]).status == "NoIssuesFound"


def test_what_was_not_saved_is_said() -> None:
    assert "activation inputs, gradients" in judge("poor_weight_initialization", FALLING).reason
    nothing = judge("poor_weight_initialization", [metric("valid_loss", 1.0, "eval", 0, 1)])
    assert nothing.status == "NotApplicable"
