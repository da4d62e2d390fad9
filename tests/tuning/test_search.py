"""What the search proposes: always something that can be run, always the same, and better than chance."""

from __future__ import annotations

import math
import os
import pickle
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tuning.bowl import CHOICES, SMOOTH, loss, proposed, run, sweep
from tests.tuning.spaces import spaces
from vizsla.errors import UserError
from vizsla.tuning.search import State, Strategy, Tried, WarmTrial, best, check, importance, make
from vizsla.tuning.space import Categorical, Continuous, Integer, Space, holds, parse_range, points, space

ASKED: tuple[Strategy, ...] = ("bayesian", "random", "hyperband")


def completed(number: int, point: dict[str, str], objective: float) -> Tried:
    """A trial that ran to its end."""
    return Tried(number, point, objective, "Completed")


@pytest.mark.parametrize("strategy", ASKED)
@settings(max_examples=25, deadline=None)
@given(ranges=spaces(), seed=st.integers(0, 2**40), data=st.data())
def test_every_proposal_lies_inside_the_space(
    strategy: Strategy, ranges: Space, seed: int, data: st.DataObject
) -> None:
    history: list[Tried] = []
    for number in range(1, 10):
        point = make(strategy, ranges, "maximize", seed).ask(number, history)
        assert point is not None
        assert point.keys() == ranges.keys()
        assert holds(ranges, point), point
        state: State = data.draw(st.sampled_from(["Completed", "Stopped", "Failed", "InProgress"]))
        objective = data.draw(st.none() | st.floats())
        history.append(Tried(number, point, objective, state))


def test_values_are_written_as_hyperparameters_are() -> None:
    reference = space([parse_range(text) for text in ("lr=0.001..0.01", "batch_size=64,128", "epochs=2..3")])
    point = make("random", reference, "minimize", 0).ask(1, [])
    assert point is not None
    assert point["epochs"] in {"2", "3"}
    assert point["batch_size"] in {"64", "128"}
    assert point["lr"] == repr(float(point["lr"]))


def test_random_points_lie_evenly_on_the_scale_of_a_range() -> None:
    ranges = space([parse_range(text) for text in ("log=0.0001..1.0", "even=0.0..1.0", "late=0.0..0.9999:reverselog")])
    tried = proposed(sweep("random", ranges, 60, lambda _: 0.0))
    middle = {name: statistics.median(float(point[name]) for point in tried) for name in ranges}
    assert 0.003 < middle["log"] < 0.03
    assert 0.35 < middle["even"] < 0.65
    assert 0.97 < middle["late"] < 0.997


@pytest.mark.parametrize(
    ("typed", "at"), [("x=0.9..0.99999:reverselog", 0.999), ("x=1..4096:log", 50.0), ("x=-5..5", 2.0)]
)
def test_the_model_finds_the_place_on_every_scale(typed: str, at: float) -> None:
    ranges = space([parse_range(typed)])
    found = best(sweep("bayesian", ranges, 40, lambda point: abs(float(point["x"]) - at)), "minimize")
    assert found is not None
    assert float(found.hyperparameters["x"]) == pytest.approx(at, rel=0.05, abs=0.0003)


@pytest.mark.parametrize("strategy", ASKED)
def test_the_same_sweep_proposes_the_same_trials_and_another_seed_others(strategy: Strategy) -> None:
    first = proposed(sweep(strategy, SMOOTH, 12, loss, seed=3))
    assert proposed(sweep(strategy, SMOOTH, 12, loss, seed=3)) == first
    other = proposed(sweep(strategy, SMOOTH, 12, loss, seed=4))
    assert all(point not in first for point in other)


def test_another_process_proposes_the_same_trials() -> None:
    script = """
from tests.tuning.bowl import CHOICES, SMOOTH, loss, proposed, sweep
from vizsla.tuning.search import importance
for strategy in ("bayesian", "random", "hyperband"):
    history = sweep(strategy, SMOOTH, 12, loss)
    print(proposed(history), importance(history, SMOOTH, "minimize"))
    print(proposed(sweep(strategy, CHOICES, 7, lambda point: float(point["b"]))))
print(proposed(sweep("grid", CHOICES, 6, lambda _: 0.0)))
"""
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hashing},
        )
        for hashing in ("1", "2")
    ]
    assert said[0].stdout == said[1].stdout
    assert repr(proposed(sweep("bayesian", SMOOTH, 12, loss))) in said[0].stdout
    assert said[0].stderr == ""


