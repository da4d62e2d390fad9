"""Which trials are stopped before their end, and when a sweep ends."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizsla.errors import UserError
from vizsla.tuning.search import Direction, State, Tried
from vizsla.tuning.stopping import Hyperband, Median, WarmUp, give_up, median_rule

NONE = WarmUp(jobs=1, epochs=1)
DIRECTIONS: tuple[Direction, Direction] = ("minimize", "maximize")
CURVES = st.lists(st.lists(st.floats(-1e6, 1e6), max_size=5), max_size=8)


def trial(number: int, *curve: float, state: State = "InProgress") -> Tried:
    """A trial with these objectives after its epochs."""
    objective = None if state == "InProgress" or not curve else curve[-1]
    return Tried(number, {}, objective, state, curve)


def slow_median_rule(value: float, epoch: int, earlier: Sequence[Sequence[float]], direction: Direction) -> bool:
    """AWS's three steps, word by word: value; running averages and their median; worse or not."""
    averages = []
    for curve in earlier:
        if len(curve) < epoch:
            continue
        total = 0.0
        for at in range(epoch):
            total += curve[at]
        averages.append(total / epoch)
    if not averages:
        return False
    averages.sort()
    middle = len(averages) // 2
    median = averages[middle] if len(averages) % 2 else (averages[middle - 1] + averages[middle]) / 2
    if math.isclose(value, median, rel_tol=1e-9, abs_tol=1e-6):
        return median_rule(value, epoch, earlier, direction, NONE)  # rounding decides, not the rule
    return value > median if direction == "minimize" else value < median


@given(st.floats(-1e6, 1e6), st.integers(1, 5), CURVES, st.sampled_from(DIRECTIONS))
def test_the_median_rule_is_awss(value: float, epoch: int, earlier: list[list[float]], direction: Direction) -> None:
    assert median_rule(value, epoch, earlier, direction, NONE) == slow_median_rule(value, epoch, earlier, direction)


def test_the_value_itself_is_held_against_the_others_averages() -> None:
    earlier = [(1.0, 0.2), (1.1, 0.1), (0.9, 0.3)]  # averages up to epoch 2: 0.6; values at epoch 2: 0.2
    assert not median_rule(0.5, 2, earlier, "minimize")
    assert median_rule(0.7, 2, earlier, "minimize")
    assert not median_rule(0.7, 2, earlier, "maximize")
    assert median_rule(0.5, 2, earlier, "maximize")


def test_only_epochs_up_to_the_trials_own_are_averaged() -> None:
    earlier = [(1.0, 1.0, 0.1, 0.1)] * 3
    assert not median_rule(0.9, 2, earlier, "minimize")
    assert median_rule(0.9, 4, earlier, "minimize")


def test_a_tie_goes_on() -> None:
    assert not median_rule(0.5, 2, [(0.5, 0.5)] * 3, "minimize")
    assert not median_rule(0.5, 2, [(0.5, 0.5)] * 3, "maximize")


def test_before_the_warm_up_nothing_is_stopped() -> None:
    good = (0.1, 0.1)
    assert not median_rule(9.0, 1, [good] * 3, "minimize")
    assert not median_rule(9.0, 2, [good] * 2, "minimize")
    assert not median_rule(9.0, 2, [good, good, (0.1,)], "minimize")
    assert median_rule(9.0, 2, [good] * 3, "minimize")
    assert median_rule(9.0, 1, [good], "minimize", NONE)
    assert not median_rule(9.0, 1, [], "minimize", WarmUp(jobs=0, epochs=1))


def test_a_trial_that_diverges_is_stopped_and_does_not_spoil_the_median() -> None:
    for direction in DIRECTIONS:
        assert median_rule(math.nan, 2, [(0.5, 0.5)] * 3, direction)
        assert not median_rule(0.5, 2, [(0.5, math.nan), (0.5, 0.5), (0.5, 0.5)], direction)
    assert median_rule(math.inf, 2, [(0.5, 0.5)] * 3, "maximize")


def test_a_trial_is_held_against_those_that_ended_and_did_not_fail() -> None:
    poor = trial(4, 0.9, 0.9)
    good = [trial(number, 0.1, 0.1, state="Completed") for number in (1, 2)]
    rule = Median()
    assert rule.should_stop(poor, [*good, trial(3, 0.1, 0.1, state="Stopped"), poor], "minimize")
    assert rule.should_stop(poor, [*good, trial(5, 0.1, 0.1, state="Completed")], "minimize")
    assert not rule.should_stop(poor, [*good, trial(3, 0.1, 0.1, state="Failed"), poor], "minimize")
    assert not rule.should_stop(poor, [*good, trial(3, 0.1, 0.1), poor], "minimize")
    itself_as_ended = trial(4, 0.1, 0.1, state="Completed")
    assert not rule.should_stop(poor, [*good, itself_as_ended], "minimize")


def test_every_epoch_counts_that_went_by_since_the_last_look_and_none_twice() -> None:
    good = [trial(number, 0.1, 0.1, state="Completed") for number in (1, 2, 3)]
    quick = trial(4, 0.9, 0.9, 0.9, 0.9)  # by now further than any trial to compare it with
    assert Median().should_stop(quick, good, "minimize")
    assert not Median().should_stop(quick, good, "minimize", judged=2)


