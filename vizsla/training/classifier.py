"""The built-in classifier, start to end: photos → splits → network → loop → bundle → held-out test.

It runs inside a job, reads its plan from the job folder, and writes only where SageMaker copies. Interrupted and
started again it goes on from the last finished epoch.
"""

from __future__ import annotations

import csv
import io
import logging
import platform
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from vizsla import bundle
from vizsla.files import write_atomic, write_json
from vizsla.job import now
from vizsla.jobdir import JobDir, Outcome
from vizsla.observers.metrics import ProgressFile
from vizsla.observers.watching import watching
from vizsla.plan import Plan
from vizsla.training import check, execution, layouts
from vizsla.training.check import CheckedPhoto
from vizsla.training.checkpoint import Checkpoints
from vizsla.training.data import Photos
from vizsla.training.events import Event, Stop
from vizsla.training.execution import Execution
from vizsla.training.listing import Split
from vizsla.training.loop import Trained, train
from vizsla.training.scores import BATCH, evaluate, report
from vizsla.training.split import SPLITS
from vizsla.vision import networks
from vizsla.vision.preprocess import Preprocessing

log = logging.getLogger("vizsla.train")


Report = dict[str, Any]


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked the job to end
    """The job was asked to end before the loop had begun."""


class Signals:
    """SIGTERM and SIGINT as a wish to stop that the loop sees after its step. Also an observer."""

    def __init__(self) -> None:
        self.stop: Stop | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def __call__(self, _event: Event) -> Stop | None:
        return self.stop

    def check(self) -> None:
        """Raises Interrupted if a signal has come."""
        if self.stop:
            raise Interrupted(self.stop.reason)

    def _note(self, number: int, _frame: object) -> None:
        self.stop = Stop(f"stopped by {signal.Signals(number).name}")


@dataclass(frozen=True)
class Splits:
    """The photos of a job by use, and how they become arrays."""

    train: Photos
    valid: Photos
    test: Photos
    fingerprint: str

    @property
    def counts(self) -> dict[str, int]:
        return {"train": len(self.train), "valid": len(self.valid), "test": len(self.test)}


def run(folder: JobDir, number: int) -> Outcome:
    """Trains, keeps the best epoch as a bundle, and asks the test photos once.

    Raises VizslaError for whatever a user can mend. Asked to end in between, it returns Stopped with a bundle of the
    best finished epoch, or without one if no epoch was finished. One that is there to be profiled keeps no bundle.
    """
    signals = Signals()
    progress = ProgressFile(folder.private / "progress.json")
    plan, launch = folder.plan(), folder.job().launch

    def watched(done: int, total: int) -> None:
        signals.check()
        progress.show("check", done, total)

    chosen = execution.choose(launch.run, folder.private / "execution.json")
    try:
        splits = prepare(folder, plan, chosen, watched)
        torch.manual_seed(plan.seed)
        net = networks.build(plan.model, len(splits.train.classes), plan.dropout, plan.weights, plan.image.size)
        net = net.to(memory_format=chosen.layout)
        signals.check()
    except Interrupted as interrupted:
        return Outcome("Stopped", f"{interrupted}, before the training began")
    how = {**asdict(chosen), "batch_size": plan.batch_size}
    with watching(folder, number, {"signals": signals, "progress": progress}, how) as see:
        checkpoints = Checkpoints(folder.checkpoints, plan.digest(), splits.fingerprint)
        trained = train(net, plan, (splits.train, splits.valid), checkpoints, see)
    if launch.profile.stop_after:
        reason = trained.stopped.reason if trained.stopped else "the whole training is profiled"
        return Outcome("Stopped", f"{reason}: a profile keeps no model")
    if not trained.best.epoch:
        reason = trained.stopped.reason if trained.stopped else "stopped"
        return Outcome("Stopped", f"{reason}, before the first epoch ended: there is no model")
    _write_bundle(folder, plan, net, splits, trained, None)  # before the test: what is killed there has its model
    if trained.stopped:
        return Outcome("Stopped", f"{trained.stopped.reason}; the best of {trained.epochs} epochs is kept")
    if held_out := _ask_test(folder, plan, net, splits, progress):
        _write_bundle(folder, plan, net, splits, trained, held_out)
    log.info("the bundle is in %s", folder.model)
    return Outcome("Completed")


