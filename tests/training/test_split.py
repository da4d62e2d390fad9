"""Stratified shares: what holds for any data set, however skewed its classes."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations
from math import ceil, floor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vizsla.training.split import SPLITS, assign, keep_fraction

if TYPE_CHECKING:
    from collections.abc import Sequence

Shares = tuple[float, float, float]

DEFAULT: Shares = (0.7, 0.15, 0.15)
# Few large classes, many small ones, and most of what lies between.
SIZES = st.lists(st.one_of(st.integers(1, 4), st.integers(1, 300)), min_size=2, max_size=40)
SHARES = st.sampled_from([DEFAULT, (0.6, 0.15, 0.25), (0.8, 0.1, 0.1), (0.85, 0.15, 0.0), (0.34, 0.33, 0.33)])
SEEDS = st.integers(0, 2**31)


def labels_of(sizes: Sequence[int]) -> list[str]:
    """Every class's photos, shuffled together as a folder never is."""
    labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
    random.Random(0).shuffle(labels)
    return labels


def table(labels: Sequence[str], splits: Sequence[str]) -> dict[str, list[int]]:
    counts = Counter(zip(labels, splits, strict=True))
    return {label: [counts[label, split] for split in SPLITS] for label in dict.fromkeys(labels)}


def rounded(exact: float) -> tuple[int, int]:
    return floor(round(exact, 6)), ceil(round(exact, 6))


@settings(deadline=None)
@given(SIZES, SHARES, SEEDS)
def test_every_class_has_its_share_of_every_split_and_a_photo_in_train(
    sizes: list[int], shares: Shares, seed: int
) -> None:
    labels = labels_of(sizes)
    for counts in table(labels, assign(labels, shares, seed)).values():
        assert counts[0] >= 1
        for count, share in zip(counts, shares, strict=True):
            assert count in rounded(sum(counts) * share)


@settings(deadline=None)
@given(SIZES, SHARES, SEEDS)
def test_the_splits_have_their_share_of_the_whole_wherever_the_classes_allow_it(
    sizes: list[int], shares: Shares, seed: int
) -> None:
    splits = Counter(assign(labels_of(sizes), shares, seed))
    if allows_exact_totals(sizes, shares):
        for split, share in zip(SPLITS, shares, strict=True):
            assert splits[split] in rounded(sum(sizes) * share)


def allows_exact_totals(sizes: Sequence[int], shares: Shares) -> bool:
    """Whether a table exists with every part and every column's sum rounded, one in train: Hoffman's condition.

    For any set of columns, what the rows must put there has to fit in, and what they can put there has to suffice.
    """
    columns = range(len(shares))
    for size in range(1, len(shares) + 1):
        for inside in combinations(columns, size):
            outside = [column for column in columns if column not in inside]
            least = most = 0
            for row in sizes:
                low = [max(rounded(row * share)[0], column == 0) for column, share in enumerate(shares)]
                high = [rounded(row * share)[1] for share in shares]
                least += max(sum(low[j] for j in inside), row - sum(high[j] for j in outside))
                most += min(sum(high[j] for j in inside), row - sum(low[j] for j in outside))
            totals = [rounded(sum(sizes) * shares[j]) for j in inside]
            if least > sum(high for _, high in totals) or most < sum(low for low, _ in totals):
                return False
    return True


def test_the_totals_of_many_small_classes_come_out_exact_too() -> None:
    # Handing out remainders where they lag most leaves these a photo and a half off: a chain of moves is needed.
    sizes = [1, 3, 1, 3, 3, 1, 1, 1, 1, 1, 2, 1, 1, 2, 3, 1, 1, 2, 1, 1, 1, 3, 2, 2, 1, 3, 1, 2]
    shares = (0.6, 0.15, 0.25)
    splits = Counter(assign(labels_of(sizes), shares, 0))
    assert allows_exact_totals(sizes, shares)
    assert [abs(splits[split] - sum(sizes) * share) < 1 for split, share in zip(SPLITS, shares, strict=True)] == [
        True
    ] * 3


