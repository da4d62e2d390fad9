"""ExplodingTensor, AllZero, TensorVariance, UnchangedTensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.analysis.rules.making import PLAN, judge, metric, tensor
from vizsla.analysis.rules import Context
from vizsla.records import Record


def saved(name: Any = "Net_fc.weight", step: Any = 0, group: Any = "weights", **value: Any) -> Record:
    return tensor(name, step, group, **{"size": 10, "nan": 0, "inf": 0, "zeros": 0.0, "variance": 1.0} | value)


# ---- exploding tensor


@pytest.mark.parametrize(
    ("rule", "value", "status"),
    [
        ("exploding_tensor", {}, "NoIssuesFound"),
        ("exploding_tensor", {"nan": 1}, "IssuesFound"),
        ("exploding_tensor", {"inf": 1}, "IssuesFound"),
        ("exploding_tensor:only_nan=True", {"inf": 1}, "NoIssuesFound"),
        ("exploding_tensor:only_nan=true", {"nan": 2, "inf": 1}, "IssuesFound"),
        ("exploding_tensor:collection_names=gradients", {"nan": 1}, "NotApplicable"),
        ("exploding_tensor:collection_names=weights", {"nan": 1}, "IssuesFound"),
        ("exploding_tensor:collection_names=gradients,tensor_regex=fc", {"nan": 1}, "IssuesFound"),
    ],
)
def test_numbers_that_are_none(rule: str, value: dict[str, int], status: str) -> None:
    assert judge(rule, [saved(**value)]).status == status


def test_how_many_are_none_is_said() -> None:
    found = judge("exploding_tensor", [saved(nan=2, inf=1)], Context(settings=PLAN))
    assert "Net_fc.weight at step 0 has 2 NaN and 1 infinite of 10 values." in found.findings[0].message
    assert "--set lr=0.001" in found.findings[0].cure


@pytest.mark.parametrize(("bad", "said"), [(math.nan, "is not a number"), (math.inf, "is infinite")])
def test_a_loss_counts_too(bad: float, said: str) -> None:
    records = [metric("train_loss", 1.0, step=0, epoch=1), metric("train_loss", bad, step=1, epoch=1)]
    found = judge("exploding_tensor", records)
    assert (found.triggered, found.datapoints) == (1, 2)
    assert said in found.findings[0].message
    assert judge("exploding_tensor:collection_names=losses", records).triggered == 1
    assert judge("exploding_tensor:collection_names=weights", records).status == "NotApplicable"


def test_other_metrics_do_not() -> None:
    assert judge("exploding_tensor", [metric("lr", math.nan)]).status == "NotApplicable"


# ---- all zero, variance


@pytest.mark.parametrize(
    ("rule", "zeros", "status"),
    [
        ("all_zero:collection_names=weights", 1.0, "IssuesFound"),
        ("all_zero:collection_names=weights", 0.99, "NoIssuesFound"),
        ("all_zero:tensor_regex=fc,threshold=50", 0.5, "IssuesFound"),
        ("all_zero:tensor_regex=conv", 1.0, "NotApplicable"),
    ],
)
def test_tensors_of_zeros(rule: str, zeros: float, status: str) -> None:
    assert judge(rule, [saved(zeros=zeros)]).status == status


def test_the_zeros_that_the_classifier_starts_with_are_left_out_and_said() -> None:
    rule, known = "all_zero:collection_names=weights", Context(settings=PLAN)
    found = judge(rule, [saved(zeros=1.0), saved(step=1)], known)
    assert (found.status, "Net_fc.weight" in found.reason) == ("NoIssuesFound", True)
    assert [each.step for each in judge(rule, [saved(zeros=1.0), saved(zeros=1.0, step=1)], known).findings] == [1]
    assert judge(rule, [saved(zeros=1.0)]).triggered == 1  # of a script nobody knows


@pytest.mark.parametrize(
    ("limits", "variance", "status"),
    [
        ("max_threshold=10", 10.1, "IssuesFound"),
        ("max_threshold=10", 10.0, "NoIssuesFound"),
        ("min_threshold=0.00001", 0.0, "IssuesFound"),
        ("max_threshold=10,min_threshold=0.00001", 1.0, "NoIssuesFound"),
    ],
)
def test_variances(limits: str, variance: float, status: str) -> None:
    assert judge(f"tensor_variance:collection_names=weights,{limits}", [saved(variance=variance)]).status == status


def test_what_was_not_saved_is_said() -> None:
    found = judge("tensor_variance:collection_names=mine,max_threshold=1", [saved()])
    assert (found.status, "mine" in found.reason) == ("NotApplicable", True)


# ---- unchanged tensor


def needed(*rtols: float) -> list[Record]:
    return [saved(step=0), *(saved(step=at + 1, needed_rtol=rtol) for at, rtol in enumerate(rtols))]


def test_the_golden_ones_fire_at_the_third_step() -> None:
    ones = [tensor("ones", step, "custom", value=1.0) for step in range(3)]
    found = judge("unchanged_tensor:collection_names=custom", ones)
    assert [finding.step for finding in found.findings] == [2]
    assert judge("unchanged_tensor:collection_names=custom", ones[:2]).status == "NoIssuesFound"


@pytest.mark.parametrize(
    ("rtols", "triggered"),
    [([0.0, 0.0], 1), ([0.0, 1e-5, 1e-6], 2), ([1e-4, 0.0], 0), ([0.0, 2e-5, 0.0], 0), ([math.inf, 0.0, 0.0], 1)],
)
def test_weights_are_compared_by_what_was_measured(rtols: list[float], triggered: int) -> None:
    assert judge("unchanged_tensor:collection_names=weights", needed(*rtols)).triggered == triggered


def test_num_steps_and_nan() -> None:
    assert judge("unchanged_tensor:collection_names=weights,num_steps=2", needed(0.0)).triggered == 1
    nan = [saved(step=step, needed_rtol=0.0, nan=1) for step in range(3)]
    assert judge("unchanged_tensor:collection_names=weights", nan).triggered == 0
    assert judge("unchanged_tensor:collection_names=weights,equal_nan=true", nan).triggered == 2


def test_statistics_alone_cannot_tell_and_say_so() -> None:
    only = [saved("act_output_0", step, "activation_outputs") for step in range(5)]
    found = judge("unchanged_tensor:collection_names=activation_outputs", only)
    assert (found.status, "save them raw" in found.reason) == ("NotApplicable", True)
    other = judge("unchanged_tensor:collection_names=weights,atol=0.1", needed(0.0, 0.0))
    assert (other.status, "atol" in other.reason) == ("NotApplicable", True)


@given(
    values=arrays(np.float64, (4, 3), elements=st.sampled_from([0.0, 1.0, 1.0000001, 1.01, math.nan])),
    nan=st.booleans(),
)
def test_raw_tensors_are_compared_as_numpy_does(values: np.ndarray, nan: bool) -> None:
    records = [tensor("mine", step, "custom", file=f"tensors/{step}.safetensors") for step in range(len(values))]
    context = Context(load=lambda record: values[record.step or 0])
    found = judge(f"unchanged_tensor:tensor_regex=mine,rtol=1e-3,equal_nan={nan}", records, context)
    expected = [
        step
        for step in range(2, len(values))
        if all(np.allclose(one, values[step], rtol=1e-3, equal_nan=nan) for one in values[step - 2 : step])
    ]
    assert [finding.step for finding in found.findings] == expected
