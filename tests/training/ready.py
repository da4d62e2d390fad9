"""Made pictures as the loop gets them: checked, labelled, and ready to be read in batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from tests.photos import write_folder
from vizsla.training import check, layouts
from vizsla.training.data import Photos
from vizsla.training.execution import Execution
from vizsla.vision.preprocess import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

EXECUTION = Execution(
    threads=1,
    loader_workers=0,
    memory_format="channels_last",
    precision="float32",
    engine="torch",
    torch=torch.__version__,
    machine="the tests'",
)


def photos_in(folder: Path, size: int = 16, workers: int = 0) -> Photos:
    """All photos of a folder of class folders, in the order of their names, `size` pixels square."""
    listing = layouts.read({"training": folder})
    spec = Preprocessing(size=size)
    checked = check.check(listing, spec, 1, lambda _done, _total: None)
    return Photos(checked.photos, listing.classes, spec, replace(EXECUTION, loader_workers=workers))


def splits_in(factory: pytest.TempPathFactory) -> tuple[Photos, Photos]:
    """22 pictures of two classes to train on, 8 others to validate."""
    made = []
    for seed, count in ((1, 11), (2, 4)):
        folder = factory.mktemp("pictures")
        write_folder(folder, {"disc": count, "rows": count}, seed=seed)
        made.append(photos_in(folder, size=32))
    return made[0], made[1]
