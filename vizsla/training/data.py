"""Photos to batches: decoded ahead in threads, always in the same order, whatever the number of threads.

The order of the photos and their flips are drawn from (seed, epoch) alone, so a resumed epoch sees what the first try
would have seen.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from vizsla.errors import UserError
from vizsla.training.check import CheckedPhoto
from vizsla.training.execution import Execution
from vizsla.vision.preprocess import BadImage, Preprocessing, preprocess

log = logging.getLogger("vizsla.data")

BATCHES_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """x: float32, (batch, 3, size, size), normalised. y: int64, (batch,). `photos` in the same order."""

    x_BCHW: torch.Tensor
    y_B: torch.Tensor
    photos: tuple[CheckedPhoto, ...]


@dataclass(frozen=True)
class Photos:
    """One split, ready to be read in batches."""

    photos: Sequence[CheckedPhoto]
    classes: Sequence[str]
    spec: Preprocessing
    execution: Execution

    def __len__(self) -> int:
        return len(self.photos)

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """The batches of one training epoch: every photo once, half of them flipped left to right."""
        draw = np.random.default_rng([seed, epoch])
        order = draw.permutation(len(self.photos))
        flips = draw.random(len(self.photos)) < 0.5
        return self._batches(cut(order.tolist(), batch_size), lambda index: bool(flips[index]))

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """The photos as they are, for evaluation."""
        return self._batches(cut(list(range(len(self.photos))), batch_size), lambda _index: False)

    def _batches(self, cuts: list[list[int]], flipped: Callable[[int], bool]) -> Iterator[Batch]:
        index_of = {name: index for index, name in enumerate(self.classes)}

        def load(index: int) -> np.ndarray | None:
            array_CHW = self._read(self.photos[index])
            return array_CHW[:, :, ::-1] if array_CHW is not None and flipped(index) else array_CHW

        def assemble(indices: list[int], arrays: Sequence[np.ndarray | None]) -> Batch:
            good = [
                (self.photos[index], array) for index, array in zip(indices, arrays, strict=True) if array is not None
            ]
            if not good:
                raise UserError(
                    f"None of {len(indices)} photos can be read any more, {self.photos[indices[0]].file} among them.",
                    "Put the photos back where they were, then go on with --resume.",
                )
            x = torch.from_numpy(np.stack([array for _, array in good])).contiguous(memory_format=self.execution.layout)
            y = torch.tensor([index_of[photo.label] for photo, _ in good])
            return Batch(x, y, tuple(photo for photo, _ in good))

        for indices, arrays in _loaded(cuts, load, self.execution.loader_workers):
            yield assemble(indices, arrays)

    def _read(self, photo: CheckedPhoto) -> np.ndarray | None:
        try:
            return preprocess(photo.path.read_bytes(), self.spec)
        except (BadImage, OSError) as error:
            log.warning("%s was good when training began and is left out now: %s", photo.file, error)
            return None


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