@pytest.mark.parametrize("strategy", ASKED)
def test_a_controller_that_comes_back_proposes_what_it_would_have(strategy: Strategy) -> None:
    history = sweep(strategy, SMOOTH, 30, loss)
    read_again: list[Tried] = pickle.loads(pickle.dumps(history))  # noqa: S301
    random.Random(0).shuffle(read_again)
    for seed in range(8):
        asked = [make(strategy, SMOOTH, "minimize", seed).ask(31, known) for known in (history, read_again)]
        assert asked[0] == asked[1]


@pytest.mark.parametrize("strategy", ASKED)
def test_a_space_means_the_same_in_any_order(strategy: Strategy) -> None:
    backwards = dict(reversed(list(SMOOTH.items())))
    assert proposed(sweep(strategy, backwards, 9, loss)) == proposed(sweep(strategy, SMOOTH, 9, loss))


def test_settings_beside_the_ranges_do_not_matter() -> None:
    history = sweep("bayesian", SMOOTH, 9, loss)
    whole = [replace(trial, hyperparameters={**trial.hyperparameters, "model": "resnet18"}) for trial in history]
    search = make("bayesian", SMOOTH, "minimize", 0)
    assert search.ask(10, whole) == search.ask(10, history)
    small = space([parse_range("a=x,y")])
    taken = [completed(1, {"a": "x", "model": "resnet18"}, 0.0)]
    assert make("grid", small, "minimize", 0).ask(2, taken) == {"a": "y"}


def test_maximizing_is_minimizing_the_negative() -> None:
    down = sweep("bayesian", SMOOTH, 15, loss)
    up = run(make("bayesian", SMOOTH, "maximize", 0), 15, lambda point: -loss(point))
    assert proposed(up) == proposed(down)


def test_random_does_not_look_at_how_trials_went() -> None:
    bowl = sweep("random", SMOOTH, 15, loss)
    assert proposed(sweep("random", SMOOTH, 15, lambda point: -loss(point))) == proposed(bowl)


def test_bayesian_beats_random_on_a_smooth_function() -> None:
    # Optuna 5.0.0: 0.037 against 0.058, a ratio of 0.64. Other tens of seeds gave 0.37 to 0.98, and 0.63 over 80 seeds.
    reached = {
        strategy: statistics.mean(
            min(loss(trial.hyperparameters) for trial in sweep(strategy, SMOOTH, 25, loss, seed)) for seed in range(10)
        )
        for strategy in ("bayesian", "random")
    }
    assert reached["bayesian"] < 0.8 * reached["random"]


@pytest.mark.parametrize("strategy", [*ASKED, "grid"])
def test_nothing_is_tried_twice_while_something_is_untried(strategy: Strategy) -> None:
    tried = proposed(sweep(strategy, CHOICES, 6, lambda point: float(point["a"] != "x")))
    assert sorted(map(repr, tried)) == sorted(map(repr, points(CHOICES)))


@pytest.mark.parametrize("strategy", ASKED)
def test_the_last_untried_value_is_found(strategy: Strategy) -> None:
    ranges = space([parse_range("n=1..40")])
    tried = proposed(sweep(strategy, ranges, 40, lambda point: float(point["n"])))
    assert {point["n"] for point in tried} == {str(n) for n in range(1, 41)}


@pytest.mark.parametrize("strategy", ASKED)
def test_when_all_is_tried_a_search_repeats_and_a_grid_ends(strategy: Strategy) -> None:
    tried = sweep(strategy, CHOICES, 6, lambda _: 0.0)
    assert make(strategy, CHOICES, "minimize", 0).ask(7, tried) in proposed(tried)
    assert make("grid", CHOICES, "minimize", 0).ask(7, tried) is None


def test_a_grid_goes_in_order_past_trials_that_run_or_failed() -> None:
    ranges = space([parse_range("a=x,y"), parse_range("b=64,128")])
    tried = [
        Tried(2, {"a": "x", "b": "128"}, None, "InProgress"),
        Tried(1, {"a": "x", "b": "64"}, None, "Failed"),
    ]
    assert make("grid", ranges, "minimize", 0).ask(3, tried) == {"a": "y", "b": "64"}


