"""The loop: load, forward, backward, update, see. What watches it gets events and may answer with a Stop.

Its clock says where the time goes: each event carries the phases since the one before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.nn.functional import cross_entropy

from vizsla.errors import UserError
from vizsla.plan import Plan
from vizsla.training import optim
from vizsla.training.checkpoint import Best, Checkpoints, Parts, Progress
from vizsla.training.clock import Clock
from vizsla.training.data import Split, cut
from vizsla.training.events import EpochEnd, Finished, Probed, See, Started, Step, Stop
from vizsla.training.learner import Learner
from vizsla.training.scores import BATCH, Scores, evaluate

# Fine-tuning from a probe costs in its first epoch and wins that back in the second, if ever (bench/README.md).
PATIENCE_WITH_PROBE = 2


@dataclass(frozen=True)
class Start:
    """A probe that is measured before the first epoch, and kept until an epoch is better. `valid` is what it reads."""

    learner: Learner
    valid: Split
    train_loss: float


@dataclass(frozen=True)
class Trained:
    """What is kept: `learner` has the best epoch's weights, or is a probe's. Nothing where `best.weights` is empty."""

    learner: Learner
    best: Best
    epochs: int
    stopped: Stop | None


class Mean:
    """A mean over photos, batch by batch."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, value: float, count: int) -> None:
        self._sum, self._count = self._sum + value * count, self._count + count

    def __float__(self) -> float:
        return self._sum / self._count


def train(  # noqa: PLR0915 - one visible function, to be read in one sitting
    learner: Learner,
    plan: Plan,
    splits: tuple[Split, Split],
    checkpoints: Checkpoints,
    see: See,
    start: Start | None = None,
) -> Trained:
    """Trains the learner's tail on `splits` = (train, valid); goes on from a checkpoint if there is one.

    start: counts as epoch 0; with plan.method=probe it is the only epoch.

    Raises UserError if nothing had a finite valid loss.
    """
    photos, valid_photos = splits
    epochs = 1 if plan.method == "probe" else plan.epochs
    steps = len(cut(list(range(len(photos))), plan.batch_size))
    valid_batch = max(plan.batch_size, BATCH)
    parts = Parts(learner.tail, *optim.prepare(learner.whole, plan, steps, learner.head_begun))
    at, best = checkpoints.restore(parts)

    clock = Clock()
    with clock("observe"):
        stop = see(Started(epochs, steps, len(photos), at.epoch, at.global_step, at.step, learner.whole))
    of_probe = 1 if plan.method == "probe" else 0
    if start and not at.epoch and not stop:
        with clock("evaluate"):
            valid = evaluate(start.learner, start.valid, valid_batch)
            best.keep(start.learner.tail, of_probe, start.train_loss, (valid.loss, valid.accuracy))
        at.epoch = of_probe
        with clock("observe"):
            stop = see(_probed(at.epoch, start.train_loss, valid, clock))
    while not stop and at.epoch < epochs and not out_of_patience(at, plan, begun=start is not None):
        epoch, train_loss = at.epoch + 1, Mean()
        learner.train_mode(keep_statistics=optim.pretrained(plan))
        for step, batch in clock.each("load", photos.shuffled(plan.batch_size, plan.seed, epoch)):
            lr = float(parts.schedule.get_last_lr()[0])
            if batch.look_BCHW is not None:
                with clock("observe"):
                    learner.look(batch)
            with clock("forward"):
                logits_BC = learner(batch)
                loss = cross_entropy(logits_BC, batch.y_B, label_smoothing=plan.label_smoothing)
            with clock("backward"):
                parts.optim.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            with clock("update"):
                parts.optim.step()
                parts.schedule.step()
                train_loss.add(loss_value := float(loss.detach()), len(batch.y_B))  # a GPU is waited for here
            with clock("observe"):
                batch_seen = len(batch.y_B), batch.y_B, logits_BC.detach()
                stop = see(Step(epoch, at.step, at.global_step, step, loss_value, lr, *batch_seen, clock.lap()))
            at.step, at.global_step = at.step + 1, at.global_step + 1
            if stop:
                break
        if stop:
            break  # a half epoch is never saved: resume runs it again from its first photo
        with clock("evaluate"):
            valid = evaluate(learner, valid_photos, valid_batch)
            kept = best.keep(learner.tail, epoch, float(train_loss), (valid.loss, valid.accuracy))
        at.epoch, at.global_step = epoch, at.global_step + math.ceil(len(valid_photos) / valid_batch)
        at.epochs_without_gain = 0 if kept else at.epochs_without_gain + 1
        with clock("observe"):
            stop = see(EpochEnd(epoch, at.step - 1, at.global_step - 1, float(train_loss), valid, kept, clock.lap()))
        with clock("checkpoint"):
            checkpoints.save(at, best, parts)

    kept_learner = start.learner if start and best.epoch == of_probe else learner
    if best.weights:
        _refuse_diverged(best, plan)
        kept_learner.tail.load_state_dict(best.weights)
        see(Finished(at.epoch, best.epoch, best.train_loss, best.valid_loss, best.valid_accuracy, clock.lap()))
    return Trained(kept_learner, best, at.epoch, stop)


def _probed(epoch: int, train_loss: float, valid: Scores, clock: Clock) -> Probed | EpochEnd:
    if not epoch:
        return Probed(train_loss, valid, clock.lap())
    return EpochEnd(epoch, 0, 0, train_loss, valid, kept=True, phases=clock.lap())


def out_of_patience(at: Progress, plan: Plan, begun: bool) -> bool:
    """begun: with a probe that is kept unless an epoch is better, which some trainings never are."""
    patience = plan.patience or (PATIENCE_WITH_PROBE if begun else 0)
    return 0 < patience <= at.epochs_without_gain


def _refuse_diverged(best: Best, plan: Plan) -> None:
    if not math.isfinite(best.valid_loss):
        raise UserError(
            "The training diverged: no epoch had a finite loss on the valid photos.",
            f"Train anew with a lower learning rate, such as --set lr={plan.lr / 10:g}.",
        )
