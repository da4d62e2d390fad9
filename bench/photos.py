"""The photos that measurements run on: the dogs where they are, and ELPV, split once for both sides."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from bench.home import Home

DOGS = Path(
    os.environ.get("VIZSLA_TEST_PHOTOS", Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dogs")
)
SPLITS = ("train", "valid", "test")
ELPV_SPLIT = "0.6,0.15,0.25"
# A training of nothing, for its splits.csv: a network of a few thousand weights on pictures of 16 pixels.
_SPLIT_ONLY = {
    "model": "test_resnet",
    "weights": "none",
    "method": "probe",
    "image.size": "16",
    "data.split": ELPV_SPLIT,
}


def elpv(home: Home) -> Path:
    """All of ELPV in one folder, a folder a class."""
    folder = home.folder / "elpv"
    if not folder.exists():
        home.run("data", "import", "elpv", folder)
    return folder


def split(photos: Path, home: Home, share: float = 1.0) -> Path:
    """Folders train, valid and test of links, as vizsla splits `photos`; of each class in each the first `share`."""
    job = Path(home.run("train", photos, settings=_SPLIT_ONLY).document["folder"])
    found: dict[tuple[str, str], list[str]] = {}
    with (job / "output" / "data" / "splits.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["split"], row["label"]), []).append(row["file"])
    folders = home.folder / f"split-{share:g}"
    for (name, label), files in found.items():
        place = folders / name / label
        place.mkdir(parents=True)
        for each in sorted(files)[: round(share * len(files))]:
            (place / Path(each).name).symlink_to(photos / each)
    return folders


def count(folder: Path) -> int:
    """How many photos lie in a folder of class folders, or of splits of them."""
    return sum(1 for path in folder.rglob("*") if path.is_file())