def test_round_numbers_come_out_round() -> None:
    labels = ["cat"] * 20 + ["dog"] * 100
    assert table(labels, assign(labels, DEFAULT, 7)) == {"cat": [14, 3, 3], "dog": [70, 15, 15]}


@pytest.mark.parametrize("size", [1, 2])
def test_a_class_of_one_or_two_photos_has_one_in_train(size: int) -> None:
    labels = ["rare"] * size + ["common"] * 50
    for seed in range(20):
        assert table(labels, assign(labels, DEFAULT, seed))["rare"][0] >= 1


@settings(deadline=None, max_examples=30)
@given(SIZES, SEEDS, st.randoms(use_true_random=False))
def test_the_answer_depends_on_the_photos_and_the_seed_and_not_on_their_order(
    sizes: list[int], seed: int, shuffler: random.Random
) -> None:
    labels = labels_of(sizes)
    keys = [f"photo {place}" for place in range(len(labels))]
    order = list(range(len(labels)))
    shuffler.shuffle(order)
    once = dict(zip(keys, assign(labels, DEFAULT, seed, keys), strict=True))
    again = assign([labels[place] for place in order], DEFAULT, seed, [keys[place] for place in order])
    assert [once[keys[place]] for place in order] == again


def test_another_seed_is_another_split() -> None:
    labels = ["cat"] * 40 + ["dog"] * 40
    assert len({tuple(assign(labels, DEFAULT, seed)) for seed in range(20)}) == 20


def test_photos_of_two_classes_are_not_cut_at_the_same_places() -> None:
    labels = ["cat"] * 40 + ["dog"] * 40
    answer = assign(labels, DEFAULT, 0)
    assert answer[:40] != answer[40:]


@settings(deadline=None, max_examples=50)
@given(SIZES, SEEDS, st.integers(1, 5))
def test_photos_added_to_one_class_do_not_reshuffle_the_others(sizes: list[int], seed: int, added: int) -> None:
    labels = labels_of(sizes)
    before = assign(labels, DEFAULT, seed)
    after = assign([*labels, *["class 0"] * added], DEFAULT, seed)
    moved = Counter(label for label, old, new in zip(labels, before, after, strict=False) if old != new)
    del moved["class 0"]
    assert all(count <= 2 for count in moved.values()), "one photo at each border between two splits"


def test_photos_added_to_a_class_leave_most_of_it_where_it_was() -> None:
    keys = [f"photo {number}" for number in range(120)]
    before = assign(["cat"] * 100, DEFAULT, 0, keys[20:])
    after = assign(["cat"] * 120, DEFAULT, 0, keys)[20:]
    assert sum(old != new for old, new in zip(before, after, strict=True)) < 20


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_none_are_refused(shares: Shares) -> None:
    with pytest.raises(ValueError, match="shares"):
        assign(["cat"], shares, 0)


def test_nothing_to_split_is_split_into_nothing() -> None:
    assert assign([], DEFAULT, 0) == []
    assert keep_fraction([], 0.5, 0) == []


@settings(deadline=None)
@given(SIZES, st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.9, 1.0]), SEEDS)
def test_a_fraction_keeps_its_share_of_every_class_and_at_least_one(
    sizes: list[int], fraction: float, seed: int
) -> None:
    labels = labels_of(sizes)
    kept = keep_fraction(labels, fraction, seed)
    assert kept == sorted(set(kept))
    assert kept == keep_fraction(labels, fraction, seed)
    counts = Counter(labels[place] for place in kept)
    for label, size in Counter(labels).items():
        assert counts[label] >= 1
        assert counts[label] in rounded(size * fraction)
    if allows_exact_totals(sizes, (fraction, 1 - fraction, 0.0)):
        assert len(kept) in rounded(len(labels) * fraction)


def test_a_fraction_is_drawn_by_the_seed_and_a_larger_one_goes_on_from_it() -> None:
    labels = ["cat"] * 60 + ["dog"] * 40
    assert keep_fraction(labels, 0.3, 1) != keep_fraction(labels, 0.3, 2)
    assert set(keep_fraction(labels, 0.3, 1)) < set(keep_fraction(labels, 0.5, 1))


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        keep_fraction(["cat"], fraction, 0)
