"""What a user types after --range, and the forms a space is kept in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tuning.spaces import spaces
from vizsla.errors import UserError
from vizsla.tuning.space import (
    Categorical,
    Continuous,
    Integer,
    Range,
    Space,
    from_json,
    grid,
    holds,
    parse_range,
    points,
    size,
    space,
    to_json,
)
from vizsla.tuning.wire import from_wire, to_wire


@pytest.mark.parametrize(
    ("typed", "name", "meant"),
    [
        ("lr=0.001..0.01", "lr", Continuous(0.001, 0.01)),
        ("lr=1e-5..1e-2", "lr", Continuous(1e-5, 1e-2)),
        ("shift=-0.5...5", "shift", Continuous(-0.5, 0.5)),
        ("dropout=0..0.5", "dropout", Continuous(0.0, 0.5)),
        ("epochs=2..3", "epochs", Integer(2, 3)),
        ("steps=-3..+3", "steps", Integer(-3, 3)),
        ("batch_size=64,128", "batch_size", Categorical(("64", "128"))),
        ("optimizer=adam, sgd", "optimizer", Categorical(("adam", "sgd"))),
        ("folder=../a,../b", "folder", Categorical(("../a", "../b"))),
        (" lr = 0.001 .. 0.01 : log ", "lr", Continuous(0.001, 0.01, "Logarithmic")),
        ("lr=0.001..0.01:linear", "lr", Continuous(0.001, 0.01, "Linear")),
        ("momentum=0.9..0.999:reverselog", "momentum", Continuous(0.9, 0.999, "ReverseLogarithmic")),
        ("units=16..512:LOG", "units", Integer(16, 512, "Logarithmic")),
        ("batch-size=1..10:auto", "batch-size", Integer(1, 10, "Auto")),
    ],
)
def test_a_range_means_what_it_says(typed: str, name: str, meant: Range) -> None:
    assert parse_range(typed) == (name, meant)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("lr", "is not a range"),
        ("lr=", "is not a range"),
        ("=1..2", "name"),
        ("l r=1..2", "name"),
        ("_tuning_objective_metric=a,b", "never reach"),
        ("sagemaker_program=a,b", "never reach"),
        ("lr=0.01", "one value only"),
        ("lr=0.001-0.01", "one value only"),
        ("lr=0.01..0.001", "nothing between"),
        ("epochs=3..3", "nothing between"),
        ("lr=0.001..inf", "one value only"),
        ("lr=1e-5..1e999", "cannot be searched"),
        (f"lr=1..{'9' * 300}", "cannot be searched"),
        (f"lr=1..{'9' * 5000}", "one value only"),
        ("lr=0..0.01:log", "logarithmic"),
        ("lr=0.001..1.0:reverselog", "reverse logarithmic"),
        ("epochs=2..3:reverselog", "reverse logarithmic"),
        ("lr=0.001..0.01:fast", "no scaling"),
        ("lr=1..2,3..4", "both a range and a list"),
        ("batch_size=64,64", "twice"),
        ("batch_size=64,,128", "empty"),
        (f"x={','.join(str(n) for n in range(31))}", "31 values"),
    ],
)
def test_what_is_no_range_is_refused_with_a_cure(typed: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_range(typed)
    assert says in str(caught.value)
    assert caught.value.hint


@given(st.text("lr=0123456789.,:e+-_ loginfa", max_size=30))
def test_whatever_is_typed_gives_a_range_or_a_user_error(typed: str) -> None:
    try:
        name, span = parse_range(typed)
    except UserError:
        return
    assert from_json(json.loads(json.dumps(to_json({name: span})))) == {name: span}


@pytest.mark.parametrize(
    ("span", "scale"),
    [
        (Continuous(0.001, 0.01), "Logarithmic"),
        (Continuous(3e-5, 3e-4), "Logarithmic"),
        (Continuous(0.002, 0.01), "Linear"),
        (Continuous(0.0, 0.5), "Linear"),
        (Continuous(-1.0, 100.0), "Linear"),
        (Integer(2, 3), "Linear"),
        (Integer(1, 10), "Logarithmic"),
        (Continuous(0.001, 0.01, "Linear"), "Linear"),
        (Continuous(1.0, 2.0, "Logarithmic"), "Logarithmic"),
    ],
)
def test_auto_is_logarithmic_from_a_factor_of_ten(span: Continuous | Integer, scale: str) -> None:
    assert span.scale == scale


def test_a_space_refuses_what_aws_would_refuse() -> None:
    with pytest.raises(UserError, match="nothing to search"):
        space([])
    with pytest.raises(UserError, match="two ranges"):
        space([("lr", Continuous(0.1, 0.2)), ("lr", Integer(1, 2))])
    with pytest.raises(UserError, match="31 ranges"):
        space([(f"x{n}", Integer(1, 2)) for n in range(31)])
    with pytest.raises(UserError, match="cannot be the name"):
        space([("x" * 257, Integer(1, 2))])


def test_a_point_is_held_only_with_a_value_inside_every_range() -> None:
    ranges = space([("lr", Continuous(0.1, 0.2)), ("epochs", Integer(2, 3)), ("b", Categorical(("64", "128")))])
    inside = {"lr": "0.15", "epochs": "2", "b": "64", "model": "resnet18"}
    assert holds(ranges, inside)
    outside = [
        {"lr": "0.21"},
        {"lr": "nan"},
        {"lr": "fast"},
        {"epochs": "4"},
        {"epochs": "2.5"},
        {"epochs": "2.0"},
        {"b": "32"},
    ]
    for changed in outside:
        assert not holds(ranges, {**inside, **changed}), changed
    assert not holds(ranges, {"lr": "0.15", "b": "64"})


def test_a_grid_is_every_combination_once() -> None:
    ranges = space([("b", Categorical(("64", "128"))), ("a", Categorical(("x", "y", "z")))])
    assert grid(ranges) == [
        {"a": "x", "b": "64"},
        {"a": "x", "b": "128"},
        {"a": "y", "b": "64"},
        {"a": "y", "b": "128"},
        {"a": "z", "b": "64"},
        {"a": "z", "b": "128"},
    ]


def test_a_grid_over_a_range_names_the_range() -> None:
    with pytest.raises(UserError, match="epochs has a range") as caught:
        grid(space([("b", Categorical(("64", "128"))), ("epochs", Integer(2, 3))]))
    assert "epochs=a,b,c" in caught.value.hint


def test_a_grid_that_nobody_could_finish_is_refused() -> None:
    thirty = Categorical(tuple(str(n) for n in range(30)))
    with pytest.raises(UserError, match="24300000 combinations"):
        grid(space([(f"x{n}", thirty) for n in range(5)]))


def test_the_size_counts_points_and_is_unknown_for_continuous_ranges() -> None:
    ranges = space([("a", Categorical(("x", "y"))), ("n", Integer(-1, 3))])
    assert size(ranges) == 10 == len(list(points(ranges)))
    assert size(space([("a", Categorical(("x", "y"))), ("lr", Continuous(0.1, 0.2))])) is None


@given(spaces())
def test_a_space_comes_back_from_json_as_it_was(ranges: Space) -> None:
    assert from_json(json.loads(json.dumps(to_json(ranges)))) == ranges


@given(spaces())
def test_a_space_comes_back_from_awss_words_as_it_was(ranges: Space) -> None:
    assert from_wire(json.loads(json.dumps(to_wire(ranges)))) == ranges


def test_awss_words_are_awss() -> None:
    ranges = space(
        [
            ("lr", Continuous(0.001, 0.01)),
            ("epochs", Integer(2, 3, "Linear")),
            ("batch-size", Categorical(("64", "128"))),
        ]
    )
    assert to_wire(ranges) == {
        "ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.001", "MaxValue": "0.01", "ScalingType": "Auto"}],
        "IntegerParameterRanges": [{"Name": "epochs", "MinValue": "2", "MaxValue": "3", "ScalingType": "Linear"}],
        "CategoricalParameterRanges": [{"Name": "batch-size", "Values": ["64", "128"]}],
    }
    without = {"ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.001", "MaxValue": "0.01"}]}
    assert from_wire(without) == {"lr": Continuous(0.001, 0.01, "Auto")}


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        ({"AutoParameters": [{"Name": "lr", "ValueHint": "0.1"}]}, "AutoParameters"),
        ({"IntegerParameterRanges": [{"Name": "n", "MinValue": "1.5", "MaxValue": "3"}]}, "1.5..3"),
        ({"ContinuousParameterRanges": [{"Name": "n", "MinValue": "a", "MaxValue": "3"}]}, "a..3"),
        ({"ContinuousParameterRanges": [{"Name": "n", "MinValue": 1, "MaxValue": 3}]}, "no entry"),
        ({"CategoricalParameterRanges": [{"Name": "n"}]}, "no entry"),
        ({}, "nothing to search"),
    ],
)
def test_awss_words_that_make_no_range_are_refused(wire: dict[str, list[dict[str, str]]], says: str) -> None:
    with pytest.raises(UserError, match=says):
        from_wire(wire)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"type": "Continuous", "low": "0.1", "high": 0.2, "scaling": "Auto"},
        {"type": "Integer", "low": 1.5, "high": 3, "scaling": "Auto"},
        {"type": "Integer", "low": 1, "high": 3, "scaling": "Fast"},
        {"type": "Categorical", "values": [64, 128]},
    ],
)
def test_a_damaged_sweep_json_is_a_user_error(entry: dict[str, object]) -> None:
    with pytest.raises(UserError):
        from_json({"lr": entry})


def test_ranges_and_searches_are_made_without_loading_optuna() -> None:
    script = (
        "import sys; from vizsla.tuning import parents, search, space, stopping, wire;"
        "search.make('bayesian', space.space([space.parse_range('lr=0.1..0.2')]), 'minimize', 0);"
        "print([name for name in ('optuna', 'torch', 'sklearn') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
