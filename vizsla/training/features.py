"""Features once: what the frozen part of a network makes of photos, from the cache or computed into it.

Between `engines.py`, which runs the frozen part, and the loop, which trains the rest. A row on a shelf belongs to the
bytes of a photo and to a view of it; the shelf to everything else that its numbers depend on. So all epochs, all trials
and all later trainings share them, and a hundred new photos are a hundred computations.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch

from vizsla.errors import UserError
from vizsla.training.data import Batch, Photos, cut, drawn, labels
from vizsla.training.engines import Engine
from vizsla.training.packs import Item, Rows, Shelf
from vizsla.training.views import AS_IT_IS

PACK_BYTES = 32 << 20  # computed, then written: what a kill can lose, and what is held in memory meanwhile
PROBE_BYTES = 192 << 20  # of features for a probe, which needs them all at once
LOOK = 16  # photos of a batch that the whole network is shown: all of them would take a gigabyte more for a moment

Wanted = Sequence[tuple[Photos, Sequence[int]]]
"""Splits, and the views of each of their photos that are needed."""
Computed = list[tuple[list[Item], tuple[np.ndarray, ...]]]
"""Items, and their rows in each output of the engine."""


@dataclass(frozen=True)
class Features:
    """An engine and a shelf for each of its outputs. The shelves are open: nothing of them is evicted meanwhile."""

    engine: Engine
    shelves: Mapping[str, Shelf]

    def fill(self, wanted: Wanted, progress: Callable[[int, int], None]) -> None:
        """Computes what is missing, one process at a time; the others wait, and find it done.

        `progress(done, total)` counts photos in their views. What it raises ends the work; what is done stays.
        Raises CacheFull where the disk is full.
        """
        total = _count(self._missing(wanted))
        if not total:
            return
        with ExitStack() as stack:
            for shelf in sorted(self.shelves.values(), key=lambda each: each.path):  # one order, or two wait for ever
                stack.enter_context(shelf.filling(lambda: progress(0, total)))
            todo = self._missing(wanted)
            done, total = 0, _count(todo)
            for photos, pairs in todo:
                for more in self._compute(photos, pairs):
                    done += more
                    progress(done, total)

    def split(self, photos: Photos, output: str, looks: frozenset[int] = frozenset()) -> Known:
        """The photos of a split as features of `output`. Those that were gone when it was filled are left out.

        looks: training steps, from 0, whose batches bring their photos along.
        """
        shelf, views = self.shelves[output], photos.views.numbers or (AS_IT_IS,)
        there = [photo for photo in photos.photos if not shelf.missing([(photo.sha256, view) for view in views])]
        if not there:
            raise UserError("None of the photos can be read any more.", "Put them back where they were, then go on.")
        rows = shelf.rows([(photo.sha256, view) for photo in there for view in views])
        return Known(replace(photos, photos=there), views, rows, looks)

    def _missing(self, wanted: Wanted) -> list[tuple[Photos, list[tuple[int, int]]]]:
        """(place, view) of what a shelf lacks, split by split; equal photos once."""
        found, known = [], set[Item]()
        for photos, views in wanted:
            pairs = {(photo.sha256, view): (place, view) for place, photo in enumerate(photos.photos) for view in views}
            lacking = {item for shelf in self.shelves.values() for item in shelf.missing(list(pairs))} - known
            known |= lacking
            found.append((photos, [pair for item, pair in pairs.items() if item in lacking]))
        return found

    def _compute(self, photos: Photos, pairs: Sequence[tuple[int, int]]) -> Iterator[int]:
        """Puts the features of (place, view) on the shelves; yields how many more are done."""
        in_pack = max(1, PACK_BYTES // sum(shelf.item_bytes for shelf in self.shelves.values()))
        waiting: Computed = []
        arrays = zip(pairs, photos.decoded(pairs), strict=True)
        while part := list(itertools.islice(arrays, self.engine.batch)):
            good = [(pair, array) for pair, array in part if array is not None]
            if good:
                items = [(photos.photos[place].sha256, view) for (place, view), _ in good]
                waiting.append((items, self.engine(np.stack([array for _, array in good]))))
            if sum(len(items) for items, _ in waiting) >= in_pack:
                self._keep(waiting)
                waiting = []
            yield len(part)
        self._keep(waiting)

    def _keep(self, computed: Computed) -> None:
        items = [item for some, _ in computed for item in some]
        for place, output in enumerate(self.engine.outputs):
            shelf = self.shelves[output]
            lacking = set(shelf.missing(items))
            if kept := [index for index, item in enumerate(items) if item in lacking]:
                rows = np.concatenate([outputs[place] for _, outputs in computed])
                shelf.add([items[index] for index in kept], rows[kept])


@dataclass(frozen=True)
class Known:
    """A split whose features are there: `data.Split` by reading a memory map."""

    behind: Photos
    views: Sequence[int]
    rows: Rows
    """Photo by photo, and of each photo view by view."""
    looks: frozenset[int] = frozenset()

    @property
    def classes(self) -> Sequence[str]:
        return self.behind.classes

    def __len__(self) -> int:
        return len(self.behind)

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """As of photos: the same order, and the same view of each."""
        order, views = drawn(len(self), self.behind.views, seed, epoch)
        batches = cut(order, batch_size)
        for step, places in enumerate(batches, start=(epoch - 1) * len(batches)):
            batch = self._batch(places, [views[place] for place in places])
            yield replace(batch, look_BCHW=self._photos(places, views)) if step in self.looks else batch

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """As of photos: as they are."""
        for places in cut(list(range(len(self))), batch_size):
            yield self._batch(places, [AS_IT_IS] * len(places))

    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """(features (N, D) float32, labels (N,)) of all photos in all views, for features of one dimension.

        Of many, evenly spread ones that `PROBE_BYTES` hold, each view's share of them.
        """
        most = max(1, PROBE_BYTES // self.rows.item_bytes)
        every = -(-len(self.rows) // most)
        views = len(self.views)
        # Rows lie photo by photo: what is passed over must not always be the same view.
        at = [row for row in range(len(self.rows)) if (row // views + row % views) % every == 0]
        of_photo = labels(self.behind.photos, self.classes).numpy()
        return _tensor(self.rows.take(at)).float().numpy(), of_photo[[row // views for row in at]]

    def _batch(self, places: Sequence[int], views: Sequence[int]) -> Batch:
        at = [place * len(self.views) + self.views.index(view) for place, view in zip(places, views, strict=True)]
        x = _tensor(self.rows.take(at))
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.behind.execution.layout)
        photos = tuple(self.behind.photos[place] for place in places)
        return Batch(x, labels(photos, self.classes), photos, are_features=True)

    def _photos(self, places: Sequence[int], views: Sequence[int]) -> torch.Tensor | None:
        """The first of the same photos, decoded; None if they are gone."""
        arrays = self.behind.decoded([(place, views[place]) for place in places[:LOOK]])
        found = [array for array in arrays if array is not None]
        return torch.from_numpy(np.stack(found)) if found else None


def _tensor(rows: np.ndarray) -> torch.Tensor:
    """Rows of a shelf; 16 bits are a bfloat16's."""
    return (
        torch.from_numpy(rows.view(np.int16)).view(torch.bfloat16)
        if rows.dtype == np.uint16
        else torch.from_numpy(rows)
    )


def _count(missing: Sequence[tuple[Photos, list[tuple[int, int]]]]) -> int:
    return sum(len(pairs) for _, pairs in missing)
