"""Photos to batches: decoded ahead in threads, always in the same order, whatever the number of threads.

The order of the photos and their views are drawn from (seed, epoch) alone, so a resumed epoch sees what the first try
would have seen. `features.py` has the same for photos whose way through the frozen part of a network is known already.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from vizsla.errors import UserError
from vizsla.training.check import CheckedPhoto
from vizsla.training.execution import Execution
from vizsla.training.views import AS_IT_IS, Views
from vizsla.vision.preprocess import BadImage, Preprocessing, normalise, pixels

log = logging.getLogger("vizsla.data")

BATCHES_AHEAD = 2
READ_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """x: float32, photos (batch, 3, size, size), normalised, or what a body made of them. y: int64, (batch,)."""

    x: torch.Tensor
    y_B: torch.Tensor
    photos: tuple[CheckedPhoto, ...]
    """In the same order."""
    are_features: bool = False
    look_BCHW: torch.Tensor | None = None
    """Photos behind the features, or some of them, where somebody wants to see the whole network."""


class Split(Protocol):
    """Photos of one use, to be read in batches, as photos or as features."""

    @property
    def classes(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """The batches of one training epoch: every photo once, in one of its views."""

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """The photos as they are, for evaluation."""


@dataclass(frozen=True)
class Photos:
    """A split that decodes its photos."""

    photos: Sequence[CheckedPhoto]
    classes: Sequence[str]
    spec: Preprocessing
    execution: Execution
    views: Views = field(default_factory=Views)

    def __len__(self) -> int:
        return len(self.photos)

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """The batches of one training epoch: every photo once, in one of its views."""
        order, views = drawn(len(self.photos), self.views, seed, epoch)
        return self._batches(cut(order, batch_size), views)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """The photos as they are, for evaluation."""
        everyone = list(range(len(self.photos)))
        return self._batches(cut(everyone, batch_size), [AS_IT_IS] * len(everyone))

    def decoded(self, wanted: Sequence[tuple[int, int]]) -> Iterator[np.ndarray | None]:
        """Float32 (3, size, size) of each (place, view), in order, decoded ahead; None for a photo that is gone."""
        pairs = [list(each) for each in cut(list(range(len(wanted))), READ_AT_ONCE)]
        for _, arrays in _loaded(pairs, lambda index: self._read(*wanted[index]), self.execution.loader_workers):
            yield from arrays

    def _batches(self, cuts: list[list[int]], views: Sequence[int]) -> Iterator[Batch]:
        for indices, arrays in _loaded(
            cuts, lambda index: self._read(index, views[index]), self.execution.loader_workers
        ):
            yield self._assemble(indices, arrays)

    def _assemble(self, indices: list[int], arrays: Sequence[np.ndarray | None]) -> Batch:
        good = [(self.photos[index], array) for index, array in zip(indices, arrays, strict=True) if array is not None]
        if not good:
            raise UserError(
                f"None of {len(indices)} photos can be read any more, {self.photos[indices[0]].file} among them.",
                "Put the photos back where they were, then go on with --resume.",
            )
        x = torch.from_numpy(np.stack([array for _, array in good])).contiguous(memory_format=self.execution.layout)
        photos = tuple(photo for photo, _ in good)
        return Batch(x, labels(photos, self.classes), photos)

    def _read(self, index: int, view: int) -> np.ndarray | None:
        photo = self.photos[index]
        try:
            pixels_HWC = pixels(photo.path.read_bytes(), self.spec)
        except (BadImage, OSError) as error:
            log.warning("%s was good when training began and is left out now: %s", photo.file, error)
            return None
        return normalise(self.views.apply(pixels_HWC, view, photo.sha256), self.spec)


def drawn(photos: int, views: Views, seed: int, epoch: int) -> tuple[list[int], list[int]]:
    """The order of so many photos in an epoch, and the view of each, by its place in the split."""
    draw = np.random.default_rng([seed, epoch])
    return draw.permutation(photos).tolist(), views.pick(draw, photos)


def labels(photos: Sequence[CheckedPhoto], classes: Sequence[str]) -> torch.Tensor:
    """int64 (photos,): the index of each one's class."""
    index_of = {name: index for index, name in enumerate(classes)}
    return torch.tensor([index_of[photo.label] for photo in photos])


def cut(order: list[int], size: int) -> list[list[int]]:
    """`order` in pieces of `size`; a last piece of one joins the one before, as a batch norm cannot train on one."""
    pieces = [order[start : start + size] for start in range(0, len(order), size)]
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        last = pieces.pop()
        pieces[-1] = pieces[-1] + last
    return pieces


def _loaded(
    cuts: list[list[int]], load: Callable[[int], np.ndarray | None], workers: int
) -> Iterator[tuple[list[int], list[np.ndarray | None]]]:
    if workers == 0:
        for indices in cuts:
            yield indices, [load(index) for index in indices]
        return
    waiting: deque[tuple[list[int], list[Future[np.ndarray | None]]]] = deque()
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        for indices in cuts:
            waiting.append((indices, [pool.submit(load, index) for index in indices]))
            if len(waiting) > BATCHES_AHEAD:
                ready, futures = waiting.popleft()
                yield ready, [future.result() for future in futures]
        for ready, futures in waiting:
            yield ready, [future.result() for future in futures]
