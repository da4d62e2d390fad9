"""What is in a folder of photos, and known data sets as folders of photos."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vizsla.api import requests
from vizsla.api.requests import Request
from vizsla.backends import local
from vizsla.errors import UserError, VizslaError

ELPV_CLASSES = ("defective", "functional")


def check(request: Request) -> dict[str, Any]:
    """data_report.json's document for what a training with these settings would find, and "problem" if it could not.

    Raises UserError if there is no layout to be made out at all.
    """
    asked = requests.job(request)
    planned = requests.plan(asked)
    document = planned.model_dump(mode="json") if planned else {}
    return dict(local.ask("check", {"channels": asked.channels, "plan": document}))


def import_elpv(folder: Path) -> dict[str, int]:
    """Writes the elpv-dataset package's photos as functional/ and defective/ PNGs. Returns the count of each class.

    2,624 greyscale photos of 300 by 300 pixels of solar cells under electroluminescence; defective where the experts'
    defect probability is above 0.5 (Deitsch et al. 2019). The folder appears whole or not at all.
    """
    if find_spec("elpv_dataset") is None:
        raise UserError("The package elpv-dataset is not installed.", 'Install it with: pip install "vizsla[demo]"')
    if folder.exists():
        raise UserError(f"{folder} exists already.", "Name a folder that does not, or use that one as it is.")
    beside = folder.with_name(f".{folder.name}.importing")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        counts = _write_elpv(beside)
        beside.rename(folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise VizslaError(f"Cannot write {folder}: {error.strerror}.", "Name another folder, or make room.") from error
    return counts


def _write_elpv(folder: Path) -> dict[str, int]:
    from elpv_dataset.utils import load_dataset
    from PIL import Image

    photos, probabilities, _cell_types = load_dataset()
    counts = dict.fromkeys(ELPV_CLASSES, 0)
    for name in ELPV_CLASSES:
        (folder / name).mkdir(parents=True)
    for number, (photo, probability) in enumerate(zip(photos, probabilities, strict=True), start=1):
        name = "defective" if probability > 0.5 else "functional"
        # A fifth of the time of the default level, for a sixth more bytes.
        Image.fromarray(photo).save(folder / name / f"cell{number:04d}.png", compress_level=1)
        counts[name] += 1
    return counts
