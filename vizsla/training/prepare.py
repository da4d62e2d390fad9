"""The photos of a job: found, checked, divided, and written down in data_report.json and splits.csv.

The first step of a training, and of a sweep before its trials.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from vizsla import cache
from vizsla.files import write_atomic, write_json
from vizsla.machine import cpus
from vizsla.plan import Plan
from vizsla.training import check, layouts
from vizsla.training.check import CheckedPhoto
from vizsla.training.data import Photos
from vizsla.training.execution import Execution
from vizsla.training.listing import Split
from vizsla.training.remembered import Remembered
from vizsla.training.split import SPLITS
from vizsla.training.views import Views
from vizsla.vision import networks
from vizsla.vision.preprocess import Preprocessing

log = logging.getLogger("vizsla.train")


@dataclass(frozen=True)
class Divided:
    """The good photos by use."""

    parts: Mapping[Split, Sequence[CheckedPhoto]]
    classes: Sequence[str]
    spec: Preprocessing
    fingerprint: str

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(self.parts[name]) for name in SPLITS}

    def photos(self, split: Split, execution: Execution, views: Views | None = None) -> Photos:
        """One split, to be decoded as `execution` says; without `views` each photo is only looked at as it is."""
        seen = views or Views(1, "none")
        return Photos(self.parts[split], self.classes, self.spec, execution, seen)


def prepare(
    channels: Mapping[str, Path],
    plan: Plan,
    reports: Path | None,
    progress: Callable[[int, int], None],
    remember: bool = True,
) -> Divided:
    """Finds, decodes and divides the photos. `reports` is the folder for what is written about them, if it is to be.

    remember: photos that have not changed since they were last decoded are not decoded again.

    Raises UserError where there is nothing to train on.
    """
    listing = layouts.read(channels, plan.data.labels)
    layouts.refuse_untrainable(listing.photos, listing.empty)  # asked before minutes of decoding
    log.info("checking %d photos of %d classes", len(listing.photos), len(listing.classes))
    spec = preprocessing(plan)
    with Remembered(cache.root()) if remember else nullcontext() as memory:
        checked = check.check(listing, spec, cpus(), progress, memory)
    check.refuse_hopeless(checked, listing, plan.data.max_bad)
    divided = check.divide(checked, plan.data.split, plan.seed, plan.data.fraction)
    document = check.report(listing, checked, divided)
    if reports:
        write_json(reports / "data_report.json", document)
        _write_splits(reports / "splits.csv", divided)
    for bad in checked.bad:
        log.warning("left out: %s: %s", bad.file, bad.reason)
    found = Divided(divided, document["classes"], spec, document["fingerprint"])
    log.info("%d photos to train on, %d to validate, %d held out", *found.counts.values())
    return found


def preprocessing(plan: Plan) -> Preprocessing:
    """How photos become arrays under this plan."""
    facts = networks.describe(plan.model)
    return Preprocessing(
        size=plan.image.size,
        resize=plan.image.resize,
        interpolation=facts.interpolation,
        mean=facts.mean,
        std=facts.std,
        max_pixels=plan.image.max_pixels,
    )


def _write_splits(file: Path, divided: Mapping[Split, Sequence[CheckedPhoto]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "label", "split", "sha256"])
    for split, photos in divided.items():
        table.writerows([photo.file, photo.label, split, photo.sha256] for photo in photos)
    write_atomic(file, text.getvalue())