def test_a_trial_without_an_epoch_is_not_stopped() -> None:
    ended = [trial(number, 0.1, state="Completed") for number in (1, 2, 3)]
    assert not Median(WarmUp(jobs=1, epochs=0)).should_stop(trial(4), ended, "minimize")


def test_hyperband_compares_after_the_least_epochs_and_then_three_times_as_many() -> None:
    rule = Hyperband(1, 9)
    assert [rule.bracket(number) for number in range(1, 19)] == [0] * 9 + [1] * 5 + [2] * 3 + [0]
    assert rule.rungs(1) == [1, 3]
    assert rule.rungs(10) == [3]
    assert rule.rungs(15) == []
    assert Hyperband(2, 20).rungs(1) == [2, 6, 18]
    assert Hyperband(2, 18).rungs(1) == [2, 6]
    assert Hyperband(4, 4).rungs(1) == []


@pytest.mark.parametrize("epochs", [(0, 9), (-1, 1), (5, 4)])
def test_hyperband_refuses_epochs_that_make_no_sense(epochs: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="hyperband cannot go"):
        Hyperband(*epochs)


def test_at_a_rung_the_best_third_goes_on() -> None:
    rule = Hyperband(1, 9)
    trials = [trial(number, number / 10) for number in range(1, 7)]
    assert [rule.should_stop(each, trials, "minimize") for each in trials] == [False] * 2 + [True] * 4
    assert [rule.should_stop(each, trials, "maximize") for each in trials] == [True] * 4 + [False] * 2


def test_a_trial_that_passed_early_is_stopped_when_better_ones_come() -> None:
    rule = Hyperband(1, 9)
    first = trial(1, 0.5, 0.4)
    assert not rule.should_stop(first, [first, trial(2, 0.2)], "minimize")
    assert rule.should_stop(first, [first, trial(2, 0.2), trial(3, 0.9)], "minimize")


def test_at_a_later_rung_only_that_rung_counts() -> None:
    rule = Hyperband(1, 9)
    late = trial(1, 0.9, 0.8, 0.1)
    others = [trial(2, 0.1, 0.1, 0.5), trial(3, 0.1, 0.1, 0.6), trial(4, 0.1), trial(5, 0.1)]
    assert not rule.should_stop(late, [late, *others], "minimize")


def test_brackets_are_not_compared_with_each_other() -> None:
    rule = Hyperband(1, 9)
    poor = trial(10, 0.9, 0.9, 0.9)  # the first of bracket 1
    assert not rule.should_stop(poor, [trial(number, 0.1, 0.1, 0.1) for number in range(1, 10)], "minimize")
    assert rule.should_stop(poor, [trial(number, 0.1, 0.1, 0.1) for number in (11, 12)], "minimize")


def test_a_diverged_trial_is_stopped_at_its_rung() -> None:
    diverged = trial(1, math.nan)
    others = [trial(2, 0.5), trial(3, 0.6)]
    for direction in DIRECTIONS:
        assert Hyperband(1, 9).should_stop(diverged, others, direction)


@given(
    st.integers(1, 5), st.integers(0, 20), st.lists(st.lists(st.floats(allow_infinity=False), max_size=27), max_size=30)
)
def test_hyperband_never_stops_below_the_least_epochs_nor_the_best(
    least: int, more: int, curves: list[list[float]]
) -> None:
    rule = Hyperband(least, least + more)
    trials = [trial(number, *curve) for number, curve in enumerate(curves, 1)]
    for each in trials:
        stop = rule.should_stop(each, trials, "minimize")
        assert not (stop and len(each.curve) < least)
        assert stop == rule.should_stop(each, trials[::-1], "minimize")
        best_everywhere = all(
            own <= other.curve[at] for other in trials for at, own in enumerate(each.curve) if at < len(other.curve)
        )
        assert not (stop and best_everywhere)


def test_hyperband_saves_epochs_and_keeps_the_best() -> None:
    """Seventeen trials side by side, an epoch of each in turn; the lower the number drawn, the better all along."""
    rule, draw = Hyperband(1, 9), random.Random(0)
    level = {number: draw.random() for number in range(1, 18)}
    curves: dict[int, list[float]] = {number: [] for number in level}
    running = set(level)
    for epoch in range(1, 10):
        for number in sorted(running):
            curves[number].append(level[number] + 1 / epoch)
        trials = [trial(number, *curve) for number, curve in curves.items()]
        running -= {each.number for each in trials if rule.should_stop(each, trials, "minimize")}
    assert sum(map(len, curves.values())) < 0.6 * 17 * 9
    assert min(level, key=level.__getitem__) in running
    assert {15, 16, 17} <= running


def test_five_failures_before_any_success_end_a_sweep() -> None:
    failures = [trial(number, state="Failed") for number in range(1, 6)]
    assert give_up(failures[:4]) is None
    assert give_up(failures) == "The first 5 trials that ended have failed, and none has succeeded."
    assert give_up([*failures, trial(6, 0.5), trial(7, state="Stopped")]) is not None


@pytest.mark.parametrize("success", [trial(3, 0.0, state="Completed"), trial(3, 0.0, state="Stopped")])
def test_a_success_forgives_all_failures(success: Tried) -> None:
    assert give_up([*(trial(number, state="Failed") for number in (1, 2, 4, 5, 6, 7, 8)), success]) is None
