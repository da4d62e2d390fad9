"""DeadRelu and SaturatedActivation: by what a module is, and by name only where the user gives one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.rules.making import PLAN, judge, tensor
from vizsla.analysis.rules import Context
from vizsla.analysis.rules.activations import share_up_to
from vizsla.records import Record

EDGES = ("-23", "-16.99999", "-9.4999", "-5", "0", "5", "9.4999", "16.99999", "23")


def relu(active: list[float], name: str = "1_output_0", step: int = 3, kind_of: str = "ReLU6") -> Record:
    return tensor(name, step, "activation_outputs", kind_of=kind_of, active=active, zeros=0.5)


def test_a_layer_with_most_units_dead() -> None:
    found = judge("dead_relu", [relu([0.0, 0.009, 0.0, 0.5])])
    assert (found.status, found.findings[0].measured["percent"]) == ("IssuesFound", 75)
    assert "3 of 4 units of 1_output_0 are dead at step 3" in found.findings[0].message


@pytest.mark.parametrize("active", [[0.0, 0.0, 0.5, 0.5], [0.01, 0.01, 0.01, 0.0]])
def test_half_of_them_dead_is_allowed_and_one_percent_is_alive(active: list[float]) -> None:
    assert judge("dead_relu", [relu(active)]).status == "NoIssuesFound"


def test_a_relu_may_have_any_name_unless_one_is_asked_for() -> None:
    dead, alive = relu([0.0], "features.relu_output_0"), relu([0.9], "act1_output_0")
    assert judge("dead_relu", [dead, alive]).datapoints == 2
    assert judge("dead_relu:tensor_regex=act1", [dead, alive]).status == "NoIssuesFound"
    missed = judge("dead_relu:tensor_regex=relu7_output", [dead, alive])
    assert (missed.status, "no" in missed.reason.lower()) == ("NotApplicable", True)


def test_where_there_is_no_relu_nothing_is_said() -> None:
    found = judge("dead_relu", [tensor("act_output_0", 0, "activation_outputs", kind_of="GELU", zeros=0.9)])
    assert (found.status, "torch.relu" in found.reason) == ("NotApplicable", True)


FROZEN, LIVING = relu([0.0], "stem_output_0", step=0), "head_output_0"


def test_frozen_layers_of_the_classifier_are_left_out_and_said() -> None:
    living = [relu([0.5], LIVING, step=step) for step in range(3)]
    found = judge("dead_relu", [FROZEN, *living], Context(settings=PLAN))
    assert (found.status, found.datapoints) == ("NoIssuesFound", 3)
    assert "not trained, because recorded at no two saved steps: stem." in found.reason
    for settings in (None, PLAN | {"train_from": "all"}):
        assert judge("dead_relu", [FROZEN, *living], Context(settings=settings)).triggered == 1


def test_a_resumed_job_looks_at_frozen_layers_again() -> None:
    steps = [relu([0.5], LIVING, step=step) for step in (0, 10, 20, 30)]
    again = relu([0.0], "stem_output_0", step=20)
    found = judge("dead_relu", [FROZEN, *steps[:2], again, *steps[2:]], Context(settings=PLAN))
    assert found.status == "NoIssuesFound"


def test_a_trained_layer_that_was_dead_from_the_first_step_on_is_accused_of_all() -> None:
    dead = [relu([0.0], LIVING, step=step) for step in range(3)]
    found = judge("dead_relu", [FROZEN, *dead], Context(settings=PLAN))
    assert [finding.step for finding in found.findings] == [0, 1, 2]


def test_where_all_layers_are_frozen_there_is_nothing_to_judge() -> None:
    found = judge("dead_relu", [FROZEN], Context(settings=PLAN | {"train_from": "head"}))
    assert (found.status, "not trained" in found.reason) == ("NotApplicable", True)


def squashed(*units: dict[str, float], kind_of: str = "Tanh", name: str = "2_input_0") -> Record:
    """Inputs of units; each says the share of its inputs up to the edges from which on it changes."""
    shares = {}
    for edge in EDGES:
        shares[f"cdf:{edge}"] = [
            max((share for at, share in unit.items() if float(at) <= float(edge)), default=0.0) for unit in units
        ]
    return tensor(name, 0, "activation_inputs", kind_of=kind_of, **shares)


INSIDE, BELOW, ABOVE = {"5": 1.0}, {"-16.99999": 1.0}, {"23": 1.0}


@pytest.mark.parametrize(
    ("units", "kind_of", "status"),
    [
        ((BELOW, ABOVE, INSIDE), "Tanh", "IssuesFound"),
        ((BELOW, ABOVE, INSIDE, INSIDE), "Tanh", "NoIssuesFound"),
        ((BELOW, BELOW), "Sigmoid", "NoIssuesFound"),  # -17 is where tanh is flat and sigmoid is not
        ((ABOVE, ABOVE), "Sigmoid", "IssuesFound"),
        ((BELOW, BELOW), "Hardtanh", "NotApplicable"),
    ],
)
def test_a_layer_with_most_units_in_the_flat_part(
    units: tuple[dict[str, float], ...], kind_of: str, status: str
) -> None:
    assert judge("saturated_activation", [squashed(*units, kind_of=kind_of)]).status == status


def test_limits_between_the_edges_are_interpolated() -> None:
    unit = {"0": 0.0, "5": 1.0}  # inputs evenly between 0 and 5
    for limit, status in (("1", "NoIssuesFound"), ("0.04", "IssuesFound")):  # 20 % and 0.8 % of them inside
        assert judge(f"saturated_activation:threshold_tanh_max={limit}", [squashed(unit)]).status == status


def test_without_tanh_and_sigmoid_it_says_what_was_looked_for() -> None:
    found = judge("saturated_activation:tensor_regex=.*tanh_input", [squashed(BELOW)])
    assert (found.status, "tanh_input" in found.reason) == ("NotApplicable", True)
    named = squashed(BELOW, kind_of="", name="block.tanh_input_0")
    assert judge("saturated_activation:tensor_regex=.*tanh_input", [named]).status == "IssuesFound"


@given(
    shares=st.lists(st.floats(0, 1), min_size=len(EDGES), max_size=len(EDGES)).map(sorted),
    limits=st.lists(st.floats(-40, 40), min_size=2).map(sorted),
)
def test_shares_are_between_0_and_1_and_never_fall(shares: list[float], limits: list[float]) -> None:
    known = {float(edge): [share] for edge, share in zip(EDGES, shares, strict=True)}
    found = [share_up_to(known, 0, limit) for limit in limits]
    assert all(0 <= share <= 1 for share in found)
    assert all(earlier <= later + 1e-12 for earlier, later in pairwise(found))
    assert [share_up_to(known, 0, float(edge)) for edge in EDGES] == shares
