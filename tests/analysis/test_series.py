"""Curves: which epoch is the kept one, and what a curve of too many points becomes."""

from __future__ import annotations

import math

import pytest

from vizsla.analysis.series import Point, kept_epoch, read, thinned
from vizsla.records import Record

CURVE = (Point(1, 1.5), Point(2, 0.9), Point(3, 0.9), Point(4, math.nan))


def test_without_a_bundle_the_first_of_the_lowest_counts() -> None:
    assert kept_epoch(CURVE, None) == 2


def test_the_bundle_says_which_epoch_is_kept() -> None:
    assert kept_epoch(CURVE, 1.5) == 1


def test_an_epoch_that_the_records_have_lost_is_not_guessed() -> None:
    assert kept_epoch(CURVE, 0.7) is None


@pytest.mark.parametrize("curve", [(), (Point(1, math.nan), Point(2, math.inf))])
def test_without_a_finite_loss_no_epoch_is_kept(curve: tuple[Point, ...]) -> None:
    assert kept_epoch(curve, None) is None


def test_a_short_curve_stays_as_it_is() -> None:
    assert thinned(CURVE[:3], 3) == (CURVE[:3], 1)


def test_a_long_curve_becomes_means_at_the_last_of_their_points() -> None:
    curve = tuple(Point(step, float(step)) for step in range(7))
    assert thinned(curve, 3) == ((Point(2, 1.0), Point(5, 4.0), Point(6, 6.0)), 3)


def metric(value: object, **place: int) -> Record:
    return Record(t=1.0, kind="metric", name="f1", value=value, **place)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("records", "by", "points"),
    [
        ([metric(0.1, epoch=1, step=9), metric(0.2, epoch=2, step=19)], "epoch", [(1, 0.1), (2, 0.2)]),
        ([metric(0.1, epoch=1, step=4), metric(0.2, epoch=1, step=9)], "step", [(4, 0.1), (9, 0.2)]),
        ([metric(0.1), metric(0.2)], "value", [(1, 0.1), (2, 0.2)]),
    ],
)
def test_a_metric_of_a_script_is_placed_by_what_it_says(
    records: list[Record], by: str, points: list[tuple[int, float]]
) -> None:
    extra = read(records).extras["f1"]
    assert (extra.by, list(extra.curve)) == (by, points)


def test_losses_that_a_hook_saved_are_curves_of_their_modes() -> None:
    def saved(mode: str, step: int, value: float) -> Record:
        shown: dict[str, object] = {"collection": "losses", "type": "CrossEntropyLoss", "value": value}
        return Record(1.0, "tensor", "CrossEntropyLoss_output_0", mode, step, value=shown)  # type: ignore[arg-type]

    found = [saved("train", 0, 0.9), saved("train", 10, 0.5), saved("eval", 0, 0.7)]
    extras = read(found).extras
    assert {name: list(extra.curve) for name, extra in extras.items()} == {
        "CrossEntropyLoss_output_0 (train)": [(0, 0.9), (10, 0.5)],
        "CrossEntropyLoss_output_0 (eval)": [(0, 0.7)],
    }
    own = Record(1.0, "metric", "train_loss", "train", 0, epoch=1, value=0.9)
    assert read([own, *found]).extras == {}


def test_a_known_name_without_a_place_is_shown_as_a_metric_of_a_script() -> None:
    series = read([Record(t=1.0, kind="metric", name="valid_loss", value=value) for value in (0.9, 0.7)])
    assert series.epochs["valid_loss"] == ()
    assert [point.value for point in series.extras["valid_loss"].curve] == [0.9, 0.7]


@pytest.mark.parametrize("value", ["high", None, {"macro": 0.5}])
def test_what_is_no_number_is_no_curve(value: object) -> None:
    assert read([metric(value, epoch=1)]).extras == {}
