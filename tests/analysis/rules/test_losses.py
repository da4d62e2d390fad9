"""LossNotDecreasing, Overfit, Overtraining: the golden series of the reference, and both directions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.rules.making import PLAN, epochs, judge, metric, saved_losses, tensor
from vizsla.analysis.rules import Context, Evaluation
from vizsla.records import Record


def fired_at(found: Evaluation) -> list[int | None]:
    return [finding.step for finding in found.findings]


def test_the_golden_series_fires_at_12_only() -> None:
    losses = saved_losses([0.30, 0.33, 0.31, 0.30, 0.28], "global", every=4)
    found = judge("loss_not_decreasing:diff_percent=0", losses)
    assert fired_at(found) == [12]
    assert "was 0.3 10 steps before" in found.findings[0].message


def test_a_fall_of_less_than_asked_fires_too() -> None:
    losses = saved_losses([0.30, 0.33, 0.31, 0.30, 0.28, 0.20, 0.42], "global", every=4)
    assert fired_at(judge("loss_not_decreasing:diff_percent=20", losses)) == [12, 24]


def test_comparisons_are_where_aws_has_them() -> None:
    """Saved every 3 steps, num_steps 10: step 21 is held against 9, and the next comparison is at 33."""
    found = judge("loss_not_decreasing", saved_losses([1.0] * 14, every=3))
    assert fired_at(found) == [21, 33]


def test_a_loss_that_falls_enough_is_let_through() -> None:
    assert judge("loss_not_decreasing", saved_losses([0.99**step for step in range(40)])).status == "NoIssuesFound"


def test_a_rise_has_another_cure_than_standing_still() -> None:
    context = Context(settings=PLAN | {"lr": 0.0001})
    still = judge("loss_not_decreasing", saved_losses([1.0] * 20), context).findings[0]
    risen = judge("loss_not_decreasing", saved_losses([1.1**step for step in range(20)]), context).findings[0]
    assert "--set lr=0.01 " in still.cure
    assert "--set lr=1e-05 " in risen.cure


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_none_does_not_fall(bad: float) -> None:
    assert judge("loss_not_decreasing", saved_losses([1.0] * 10 + [bad] * 10)).status == "IssuesFound"


def test_a_loss_of_zero_cannot_fall() -> None:
    assert judge("loss_not_decreasing", saved_losses([0.0] * 30)).status == "NoIssuesFound"
    assert judge("loss_not_decreasing", saved_losses([0.0] * 15 + [1.0] * 15)).status == "IssuesFound"
    assert judge("loss_not_decreasing:by_epoch=true,num_steps=1", epochs([0.0] * 3, [0.0] * 3, 0.0)).triggered == 0


def test_training_steps_are_judged_once() -> None:
    stuck = epochs([0.693] * 4, [0.693] * 4)
    found = judge("loss_not_decreasing:mode=TRAIN,num_steps=1", stuck)
    assert [finding.message.partition(" at ")[0] for finding in found.findings] == ["train_loss"] * 3
    assert "train_loss at step 1 is 0.693, and was 0.693 1 step before" in found.findings[0].message
    named = judge("loss_not_decreasing:mode=TRAIN,num_steps=1,tensor_regex=epoch_train_loss", stuck)
    assert named.triggered == 6


def test_validations_are_counted_in_epochs() -> None:
    (first, *_) = judge("loss_not_decreasing:num_steps=1", epochs([0.5] * 3, [0.6] * 3)).findings
    assert "valid_loss at epoch 2 is 0.6, and was 0.6 1 epoch before" in first.message


def test_eval_goes_before_train_goes_before_global() -> None:
    falling = [1.0 - 0.01 * step for step in range(40)]
    flat = [1.0] * 40
    train_flat = [*saved_losses(falling, "eval"), *saved_losses(flat, "train"), *saved_losses(flat, "global")]
    assert judge("loss_not_decreasing", train_flat).status == "NoIssuesFound"
    assert judge("loss_not_decreasing:mode=TRAIN", train_flat).status == "IssuesFound"
    assert judge("loss_not_decreasing:mode=modes.EVAL", train_flat).status == "NoIssuesFound"
    too_few = [*saved_losses([1.0, 1.0], "eval"), *saved_losses(flat, "train")]
    assert judge("loss_not_decreasing", too_few).status == "IssuesFound"


def test_other_numbers_can_be_named() -> None:
    records = [tensor("scalar/perplexity", step, "scalars", value=5.0) for step in range(30)]
    assert judge("loss_not_decreasing", records).status == "NotApplicable"
    named = "loss_not_decreasing:use_losses_collection=False,tensor_regex=perplexity"
    assert judge(named, [*records, *saved_losses([1.0] * 30)]).triggered == 2  # at 19 and 29
    assert judge("loss_not_decreasing:collection_names=scalars", records).triggered == 2


def test_a_scripts_metric_is_a_loss_by_its_name() -> None:
    stuck = [metric("train:loss", 1.0, "global") for _ in range(30)]
    assert judge("loss_not_decreasing", stuck).status == "IssuesFound"
    assert (
        judge("loss_not_decreasing", [metric("accuracy", 1.0, "global") for _ in range(30)]).status == "NotApplicable"
    )


def test_losses_too_close_together_are_not_compared() -> None:
    found = judge("loss_not_decreasing", saved_losses([1.0] * 5))
    assert (found.status, "10 steps apart" in found.reason) == ("NotApplicable", True)
    assert "save them more often (save_interval)" in found.reason


BY_EPOCH = "loss_not_decreasing:by_epoch=true,mode=train,num_steps=1,enough_percent=10"


@pytest.mark.parametrize(
    ("train", "status"),
    [
        ([0.476, 0.389, 0.330, 0.331], "NoIssuesFound"),  # low already: it may rest
        ([0.692, 0.6915, 0.6913], "IssuesFound"),  # a learning rate of next to nothing
        ([0.680, 0.660, 0.640], "NoIssuesFound"),  # slow, but falling
        ([5e4, 2e4, 1e4], "IssuesFound"),  # blown up: it falls, from far above where it began
        ([0.40, 0.40, math.nan], "IssuesFound"),
    ],
)
def test_by_epoch(train: list[float], status: str) -> None:
    found = judge(BY_EPOCH, epochs(train, [0.5] * len(train)))
    assert found.status == status
    assert all(finding.epoch for finding in found.findings)


@pytest.mark.parametrize(
    ("train", "classes", "status"),
    [
        ([0.19, 0.30, 0.31], 2, "NoIssuesFound"),  # fine-tuned from a probe: it began where others end
        ([0.003, 0.010, 0.009], 120, "NoIssuesFound"),
        ([0.50, 0.60, 0.61], 2, "IssuesFound"),  # above half of ln 2
        ([2.0, 2.1, 2.2], 120, "NoIssuesFound"),
        ([2.6, 2.7, 2.8], 120, "IssuesFound"),  # above half of ln 120
    ],
)
def test_what_is_far_better_than_guessing_need_not_fall(train: list[float], classes: int, status: str) -> None:
    known = Context(classes=[f"class {index}" for index in range(classes)])
    losses = epochs(train, [0.5] * len(train), first=train[0])
    assert judge(f"{BY_EPOCH},share_of_chance=0.5", losses, known).status == status
    assert judge(BY_EPOCH, losses, known).status == "IssuesFound", "without it: it did not fall"


def test_an_epoch_is_what_lies_between_two_validations() -> None:
    stuck = in_turns([1.1, 0.9], [1.0], 3)
    found = judge("loss_not_decreasing:by_epoch=true,mode=train,num_steps=1", stuck)
    assert (found.triggered, found.datapoints) == (2, 2)
    assert "The mean training loss" in found.findings[0].message
    assert judge("overtraining:by_epoch=true,patience_train=2,patience_validation=2", stuck).triggered == 1
    alone = judge("loss_not_decreasing:by_epoch=true", saved_losses([1.0] * 9))
    assert (alone.status, "validation losses" in alone.reason) == ("NotApplicable", True)


def test_one_epoch_has_nothing_to_be_compared_with() -> None:
    found = judge(BY_EPOCH, epochs([0.6], [0.6]))
    assert (found.status, "1 epoch apart" in found.reason) == ("NotApplicable", True)


# ---- overfit


def test_a_validation_loss_above_the_training_loss_is_overfit() -> None:
    found = judge("overfit", epochs([1.0, 1.0], [1.05, 1.2]), Context(settings=PLAN))
    assert (found.status, found.triggered, found.datapoints) == ("IssuesFound", 1, 2)
    (finding,) = found.findings
    assert finding.epoch == 2
    assert finding.measured["ratio"] == pytest.approx(0.2)
    assert "--set train_from=head" in finding.cure
    assert "--set dropout=0.4" in finding.cure


@pytest.mark.parametrize(("text", "status"), [("0.2", "NoIssuesFound"), ("0.19", "IssuesFound")])
def test_the_threshold_is_what_the_user_says(text: str, status: str) -> None:
    assert judge(f"overfit:ratio_threshold={text}", epochs([1.0], [1.195])).status == status


def test_patience_counts_comparisons_in_a_row() -> None:
    losses = epochs([1.0] * 6, [2.0, 2.0, 1.0, 2.0, 2.0, 2.0])
    assert judge("overfit:patience=3", losses).triggered == 1
    assert judge("overfit:patience=4", losses).triggered == 0


def test_start_step_is_a_training_step() -> None:
    losses = epochs([1.0] * 4, [2.0] * 4)  # one training step an epoch
    assert [finding.epoch for finding in judge("overfit:start_step=2", losses).findings] == [3, 4]


def in_turns(train: list[float], valid: list[float], turns: int) -> list[Record]:
    """Turns of training and validation as a script with a hook has them; steps count within their mode."""
    found = []
    for turn in range(turns):
        modes = (("train", train), ("eval", valid))
        found += [
            tensor("CrossEntropyLoss_output_0", turn * len(values) + at, "losses", mode, value=value)
            for mode, values in modes
            for at, value in enumerate(values)
        ]
    return found


def test_saved_losses_are_compared_turn_by_turn() -> None:
    found = judge("overfit", in_turns([1.0, 3.0], [1.0, 2.0, 6.0], 3))  # means 2 and 3
    assert (found.triggered, found.datapoints) == (3, 3)
    assert found.findings[0].measured["ratio"] == pytest.approx(0.5)


def test_a_rise_may_be_asked_for_as_well() -> None:
    rule = "overfit:ratio_threshold=0.5,rise_percent=15"
    assert judge(rule, epochs([0.5, 0.2, 0.1], [0.4, 0.4, 0.42])).status == "NoIssuesFound"
    assert judge(rule, epochs([0.5, 0.2, 0.1], [0.4, 0.4, 0.5])).triggered == 1


def test_a_least_gap_may_be_asked_for_as_well() -> None:
    assert judge("overfit:least_gap=0.2", epochs([0.01], [0.4])).triggered == 1
    assert judge("overfit:least_gap=0.2", epochs([0.001], [0.1])).triggered == 0


def test_a_scripts_metrics_are_told_apart_by_their_names() -> None:
    lines = [("train_loss", 1.0), ("average test loss", 1.5), ("train_loss", 0.5), ("average test loss", 1.5)]
    assert judge("overfit", [metric(name, value, "global") for name, value in lines]).triggered == 2


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "No training and no validation losses"),
        (saved_losses([1.0]), "Only training losses"),
        (saved_losses([1.0]), "with vizsla.debugger.watch, evaluate too, after model.eval()"),
        (saved_losses([1.0], "eval"), "Only validation losses"),
        (saved_losses([1.0], "global"), "No training and no validation losses"),
    ],
)
@pytest.mark.parametrize("rule", ["overfit", "overtraining"])
def test_both_losses_are_needed(rule: str, records: list[Record], said: str) -> None:
    found = judge(rule, records)
    assert (found.status, said in found.reason) == ("NotApplicable", True)


@given(train=st.lists(st.floats(0.01, 10), min_size=1, max_size=8), above=st.floats(0, 5))
def test_overfit_is_the_documented_ratio(train: list[float], above: float) -> None:
    found = judge("overfit:ratio_threshold=0", epochs(train, [value * (1 + above) for value in train]))
    assert found.datapoints == len(train)
    for finding in found.findings:
        assert finding.measured["ratio"] == pytest.approx(above, abs=1e-9)


# ---- overtraining


def test_training_on_for_nothing() -> None:
    train, valid = [0.5, 0.2, *[0.1] * 12], [0.5, 0.4, *[0.5] * 12]
    rule = "overtraining:by_epoch=true"
    found = judge(rule, epochs(train, valid), Context(settings=PLAN | {"epochs": 14}))
    assert [finding.epoch for finding in found.findings] == [12, 13, 14]  # ten after the best
    assert "--set epochs=2" in found.findings[0].cure
    assert "(epoch 2)" in found.findings[0].message


def test_training_that_still_learns_is_let_be() -> None:
    valid = [0.5, *[0.6] * 14]
    assert judge("overtraining:by_epoch=true", epochs([2 - 0.1 * at for at in range(15)], valid)).triggered == 0
    assert judge("overtraining", in_turns([1.0] * 6, [1.0 / (at + 1) for at in range(12)], 1)).triggered == 0


def test_an_improvement_is_delta_or_more() -> None:
    slow = [0.5 - 0.0009 * at for at in range(12)]
    assert judge("overtraining:by_epoch=true", epochs(slow, slow)).status == "IssuesFound"
    assert judge("overtraining:by_epoch=true,delta=0", epochs(slow, slow)).status == "NoIssuesFound"
    steady = [0.5 - 0.01 * at for at in range(12)]
    assert judge("overtraining:by_epoch=true,delta=0.0099", epochs(steady, steady)).status == "NoIssuesFound"


def test_steps_are_counted_as_documented() -> None:
    stuck = [*saved_losses([1.0] * 7), *saved_losses([1.0] * 12, "eval")]
    assert fired_at(judge("overtraining", stuck)) == [10, 11]
    assert judge("overtraining:patience_train=7", stuck).status == "NoIssuesFound"