def prepare(folder: JobDir, plan: Plan, chosen: Execution, progress: Callable[[int, int], None]) -> Splits:
    """Finds, decodes and divides the photos, and writes data_report.json and splits.csv."""
    channels = {name: folder.channel(name).resolve() for name in folder.job().channels}  # as the user knows them
    listing = layouts.read(channels, plan.data.labels)
    layouts.refuse_untrainable(listing.photos, listing.empty)  # asked before minutes of decoding
    log.info("checking %d photos of %d classes", len(listing.photos), len(listing.classes))
    spec = preprocessing(plan)
    checked = check.check(listing, spec, chosen.threads, progress)
    check.refuse_hopeless(checked, listing, plan.data.max_bad)
    divided = check.divide(checked, plan.data.split, plan.seed, plan.data.fraction)
    document = check.report(listing, checked, divided)
    write_json(folder.reports / "data_report.json", document)
    _write_splits(folder, divided)
    for bad in checked.bad:
        log.warning("left out: %s: %s", bad.file, bad.reason)
    classes = document["classes"]
    splits = {name: Photos(photos, classes, spec, chosen) for name, photos in divided.items()}
    log.info("%d photos to train on, %d to validate, %d held out", *(len(splits[name]) for name in SPLITS))
    return Splits(**splits, fingerprint=document["fingerprint"])


def _write_splits(folder: JobDir, divided: Mapping[Split, Sequence[CheckedPhoto]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "label", "split", "sha256"])
    for split, photos in divided.items():
        table.writerows([photo.file, photo.label, split, photo.sha256] for photo in photos)
    write_atomic(folder.reports / "splits.csv", text.getvalue())


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


def _ask_test(folder: JobDir, plan: Plan, net: nn.Module, splits: Splits, progress: ProgressFile) -> Report | None:
    """evaluation.json of the held-out photos; None if there are none or they are to be left alone."""
    if not plan.evaluate.test or not len(splits.test):
        log.info("no photos are held out: test figures are left empty" if plan.evaluate.test else "test is left alone")
        return None
    size = max(plan.batch_size, BATCH)
    scores = evaluate(net, splits.test, size, lambda done, total: progress.show("test", done, total))
    document = report(scores, splits.test.classes, "test")
    write_json(folder.reports / "evaluation.json", document)
    low, high = document["accuracy_95"]
    # In words that a regex for "average test loss: …" cannot match: the last match must stay the kept epoch's.
    log.info("held-out: loss %.4f accuracy %.4f (95 %% between %.4f and %.4f)", scores.loss, scores.accuracy, low, high)
    return document


def _write_bundle(
    folder: JobDir, plan: Plan, net: nn.Module, splits: Splits, trained: Trained, held_out: Report | None
) -> None:
    spec = splits.train.spec
    best = trained.best
    manifest = bundle.Manifest(
        name=folder.name,
        created=now(),
        classes=tuple(splits.train.classes),
        architecture={"model": plan.model, "num_classes": len(splits.train.classes), "dropout": plan.dropout},
        preprocessing=spec.to_dict(),
        preprocessing_sha256=spec.digest(),
        metrics={
            "train_loss": best.train_loss,
            "valid_loss": best.valid_loss,
            "valid_accuracy": best.valid_accuracy,
            "test_loss": held_out["loss"] if held_out else None,
            "test_accuracy": held_out["accuracy"] if held_out else None,
        },
        data={"fingerprint": splits.fingerprint, "images": splits.counts},
        versions={name: version(name) for name in ("vizsla", "torch", "timm", "numpy", "pillow")}
        | {"python": platform.python_version()},
        plan_sha256=plan.digest(),
    )
    tensors = {name: value.contiguous().numpy() for name, value in net.state_dict().items()}
    bundle.write(folder.model, manifest, tensors)
