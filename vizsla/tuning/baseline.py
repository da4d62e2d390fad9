"""What a sweep does once before its trials: the features that they share, and the probe they are compared with.

The controller asks a worker for it and waits. What is found is baseline.json in the sweep's folder, so that a sweep
that goes on does not ask again; the features are in the user's cache, where the trials look for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from vizsla import cache
from vizsla.backends import local
from vizsla.files import read_json, write_json
from vizsla.job import CLASSIFIER
from vizsla.jobdir import JobDir
from vizsla.machine import cpus
from vizsla.tuning.spec import CLASSIFIER_METRICS, Sweep

FILE = "baseline.json"
# What decides the features of a photo, or which photos there are: where one of these is searched, trials share nothing
# that could be known before them, and each computes what it finds missing.
DECIDES = ("model", "weights", "train_from", "views", "flips", "seed", "image.", "data.")


def prepare(folder: JobDir, sweep: Sweep) -> None:
    """Computes features and baseline, if trials will share them and it was not done before.

    Raises the VizslaError that every trial would end with, such as that of photos nobody can train on.
    """
    place = folder.path / FILE
    if sweep.template.entry_point != CLASSIFIER or _differ(sweep) or place.exists():
        return
    share = max(1, cpus() // sweep.parallel)
    request = {"job": sweep.template.model_dump(mode="json"), "folder": str(folder.path), "share": share}
    write_json(place, local.ask("features", request, long=True))


@contextmanager
def held(folder: JobDir) -> Iterator[None]:
    """Nothing of what `prepare` has put into the cache is evicted in here."""
    with ExitStack() as stack:
        for shelf in _read(folder).get("shelves", []):
            stack.enter_context(cache.using(Path(shelf)))
        yield


def read(folder: JobDir) -> dict[str, Any] | None:
    """The probe's losses and accuracy by the names of the records they would be; None if there is none."""
    found = _read(folder).get("probe")
    return found if isinstance(found, dict) else None


def value(folder: JobDir, sweep: Sweep) -> float | None:
    """The probe's value of the objective."""
    found = (read(folder) or {}).get(CLASSIFIER_METRICS.get(sweep.objective, ""))
    return float(found) if isinstance(found, int | float) else None


def _read(folder: JobDir) -> dict[str, Any]:
    try:
        found = read_json(folder.path / FILE)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _differ(sweep: Sweep) -> bool:
    return any(
        name == each or (each.endswith(".") and name.startswith(each)) for name in sweep.ranges for each in DECIDES
    )
