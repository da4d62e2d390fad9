"""Where a job's features come from: what the frozen part makes of its photos, filled before the loop begins.

Between `shelves.py`, which finds room, and `ready.py`, which hands the loop what it reads.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vizsla.training import shelves, trying
from vizsla.training.apart import Apart
from vizsla.training.data import Photos, Split
from vizsla.training.engines import Engine
from vizsla.training.execution import Execution
from vizsla.training.features import Features
from vizsla.training.packs import CacheFull, Spec
from vizsla.training.shelves import Room
from vizsla.training.views import AS_IT_IS

log = logging.getLogger("vizsla.features")

Hear = Callable[[str, int, int], None]
"""Told (stage, done, total) while something takes its time; what it raises ends the work."""


@dataclass(frozen=True)
class Source:
    """The features there are; None where there are none."""

    features: Features | None = None

    @property
    def shelves(self) -> tuple[Path, ...]:
        """What the cache keeps for this job and others."""
        return tuple(shelf.path for shelf in self.features.shelves.values()) if self.features else ()

    def has(self, output: str) -> bool:
        """Whether features of this output are kept."""
        return self.features is not None and output in self.features.shelves

    def split(self, photos: Photos, output: str, looks: frozenset[int] = frozenset()) -> Split | None:
        """None where every epoch draws new views, where there was no room, and where there are no photos."""
        if not self.features or not self.has(output) or not photos.views.numbers or not len(photos):
            return None
        return self.features.split(photos, output, looks)

    def filled(self, photos: Photos, output: str, hear: Hear) -> Split | None:
        """The same for photos that have not been needed so far."""
        if not self.features or not self.has(output) or not len(photos):
            return None
        try:
            self.features.fill([(photos, photos.views.numbers)], lambda done, total: hear("features", done, total))
        except CacheFull as full:
            log.warning("%s", full.message)
            return None
        return self.split(photos, output)


def open_source(
    apart: Apart, splits: tuple[Photos, Photos], model: str, room: Room, stack: ExitStack
) -> tuple[Source, str]:
    """Shelves for what there is room for, and what is to be said of the rest, "" where nothing is.

    splits: train and valid. The shelves are closed with `stack`.
    """
    train, valid = splits
    views = train.views.numbers
    outputs = [output for output in apart.outputs if output != "cut" or views]
    wanted = shelves.specs(apart, outputs, model, train)
    rows = len(train) * max(1, len(views)) + len(valid)
    found = shelves.open_shelves(wanted, rows, room, stack)
    lacking = [output for output in apart.outputs if output not in found]
    said = _computed_each_epoch(lacking, wanted, rows) if lacking and apart.loop else ""
    if not found:
        return Source(), said
    return Source(Features(_engine(apart, tuple(found), train.execution), found)), said


def fill(source: Source, splits: tuple[Photos, Photos], hear: Hear) -> Source:
    """Computes what is missing of train and valid. Where the disk is full meanwhile, there is no source."""
    if not source.features:
        return source
    train, valid = splits
    wanted = [(train, train.views.numbers or (AS_IT_IS,)), (valid, (AS_IT_IS,))]
    try:
        source.features.fill(wanted, lambda done, total: hear("features", done, total))
    except CacheFull as full:
        log.warning("%s The frozen part is computed each epoch.", full.message)
        return Source()
    return source


def _engine(apart: Apart, outputs: tuple[str, ...], chosen: Execution) -> Engine:
    return trying.engine_of(apart, outputs, replace(chosen, threads=chosen.frozen_threads))


def _computed_each_epoch(lacking: Sequence[str], wanted: Mapping[str, Spec], rows: int) -> str:
    size_bytes = sum(rows * math.prod(wanted[output].shape) * 4 for output in lacking if output in wanted)
    if not size_bytes:
        return "the frozen part is computed each epoch: views=0 draws new views"
    return f"the frozen part is computed each epoch: {size_bytes / 1e9:.1f} GB of features do not fit (cache.max_gb)"
