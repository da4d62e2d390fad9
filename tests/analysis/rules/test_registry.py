"""What a user types: names of rules and their parameters."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizsla import keys
from vizsla.analysis.rules import PROFILER, RULES, TENSOR_RULES, distinct, find, make, parse, snake
from vizsla.errors import UserError
from vizsla.job import PROFILER_RULES, RuleRequest

NAMED = {  # as the issue names them
    *("VanishingGradient", "ExplodingTensor", "Overfit", "Overtraining", "PoorWeightInitialization"),
    *("LossNotDecreasing", "WeightUpdateRatio", "DeadRelu", "SaturatedActivation", "AllZero", "UnchangedTensor"),
    *("TensorVariance", "ClassImbalance", "Confusion", "CheckInputImages", "SimilarAcrossRuns", "StalledTrainingRule"),
}


def test_every_rule_is_there() -> None:
    assert {rule.__name__ for rule in TENSOR_RULES} == NAMED
    assert {rule.__name__ for rule in PROFILER} == PROFILER_RULES  # a job asks these from outside


@pytest.mark.parametrize("rule", RULES, ids=snake)
def test_a_rule_is_found_by_both_spellings(rule: type) -> None:
    name = rule.__name__
    assert {find(name), find(snake(rule)), find(snake(rule).replace("_", "-")), find(name.upper())} == {rule}


def test_sagemakers_words_are_taken() -> None:
    assert [snake(find(name)) for name in ("stalled_training_rule", "StalledTraining", "dead_relu", "overfit")] == [
        *("stalled_training_rule", "stalled_training_rule", "dead_relu", "overfit")
    ]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("overfitt", "overfit"), ("vanishing_grad", "vanishing_gradient"), ("LossNotDecrease", "loss_not_decreasing")],
)
def test_an_unknown_rule_names_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean {meant}\\?") as refused:
        parse(typed)
    assert "all_zero" in refused.value.hint


@pytest.mark.parametrize(
    "name", ["nlp_sequence_ratio", "CreateXgboostReport", "feature_importance_overweight", "tree_depth"]
)
def test_a_rule_of_sagemakers_that_is_not_here_is_named_as_such(name: str) -> None:
    with pytest.raises(UserError, match=f"^{name} is a rule of SageMaker's that vizsla does not have"):
        parse(f"{name}:threshold=1")


@pytest.mark.parametrize("action", ["", "command", "command ''", "stop now", "mail", "command 'x"])
def test_an_action_that_does_nothing_is_refused(action: str) -> None:
    with pytest.raises(UserError, match=r"^action="):
        parse(f"overfit:action={action}")


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Overfit has no parameter 'ratio_treshold'") as refused:
        parse("overfit:ratio_treshold=0.2")
    assert "Did you mean ratio_threshold?" in refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        *("overfit:patience=0", "overfit:patience=two", "overfit:ratio_threshold=nan", "overfit:ratio_threshold=-1"),
        *("loss_not_decreasing:diff_percent=100", "loss_not_decreasing:mode=OTHER", "dead_relu:threshold_layer=101"),
        *("exploding_tensor:tensor_regex=(", "exploding_tensor:only_nan=perhaps", "confusion:category_no=1"),
        *("loss_not_decreasing:use_losses_collection=false", "weight_update_ratio:small_threshold=11"),
        "tensor_variance:tensor_regex=x,max_threshold=1,min_threshold=2",
        *("all_zero", "unchanged_tensor", "tensor_variance:tensor_regex=x", "similar_across_runs"),
        *(
            "saturated_activation:threshold_tanh_min=10",
            "stalled_training_rule:threshold=0",
            "class_imbalance:samples=0",
        ),
    ],
)
def test_what_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UserError) as refused:
        parse(text)
    assert find(text.split(":", maxsplit=1)[0]).__name__ in refused.value.message
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", ["overfit:0.2", "overfit:=3", "overfit:patience=1,patience=2"])
def test_what_is_no_parameter_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="overfit"):
        parse(text)


def test_values_are_strings_and_become_what_they_mean() -> None:
    request = parse("vanishing-gradient: threshold=1e-6, share-of-largest=0.3")
    assert request == RuleRequest(
        name="VanishingGradient", rule="VanishingGradient", parameters={"threshold": "1e-6", "share-of-largest": "0.3"}
    )
    parameters = make(request).parameters.model_dump()
    assert (parameters["threshold"], parameters["share_of_largest"]) == (1e-6, 0.3)


@pytest.mark.parametrize(("text", "meant"), [("True", True), ("true", True), ("FALSE", False), ("False", False)])
def test_booleans_in_any_case(text: str, meant: bool) -> None:
    rule = make(parse(f"exploding_tensor:only_nan={text}"))
    assert rule.parameters.model_dump()["only_nan"] is meant


def test_none_is_nothing() -> None:
    assert make(parse("weight_update_ratio:num_steps=None")).parameters.model_dump()["num_steps"] is None


def test_what_sagemaker_adds_is_dropped() -> None:
    made = make(RuleRequest(name="mine", rule="Overfit", parameters={"rule_to_invoke": "Overfit", "base_trial": "x"}))
    assert made.parameters == make(parse("overfit")).parameters


def test_a_regular_expression_may_have_commas() -> None:
    request = parse("exploding_tensor:tensor_regex=conv.{1,3}w,fc(a,b),only_nan=true")
    assert request.parameters == {"tensor_regex": "conv.{1,3}w,fc(a,b)", "only_nan": "true"}


def test_rules_asked_for_twice_are_told_apart() -> None:
    named = distinct([parse("overfit"), parse("overfit:patience=3"), parse("confusion")])
    assert [request.name for request in named] == ["Overfit", "Overfit-2", "Confusion"]


@pytest.mark.parametrize("rule", RULES, ids=snake)
def test_each_rule_says_what_it_is(rule: type) -> None:
    assert find(rule.__name__).meaning
    assert find(rule.__name__).advice
    assert find(rule.__name__).looks_at
    declared = keys.declared(find(rule.__name__).Parameters)
    assert declared
    assert all(key.help for key in declared)
    for used in re.findall(r"`(\w+)`", find(rule.__name__).meaning):
        assert used in {key.name for key in declared}


@given(
    patience=st.integers(1, 10**6),
    ratio=st.floats(0, 1e6),
    regex=st.text(st.sampled_from("abc.*x1{}()[],|^$_"), max_size=12),
)
def test_what_is_parsed_is_what_was_written(patience: int, ratio: float, regex: str) -> None:
    written = {"patience": str(patience), "ratio_threshold": repr(ratio), "tensor_regex": regex}
    try:
        request = parse("overfit:" + ",".join(f"{name}={value}" for name, value in written.items()))
    except UserError as refused:
        assert "regular expression" in refused.message  # noqa: PT017 - only that can be wrong with it
        return
    assert request.parameters == written
    values = make(request).parameters.model_dump()
    assert (values["patience"], values["ratio_threshold"]) == (patience, ratio)