def test_a_running_trial_counts_before_it_has_a_value() -> None:
    history = sweep("bayesian", SMOOTH, 10, loss)
    winner = best(history, "minimize")
    assert winner is not None
    running = Tried(11, {**winner.hyperparameters, "dropout": "0.25"}, None, "InProgress")

    def asked(history: Sequence[Tried]) -> list[dict[str, str] | None]:
        return [make("bayesian", SMOOTH, "minimize", seed).ask(12, history) for seed in range(8)]

    assert asked([*history, running]) != asked(history)
    halfway = replace(running, objective=0.0, curve=(0.0,))
    assert asked([*history, halfway]) == asked([*history, running])


def test_the_search_keeps_away_from_where_trainings_break() -> None:
    """The objective falls towards 0.5, and every training beyond it fails."""
    ranges = space([parse_range("x=0.0..1.0")])
    failures = {"told": 0, "hidden": 0}
    for told in failures:
        for seed in range(5):
            history: list[Tried] = []
            for number in range(1, 31):
                seen = history if told == "told" else [trial for trial in history if trial.state != "Failed"]
                point = make("bayesian", ranges, "minimize", seed).ask(number, seen)
                assert point is not None
                x = float(point["x"])
                failures[told] += x > 0.5
                history.append(Tried(number, point, None, "Failed") if x > 0.5 else completed(number, point, 1 - x))
    assert failures["told"] < 0.8 * failures["hidden"]


def test_a_trial_stopped_before_it_had_a_value_says_nothing() -> None:
    history = sweep("bayesian", SMOOTH, 10, loss)
    search = make("bayesian", SMOOTH, "minimize", 0)
    nothing = Tried(11, {**history[0].hyperparameters, "lr": "0.05"}, None, "Stopped")
    assert search.ask(12, [*history, nothing]) == search.ask(12, history)


def test_trials_from_before_the_ranges_changed_say_nothing() -> None:
    history = sweep("bayesian", SMOOTH, 10, loss)
    search = make("bayesian", SMOOTH, "minimize", 0)
    odd = [
        completed(11, {**history[0].hyperparameters, "lr": "0.5"}, -9.0),
        completed(12, {"lr": "0.001", "b": "64"}, -9.0),
    ]
    assert search.ask(13, [*history, *odd]) == search.ask(13, history)


def parents_of(sweep_name: str | None, scale: float = 1.0) -> list[WarmTrial]:
    """What an earlier sweep of 20 found, with a hyperparameter more than SMOOTH has."""
    return [
        WarmTrial({**trial.hyperparameters, "seed": "0"}, scale * (trial.objective or 0.0), sweep_name)
        for trial in sweep("random", SMOOTH, 20, loss, seed=99)
    ]


@pytest.mark.parametrize("strategy", ["bayesian", "hyperband"])
@pytest.mark.parametrize("name", [None, "parent"])
def test_a_warm_start_begins_where_the_parents_were_good(strategy: Strategy, name: str | None) -> None:
    def mean_of_first_five(warm: Sequence[WarmTrial]) -> float:
        return statistics.mean(
            loss(trial.hyperparameters)
            for seed in range(4)
            for trial in run(make(strategy, SMOOTH, "minimize", seed, warm), 5, loss)
        )

    assert mean_of_first_five(parents_of(name)) < 0.6 * mean_of_first_five([])


def test_on_other_data_only_the_order_of_the_parents_trials_counts() -> None:
    searches = [make("bayesian", SMOOTH, "minimize", 0, parents_of("parent", scale)) for scale in (1.0, 1000.0)]
    found = [proposed(run(search, 8, loss)) for search in searches]
    assert found[0] == found[1]


def test_on_the_same_data_parents_are_compared_with_our_own_trials() -> None:
    searches = [make("bayesian", SMOOTH, "minimize", 0, parents_of(None, scale)) for scale in (1.0, 1000.0)]
    found = [proposed(run(search, 8, loss)) for search in searches]
    assert found[0] != found[1]


def test_a_parents_trial_outside_the_ranges_is_left_out() -> None:
    good = parents_of(None)
    outside = [
        WarmTrial({**good[0].hyperparameters, "lr": "0.5"}, -9.0),
        WarmTrial({"lr": "0.01"}, -9.0),
        WarmTrial({**good[0].hyperparameters, "b": "256"}, -9.0),
    ]
    ask = [make("bayesian", SMOOTH, "minimize", 0, warm).ask(1, []) for warm in (good, [*good, *outside])]
    assert ask[0] == ask[1]


