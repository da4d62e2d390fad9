"""Views: each is named by a number that says all about it, and the same photo in it is the same pixels every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizsla.training.views import AS_IT_IS, Flips, Views

SHA = "0123456789abcdef" * 4
OTHER = "f" * 64
# No symmetry of the square leaves it as it is.
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)

flips = st.sampled_from(["horizontal", "all", "none"])


@given(count=st.integers(1, 64), kind=flips, seed=st.integers(0, 2**32 - 1))
def test_views_are_counted_and_differ_and_the_first_is_the_photo_as_it_is(count: int, kind: Flips, seed: int) -> None:
    numbers = Views(count, kind, seed).numbers
    assert len(set(numbers)) == count
    assert numbers[0] == AS_IT_IS
    assert max(numbers) < 2**48, "what a key of the cache can hold"
    assert np.array_equal(Views(count, kind, seed).apply(PICTURE, AS_IT_IS, SHA), PICTURE)


def test_two_views_are_the_photo_and_its_mirror_image() -> None:
    views = Views(2, "horizontal")
    assert np.array_equal(views.apply(PICTURE, views.numbers[1], SHA), PICTURE[:, ::-1])


def test_a_picture_without_an_up_is_laid_down_in_eight_ways() -> None:
    views = Views(8, "all")
    seen = {views.apply(PICTURE, number, SHA).tobytes() for number in views.numbers}
    ways = [np.rot90(side, turns) for side in (PICTURE, PICTURE[:, ::-1]) for turns in range(4)]
    assert seen == {np.ascontiguousarray(way).tobytes() for way in ways}


def test_a_photo_of_the_world_is_never_upside_down() -> None:
    """Sky above ground: drawn views of it too."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:16] = 200
    views = Views(30, "horizontal")
    for number in views.numbers:
        seen = views.apply(picture, number, SHA)
        assert seen[0].mean() > seen[-1].mean()


def test_without_flips_further_views_are_crops_and_colours() -> None:
    views = Views(3, "none")
    first, second, third = (views.apply(PICTURE, number, SHA) for number in views.numbers)
    assert np.array_equal(first, PICTURE)
    assert not np.array_equal(second, third)
    assert second.shape == third.shape == PICTURE.shape
    assert second.dtype == np.uint8


@pytest.mark.parametrize("number", Views(6, "all").numbers + Views(4, "horizontal", seed=3).numbers)
def test_a_view_is_the_same_every_time(number: int) -> None:
    views = Views(6, "all")
    assert np.array_equal(views.apply(PICTURE, number, SHA), views.apply(PICTURE, number, SHA))


def test_a_drawn_view_is_another_one_of_another_photo_and_under_another_seed() -> None:
    views = Views(3)
    drawn = views.numbers[2]
    assert not np.array_equal(views.apply(PICTURE, drawn, SHA), views.apply(PICTURE, drawn, OTHER))
    assert drawn != Views(3, seed=1).numbers[2]


def test_more_views_keep_the_ones_before() -> None:
    """So that raising views computes only what is new."""
    assert Views(8).numbers[:4] == Views(4).numbers


def test_each_epoch_picks_about_as_much_of_each() -> None:
    views = Views(4)
    picked = views.pick(np.random.default_rng(1), 4000)
    assert {number: picked.count(number) for number in views.numbers} == {
        number: pytest.approx(1000, rel=0.15) for number in views.numbers
    }


def test_with_no_views_kept_each_epoch_draws_new_ones() -> None:
    views = Views(0)
    draw = np.random.default_rng(1)
    first, second = views.pick(draw, 50), views.pick(draw, 50)
    assert views.numbers == ()
    assert len({*first, *second}) == 100
    assert views.pick(np.random.default_rng(1), 50) == first
