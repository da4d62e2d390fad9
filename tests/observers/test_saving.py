"""Which steps are saved: the first ten, and about fifty of the rest; and how a user says what is recorded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizsla.errors import UserError
from vizsla.job import COLLECTIONS, DebugSettings, partition
from vizsla.observers.saving import Saving


def saved(saving: Saving, total: int) -> list[int]:
    return [step for step in range(total) if saving(step)]


def test_a_run_of_500_steps_saves_59_of_them() -> None:
    assert saved(Saving(total=500), 500) == [*range(10), *range(10, 500, 10)]


@given(st.integers(1, 5000))
def test_no_run_is_saved_too_often_or_hardly_at_all(total: int) -> None:
    steps = saved(Saving(total=total), total)
    assert steps[:10] == list(range(min(total, 10)))
    assert min(total, 50) <= len(steps) <= 110


def test_what_the_user_says_goes_on_from_the_first_ten() -> None:
    assert saved(Saving(every=100, total=500), 500) == [*range(10), 100, 200, 300, 400]


def test_without_a_known_end_steps_come_ever_more_seldom() -> None:
    steps = saved(Saving(), 50_000)
    assert len(steps) == 10 + 49 + 45 + 45
    assert (100 in steps, 110 in steps, 600 in steps, 610 in steps) == (True, True, True, False)


def test_nothing_is_saved_outside_of_start_and_end() -> None:
    assert saved(Saving(every=10, start=100, end=130), 500) == [*range(100, 110), 110, 120]


# ---- settings


def settings(**given: str) -> DebugSettings:
    rest, launch = partition({f"debug.{name}": value for name, value in given.items()})
    assert rest == {}
    return launch.debug


def test_everything_is_recorded_and_nothing_whole_by_default() -> None:
    assert settings() == DebugSettings() == settings(collections="all", raw="none")
    assert settings().collections == COLLECTIONS


def test_collections_are_named_with_commas_between_them() -> None:
    asked = settings(collections="weights, gradients", raw="[losses]", save_every="100")
    assert (asked.collections, asked.raw, asked.save_every) == (("weights", "gradients"), ("losses",), 100)
    assert settings(collections="none").collections == ()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("collections", "weight", "there is no collection weight"),
        ("include", "(", "no regular expression"),
        ("save_every", "0", "greater than or equal to 1"),
        ("start_step", "-1", "greater than or equal to 0"),
    ],
)
def test_a_setting_that_cannot_be_is_named(key: str, value: str, said: str) -> None:
    with pytest.raises(UserError, match=f"debug.{key}=.*{said}"):
        settings(**{key: value})
