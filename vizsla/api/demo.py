"""The demo: 2,624 photos of solar cells, checked, searched over, trained on and asked."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

from vizsla.api import asking, data, training, tuning
from vizsla.api.requests import Request, Rules
from vizsla.errors import UserError
from vizsla.files import read_json
from vizsla.jobdir import JobDir
from vizsla.tuning.space import parse_range
from vizsla.workspace import Workspace

# Deitsch et al. 2019, "Automatic classification of defective photovoltaic module cells in electroluminescence images",
# Solar Energy 185: accuracy on a held-out 25 % of the same photos.
PUBLISHED = MappingProxyType({"SVM": 0.8244, "CNN": 0.8842})

# A quarter is held out, as there; valid is cut from the rest.
SPLIT = MappingProxyType({"data.split": "0.6,0.15,0.25"})
# Cells have no up. Four views have a lower valid loss than two, and a larger backbone has none (bench/README.md).
LOOKED_AT = MappingProxyType({"flips": "all", "views": "4"})
TRIALS = MappingProxyType({**SPLIT, **LOOKED_AT, "data.fraction": "0.3"})
RANGES = ("lr=0.001..0.01", "batch_size=64,128", "epochs=2..3")
JOBS, PARALLEL = 4, 2
FINAL = MappingProxyType({**SPLIT, **LOOKED_AT})


def photos(folder: Path) -> Path:
    """The data set as a folder, written on first use. Raises UserError if the package is missing."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        data.import_elpv(folder)
    elif not all((folder / name).is_dir() for name in data.ELPV_CLASSES):
        raise UserError(f"{folder} is not what the demo wrote.", "Move it away, or run the demo elsewhere.")
    return folder


def check(folder: Path) -> dict[str, Any]:
    """What is in the folder, as `vizsla data check` says it."""
    return data.check(Request({"training": folder}, SPLIT))


def search(folder: Path, workspace: Workspace, seed: int = 0) -> JobDir:
    """Starts the search."""
    asked = tuning.Search([parse_range(each) for each in RANGES], JOBS, PARALLEL, early_stopping="auto")
    return tuning.submit(Request({"training": folder}, {**TRIALS, "seed": str(seed)}), asked, workspace)


def final(folder: Path, sweep: JobDir, workspace: Workspace, seed: int = 0) -> JobDir:
    """Starts the final training with what the search has found."""
    settings = {**tuning.winner(sweep.name, workspace), **FINAL, "seed": str(seed)}
    return training.submit(Request({"training": folder}, settings, rules=Rules(defaults=True)), workspace)


def ask_two(job: JobDir, folder: Path, workspace: Workspace) -> list[dict[str, Any]]:
    """The answers for one held-out photo of each class, the first of each by name, with the truth beside them."""
    rows = read_json(job.reports / "evaluation.json")["predictions"]
    firsts = [next(row for row in rows if row["label"] == name) for name in data.ELPV_CLASSES]
    answers = asking.predict(job.name, [folder / row["file"] for row in firsts], 2, workspace)
    return [{**answer, "truth": row["label"]} for answer, row in zip(answers, firsts, strict=True)]
