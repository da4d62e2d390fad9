"""The built-in classifier, start to end: photos → splits → network → loop → bundle → held-out test.

It runs inside a job, reads its plan from the job folder, and writes only where SageMaker copies. Interrupted and
started again it goes on from the last finished epoch.
"""

from __future__ import annotations

import logging
import platform
import signal
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

from torch import nn

from vizsla import bundle
from vizsla.files import write_json
from vizsla.job import now
from vizsla.jobdir import JobDir, Outcome
from vizsla.observers.metrics import ProgressFile
from vizsla.observers.watching import watching
from vizsla.plan import Plan
from vizsla.training.checkpoint import Checkpoints
from vizsla.training.events import Event, See, Stop
from vizsla.training.learner import Learner
from vizsla.training.loop import Trained, train
from vizsla.training.prepare import Divided, prepare
from vizsla.training.ready import Asked, Ready, make
from vizsla.training.scores import BATCH, evaluate, report
from vizsla.training.source import Hear
from vizsla.vision.pooled import StagePooled
from vizsla.words import count

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


def run(folder: JobDir, number: int) -> Outcome:
    """Trains, keeps the best epoch as a bundle, and asks the test photos once.

    Raises VizslaError for whatever a user can mend. Asked to end in between, it returns Stopped with a bundle of the
    best finished epoch, or without one if no epoch was finished. One that is there to be profiled keeps no bundle.
    """
    signals = Signals()
    progress = ProgressFile(folder.private / "progress.json")
    plan, launch = folder.plan(), folder.job().launch

    def hear(stage: str, done: int, total: int) -> None:
        signals.check()
        progress.show(stage, done, total)

    with ExitStack() as stack:
        try:
            divided = find_photos(folder, plan, hear)
            ready = make(Asked(divided, plan, launch, folder.private), hear, stack)
            signals.check()
        except Interrupted as interrupted:
            return Outcome("Stopped", f"{interrupted}, before the training began")
        trained = _train(folder, number, ready, divided, {"signals": signals, "progress": progress})
        return _finish(folder, trained, ready, divided, progress)


def find_photos(folder: JobDir, plan: Plan, hear: Hear) -> Divided:
    """The photos of a job's channels, as the user knows them."""
    job = folder.job()
    channels = {name: folder.channel(name).resolve() for name in job.channels}
    remember = job.launch.cache.max_gb > 0
    return prepare(channels, plan, folder.reports, lambda done, total: hear("check", done, total), remember)


def _train(folder: JobDir, number: int, ready: Ready, divided: Divided, others: dict[str, See]) -> Trained:
    plan = folder.plan()
    with watching(folder, number, others, _how(ready, plan)) as see:
        checkpoints = Checkpoints(folder.checkpoints, plan.digest(), divided.fingerprint)
        return train(ready.learner, plan, (ready.train, ready.valid), checkpoints, see, ready.start)


def _how(ready: Ready, plan: Plan) -> dict[str, int | float | str]:
    """The execution as a record's value; why it was chosen is in execution.json."""
    return {
        **{name: fact for name, fact in ready.execution.facts.items() if not isinstance(fact, bool)},
        "batch_size": plan.batch_size,
    }


def _finish(folder: JobDir, trained: Trained, ready: Ready, divided: Divided, progress: ProgressFile) -> Outcome:
    """What is kept of a training, and how it ended."""
    plan, launch = folder.plan(), folder.job().launch
    if launch.profile.stop_after:
        reason = trained.stopped.reason if trained.stopped else "the whole training is profiled"
        return Outcome("Stopped", f"{reason}: a profile keeps no model")
    if not trained.best.weights:
        reason = trained.stopped.reason if trained.stopped else "stopped"
        return Outcome("Stopped", f"{reason}, before the first epoch ended: there is no model")
    net = trained.learner.whole
    _write_bundle(folder, plan, net, divided, trained, None)  # before the test: what is killed there has its model
    if trained.stopped:
        kept = f"the best of {count(trained.epochs, 'epoch')}" if trained.epochs else "the probe"
        return Outcome("Stopped", f"{trained.stopped.reason}; {kept} is kept")
    if held_out := _ask_test(folder, plan, (ready, trained.learner), divided, progress):
        _write_bundle(folder, plan, net, divided, trained, held_out)
    log.info("the bundle is in %s", folder.model)
    return Outcome("Completed")


def _ask_test(
    folder: JobDir, plan: Plan, asked: tuple[Ready, Learner], divided: Divided, progress: ProgressFile
) -> Report | None:
    """evaluation.json of the held-out photos; None if there are none or they are to be left alone."""
    if not plan.evaluate.test or not divided.counts["test"]:
        log.info("no photos are held out: test figures are left empty" if plan.evaluate.test else "test is left alone")
        return None
    size = max(plan.batch_size, BATCH)
    ready, learner = asked
    scores = evaluate(
        learner, ready.held_out(learner, progress.show), size, lambda done, total: progress.show("test", done, total)
    )
    document = report(scores, divided.classes, "test")
    write_json(folder.reports / "evaluation.json", document)
    low, high = document["accuracy_95"]
    # In words that a regex for "average test loss: …" cannot match: the last match must stay the kept epoch's.
    log.info("held-out: loss %.4f accuracy %.4f (95 %% between %.4f and %.4f)", scores.loss, scores.accuracy, low, high)
    return document


def _write_bundle(
    folder: JobDir, plan: Plan, net: nn.Module, divided: Divided, trained: Trained, held_out: Report | None
) -> None:
    spec = divided.spec
    best = trained.best
    manifest = bundle.Manifest(
        name=folder.name,
        created=now(),
        classes=tuple(divided.classes),
        architecture=_architecture(plan, net, len(divided.classes)),
        preprocessing=spec.to_dict(),
        preprocessing_sha256=spec.digest(),
        metrics={
            "train_loss": best.train_loss,
            "valid_loss": best.valid_loss,
            "valid_accuracy": best.valid_accuracy,
            "test_loss": held_out["loss"] if held_out else None,
            "test_accuracy": held_out["accuracy"] if held_out else None,
        },
        data={"fingerprint": divided.fingerprint, "images": divided.counts},
        versions={name: version(name) for name in ("vizsla", "torch", "timm", "numpy", "pillow")}
        | {"python": platform.python_version()},
        plan_sha256=plan.digest(),
    )
    tensors = {name: value.contiguous().numpy() for name, value in net.state_dict().items()}
    bundle.write(folder.model, manifest, tensors)


def _architecture(plan: Plan, net: nn.Module, num_classes: int) -> dict[str, Any]:
    """What `pooled.rebuild` makes the network of."""
    stages = {"stages": list(net.taps)} if isinstance(net, StagePooled) else {}
    return {"model": plan.model, "num_classes": num_classes, "dropout": plan.dropout, **stages}
