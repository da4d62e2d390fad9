"""Where the features of one job are kept: a shelf in the user's cache for each output of the frozen part.

What there is no room for is computed each epoch. Only a probe needs its features all at once; they are small, and go
into the job's own folder for as long as it runs.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from vizsla import cache
from vizsla.errors import VizslaError
from vizsla.training import packs
from vizsla.training.apart import Apart
from vizsla.training.data import Photos
from vizsla.training.engines import BATCH
from vizsla.training.packs import Shelf, Spec
from vizsla.vision.halves import digest

log = logging.getLogger("vizsla.features")


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be kept, and where what is needed for a moment goes."""

    max_gb: float
    scratch: Path


def specs(apart: Apart, outputs: Sequence[str], model: str, photos: Photos) -> dict[str, Spec]:
    """What the rows of each output depend on, to the last bit, beside a photo's bytes and its view."""
    if not outputs:
        return {}
    preprocessing, chosen = photos.spec, photos.execution
    example_BCHW = torch.zeros(1, 3, preprocessing.size, preprocessing.size)
    shapes = [tuple(output.shape[1:]) for output in apart.extractor(outputs)(example_BCHW)]
    common: dict[str, str | int] = {
        "model": model,
        "preprocessing": preprocessing.digest(),
        "engine": chosen.engine,
        "precision": chosen.precision,
        "memory_format": chosen.memory_format,
        "threads": chosen.frozen_threads,
        "batch": BATCH,
        "torch": chosen.torch,
    }
    return {
        output: Spec({**common, **_of(apart, output)}, shape, chosen.precision)
        for output, shape in zip(outputs, shapes, strict=True)
    }


def _of(apart: Apart, output: str) -> dict[str, str]:
    """What a probe looks at is the same wherever a loop begins."""
    halves = apart.loop if output == "cut" else apart.head
    if halves is None:
        raise ValueError(f"there is nothing that gives {output}")
    taps = {"taps": " ".join(apart.taps)} if output == "stages" else {}
    return {"output": output, "after": halves.cut, "frozen": digest(halves.body), **taps}


def open_shelves(wanted: Mapping[str, Spec], rows: int, room: Room, stack: ExitStack) -> dict[str, Shelf]:
    """A shelf for each output that so many rows of can be kept; each is closed with `stack`."""
    found = {}
    for output, spec in wanted.items():
        shelf = _in_cache(spec, rows, room.max_gb)
        if shelf is None and output != "cut":
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix=".features-", dir=room.scratch))
            shelf = Shelf.open(Path(place), spec, float("inf"))
        if shelf is not None:
            found[output] = stack.enter_context(shelf)
    return found


def _in_cache(spec: Spec, rows: int, max_gb: float) -> Shelf | None:
    root = cache.root()
    try:
        return Shelf.open(root, spec, max_gb) if packs.fits(root, spec, rows, max_gb) else None
    except VizslaError as error:
        log.warning("the cache cannot be used: %s", error.message)
        return None