def test_the_best_trial_has_the_best_number_and_has_ended() -> None:
    history = [
        Tried(1, {}, 0.5, "Completed"),
        Tried(2, {}, math.nan, "Completed"),
        Tried(3, {}, -math.inf, "Completed"),
        Tried(4, {}, 0.1, "InProgress"),
        Tried(5, {}, None, "Failed"),
        Tried(6, {}, 0.3, "Stopped"),
        Tried(7, {}, 0.3, "Completed"),
        Tried(8, {}, 0.9, "Completed"),
    ]
    for shown in (history, history[::-1]):
        smallest, largest = best(shown, "minimize"), best(shown, "maximize")
        assert smallest is not None
        assert smallest.number == 6
        assert largest is not None
        assert largest.number == 8
    assert best(history[1:5], "minimize") is None


def test_the_importance_names_the_hyperparameter_that_matters() -> None:
    found = importance(sweep("random", SMOOTH, 30, loss), SMOOTH, "minimize")
    assert found is not None
    assert next(iter(found)) == "lr"
    assert found.keys() == SMOOTH.keys()
    assert sum(found.values()) == pytest.approx(1)


def test_the_importance_of_a_maximized_objective_is_that_of_its_negative() -> None:
    history = sweep("random", SMOOTH, 20, loss)
    negative = [replace(trial, objective=-(trial.objective or 0.0)) for trial in history]
    assert importance(negative, SMOOTH, "maximize") == importance(history[::-1], SMOOTH, "minimize")


def test_too_few_trials_with_a_value_have_no_importance() -> None:
    nine = sweep("random", SMOOTH, 9, loss)
    failed = Tried(10, nine[0].hyperparameters, None, "Failed")
    running = Tried(11, nine[0].hyperparameters, 0.1, "InProgress")
    assert importance([*nine, failed, running], SMOOTH, "minimize") is None
    assert importance(sweep("random", SMOOTH, 10, loss), SMOOTH, "minimize") is not None
    assert importance(sweep("random", SMOOTH, 10, lambda _: 0.5), SMOOTH, "minimize") is None


def test_a_hyperparameter_with_one_value_has_no_importance() -> None:
    ranges: Space = {"lr": Continuous(0.1, 0.9), "model": Categorical(("resnet18",))}
    history = sweep("random", ranges, 12, lambda point: float(point["lr"]))
    assert importance(history, ranges, "minimize") == {"lr": 1.0}
    only: Space = {"model": Categorical(("resnet18",))}
    assert importance(history, only, "minimize") is None


def test_the_importance_needs_no_scikit_learn() -> None:
    script = """
import sys
sys.modules["sklearn"] = None
from tests.tuning.bowl import SMOOTH, loss, sweep
from vizsla.tuning.search import importance
print(next(iter(importance(sweep("random", SMOOTH, 30, loss), SMOOTH, "minimize"))))
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("lr\n", "")


def test_what_excludes_each_other_is_refused() -> None:
    numbers = space([("epochs", Integer(2, 3))])
    with pytest.raises(UserError, match="exclude each other"):
        check("hyperband", numbers, jobs=4, early_stopping=True)
    with pytest.raises(UserError, match="epochs has a range"):
        check("grid", numbers, jobs=None, early_stopping=False)
    with pytest.raises(UserError, match="6 combinations, and 4 jobs"):
        check("grid", CHOICES, jobs=4, early_stopping=False)
    with pytest.raises(UserError, match="0 jobs"):
        check("random", numbers, jobs=0, early_stopping=False)
    check("grid", CHOICES, jobs=6, early_stopping=True)
    check("grid", CHOICES, jobs=None, early_stopping=False)
    check("hyperband", numbers, jobs=4, early_stopping=False)
    check("bayesian", numbers, jobs=4, early_stopping=True)


def test_unknown_words_are_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="bayesian, random, grid, hyperband"):
        make("annealing", SMOOTH, "minimize", 0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="minimize and maximize"):
        make("random", SMOOTH, "Minimize", 0)  # type: ignore[arg-type]
