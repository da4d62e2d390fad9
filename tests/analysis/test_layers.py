"""Grids for the heat maps: which tensors they hold, in which order, and what of them fits."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.tensors import gradients, relu_outputs, tensor
from vizsla.analysis import layers
from vizsla.analysis.layers import Grid


def test_layers_come_in_the_order_of_the_network_and_steps_rising() -> None:
    found = layers.gradients(gradients({"Net_stem.weight": [0.1, 0.2], "Net_head.weight": [0.3, 0.4]}, steps=(0, 10)))
    assert found == Grid(("stem", "head"), (0, 10), ((0.1, 0.2), (0.3, 0.4)))


BACKWARD = {"Net_fc.weight": [0.3], "Net_conv2.weight": [0.2], "Net_conv1.weight": [0.1]}


def test_gradients_that_a_hook_saw_on_the_way_back_are_turned_round() -> None:
    found = gradients(BACKWARD, steps=(0,))
    in_order = Grid(("conv1", "conv2", "fc"), (0,), ((0.1,), (0.2,), (0.3,)))
    assert layers.gradients(found) == in_order
    names = ("conv1", "conv2", "fc")
    weights = [tensor(f"Net_{name}.weight", 0, "weights") for name in names]
    outputs = [tensor(f"{name}_output_0", 0, "mine") for name in names]
    assert layers.gradients([*found, *weights]) == layers.gradients([*outputs, *found]) == in_order
    alike = gradients({"Net_head.weight": [0.3], "Net_body.weight": [0.2]}, steps=(0,))
    assert layers.gradients(alike).layers == ("head", "body")  # nothing tells
    known = [*(tensor(f"Net_{name}.weight", 0, "weights") for name in ("body", "head")), *alike]
    assert layers.gradients(known).layers == ("body", "head")


def test_a_bias_has_a_row_only_where_there_is_no_weight() -> None:
    rows = {"Net_a.weight": [1.0], "Net_a.bias": [2.0], "Net_b.bias": [3.0]}
    assert layers.gradients(gradients(rows, steps=(0,))).layers == ("a", "b.bias")


def test_what_begins_all_names_is_left_out_and_nothing_else() -> None:
    rows = {"Net_a.weight": [1.0], "Other_b.weight": [2.0]}
    assert layers.gradients(gradients(rows, steps=(0,))).layers == ("Net_a", "Other_b")


def test_a_layer_that_was_not_saved_at_a_step_has_a_gap() -> None:
    found = layers.gradients(gradients({"Net_a.weight": [1.0, 2.0], "Net_b.weight": [3.0]}, steps=(0, 1)))
    assert found.values == ((1.0, 2.0), (3.0, None))


def test_training_is_shown_and_evaluation_is_not() -> None:
    found = [
        tensor("act_output_0", step, "activation_outputs", mode=mode, type="GELU", abs_mean=value)
        for mode, step, value in (("train", 0, 1.0), ("eval", 0, 9.0), ("eval", 1, 9.0))
    ]
    assert layers.activations(found) == Grid(("act",), (0,), ((1.0,),))


def test_a_script_that_says_no_mode_is_shown() -> None:
    found = [tensor("gradient/Net_a.weight", 3, "gradients", mode="global", abs_mean=0.5)]
    assert layers.gradients(found).steps == (3,)


def test_a_channel_is_active_from_one_percent_of_its_outputs_on() -> None:
    found = layers.active_channels(relu_outputs({"act": [[0.5, 0.01, 0.0099, 0.0]]}, steps=(0,)))
    assert found.values == ((0.5,),)


def test_layers_that_cut_off_and_those_that_do_not_are_kept_apart() -> None:
    smooth = tensor("silu_output_0", 0, "activation_outputs", type="SiLU", abs_mean=0.3)
    found = [*relu_outputs({"relu": [[1.0]]}, steps=(0,)), smooth]
    assert (layers.active_channels(found).layers, layers.activations(found).layers) == (("relu",), ("silu",))


def test_a_module_used_twice_has_two_rows() -> None:
    twice = [tensor(f"act_output_{place}", 0, "activation_outputs", type="ReLU", active=[1.0]) for place in (0, 1)]
    assert layers.active_channels(twice).layers == ("act", "act_output_1")


def test_only_a_positive_finite_number_is_a_power_of_ten() -> None:
    assert [layers.log10(value) for value in (100.0, 0.0, math.inf, math.nan, None)] == [2.0, None, None, None, None]


@given(st.integers(0, 300), st.integers(2, 120))
def test_thinning_keeps_the_ends_and_the_rows(columns: int, most: int) -> None:
    whole = Grid(("a", "b"), tuple(range(columns)), (tuple(map(float, range(columns))),) * 2)
    found = layers.thinned(whole, most)
    assert len(found.steps) <= most
    assert found.steps[:1] + found.steps[-1:] == whole.steps[:1] + whole.steps[-1:]
    assert all(row == tuple(map(float, found.steps)) for row in found.values)
