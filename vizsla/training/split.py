"""Who trains, who validates, who is held out: stratified shares, decided by the seed and the photos alone.

Every class has an order of its photos of its own, drawn from the seed and what identifies each photo. A class is cut
along that order, so photos added to one class leave the order of all others as it was; only where a share is rounded
may a class give or take one photo. `check.divide` applies this to a data set.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from fractions import Fraction
from itertools import pairwise, permutations
from math import floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vizsla.training.listing import Split

SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def assign(
    labels: Sequence[str | int],
    shares: tuple[float, float, float],
    seed: int,
    keys: Sequence[str] | None = None,
) -> list[Split]:
    """Say for each photo whether it is in train, valid or test.

    `shares` are those of train, valid and test and sum to 1; train's is above 0. `keys` identify the photos (their
    hashes, say), so that the answer does not depend on their order; without them a photo is known by its class and
    its place in it. Every class gets its own share of each split to within a photo, at least one photo in train, and
    the splits are within a photo of their share of the whole wherever both can be had. Raises ValueError for shares
    that are none.
    """
    if min(shares) < 0 or shares[0] <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares of train, valid and test have to sum to 1, with some for train: {shares}")
    exact = _exact(shares)
    classes = _ordered(labels, keys, f"split {seed}")
    quotas = apportion([len(places) for places in classes], exact)
    answer: list[Split] = ["train"] * len(labels)
    for places, quota in zip(classes, quotas, strict=True):
        for place in places[quota[0] : quota[0] + quota[1]]:
            answer[place] = "valid"
        for place in places[quota[0] + quota[1] :]:
            answer[place] = "test"
    return answer


def keep_fraction(
    labels: Sequence[str | int], fraction: float, seed: int, keys: Sequence[str] | None = None
) -> list[int]:
    """The places, in rising order, of a stratified `fraction` (above 0, at most 1) of photos; each class keeps one.

    `keys` as in `assign`. Raises ValueError for a fraction outside its range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the fraction to keep is above 0 and at most 1: {fraction}")
    classes = _ordered(labels, keys, f"fraction {seed}")
    quotas = apportion([len(places) for places in classes], _exact((fraction, 1 - fraction)))
    return sorted(place for places, quota in zip(classes, quotas, strict=True) for place in places[: quota[0]])


def apportion(sizes: Sequence[int], shares: Sequence[Fraction]) -> list[list[int]]:
    """Cut each of `sizes` into whole numbers by `shares`, which sum to 1; the first part is never 0.

    A row per size, a column per share. Each part is its exact share rounded down or up, and so is the sum of each
    column wherever such a table exists; statistics knows this as controlled rounding. Round down, hand out the rest
    where the column lags most, then move what is left over between columns.
    """
    exact = [[size * share for share in shares] for size in sizes]
    table = [[int(part) for part in row] for row in exact]
    lag = [Fraction(0) for _ in shares]
    for row in sorted(range(len(sizes)), key=lambda row: sizes[row]):  # the large last: they can make up for the small
        parts = table[row]
        lag = [before + part - whole for before, part, whole in zip(lag, exact[row], parts, strict=True)]
        for _ in range(sizes[row] - sum(parts)):
            room = [column for column, part in enumerate(exact[row]) if parts[column] < part]
            column = 0 if parts[0] == 0 else max(room, key=lambda column: lag[column])
            parts[column] += 1
            lag[column] -= 1
    _balance(table, exact)
    return table


def _balance(table: list[list[int]], exact: Sequence[Sequence[Fraction]]) -> None:
    """Move single photos between columns until the sum of each is its share rounded, or no chain of moves helps."""
    while chain := _helpful_chain(table, exact):
        for row, source, sink in chain:
            table[row][source] -= 1
            table[row][sink] += 1


def _helpful_chain(table: list[list[int]], exact: Sequence[Sequence[Fraction]]) -> list[tuple[int, int, int]]:
    """Moves (row, from column, to column) that take one photo from a column too full to one that has room."""
    columns = zip(zip(*table, strict=True), zip(*exact, strict=True), strict=True)
    excess = [sum(parts) - sum(shares, Fraction(0)) for parts, shares in columns]
    for length in range(2, len(excess) + 1):
        for path in permutations(range(len(excess)), length):
            first, last = excess[path[0]], excess[path[-1]]
            if (first >= 1 and last < 0) or (first > 0 and last <= -1):
                chain = [move for step in pairwise(path) if (move := _move(table, exact, *step))]
                if len(chain) == length - 1:
                    return chain
    return []


def _move(
    table: list[list[int]], exact: Sequence[Sequence[Fraction]], source: int, sink: int
) -> tuple[int, int, int] | None:
    """A row that can give one from `source` to `sink` and keep each part its exact share rounded, if there is one."""
    for row, (parts, shares) in enumerate(zip(table, exact, strict=True)):
        least = max(floor(shares[source]), 1 if source == 0 else 0)
        if parts[source] > least and parts[sink] < shares[sink]:
            return row, source, sink
    return None


def _exact(shares: Sequence[float]) -> list[Fraction]:
    """Shares as a person wrote them: 0.15 of 20 photos is 3, and not a little more."""
    rest = [Fraction(share).limit_denominator(10**6) for share in shares[1:]]
    return [Fraction(1) - sum(rest, Fraction(0)), *rest]


def _ordered(labels: Sequence[str | int], keys: Sequence[str] | None, salt: str) -> list[list[int]]:
    """The places of each class in their drawn order; classes by name."""
    classes: dict[str | int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        classes[label].append(place)
    ordered = []
    for label in sorted(classes, key=str):
        places = classes[label]
        names = [keys[place] for place in places] if keys else [f"{label} {number}" for number in range(len(places))]
        drawn = sorted((_draw(salt, name), place) for name, place in zip(names, places, strict=True))
        ordered.append([place for _, place in drawn])
    return ordered


def _draw(salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt} {name}".encode(errors="surrogateescape")).digest()
