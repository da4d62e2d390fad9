"""Numbers and times as a report shows them."""

from __future__ import annotations

import math

import pytest

from vizsla.analysis.words import count, duration, listed, loss, moment, number, percent, visible


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.0, "0"),
        (1.23456, "1.235"),
        (0.0031623, "0.003162"),
        (0.000001, "1e-06"),
        (1024.0, "1,024"),
        (-0.5, "-0.5"),
        (math.nan, "not a number"),
        (-math.inf, "infinite"),
    ],
)
def test_a_number_has_four_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_a_loss_has_four_decimals() -> None:
    assert [loss(1.5), loss(None), loss(math.nan)] == ["1.5000", "-", "not a number"]


def test_a_share_is_percent() -> None:
    assert [percent(0.8244), percent(1.0, 0), percent(None)] == ["82.44 %", "100 %", "-"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (59.96, "1 min 00 s"), (65.3, "1 min 05 s"), (7260, "2 h 01 min")]
)
def test_a_time_is_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_moment_is_in_utc() -> None:
    assert moment("2026-11-22T13:27:57+02:00") == "2026-11-22 11:27 UTC"
    assert moment("yesterday") == "yesterday"


def test_one_is_not_many() -> None:
    assert [count(1, "photo"), count(1200, "photo"), count(2, "class", "classes")] == [
        "1 photo",
        "1,200 photos",
        "2 classes",
    ]


def test_a_long_list_says_how_many_more_there_are() -> None:
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert listed(["a", "b"], most=2) == "a, b"


def test_only_what_cannot_be_seen_is_escaped() -> None:
    assert visible("Dackel <b> köter 犬") == "Dackel <b> köter 犬"
    assert visible("a\nb\x1b[2J\u202e\udcff") == "a\\nb\\x1b[2J\\u202e\\xff"
