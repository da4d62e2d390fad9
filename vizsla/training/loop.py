"""The loop: load, forward, backward, update, see. What watches it gets events and may answer with a Stop.

Its clock says where the time goes: each event carries the phases since the one before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn
from torch.nn.functional import cross_entropy

from vizsla.errors import UserError
from vizsla.plan import Plan
from vizsla.training import optim
from vizsla.training.checkpoint import Best, Checkpoints, Parts, Progress
from vizsla.training.clock import Clock
from vizsla.training.data import Photos, cut
from vizsla.training.events import EpochEnd, Finished, See, Started, Step, Stop
from vizsla.training.scores import BATCH, evaluate
from vizsla.vision import networks


@dataclass(frozen=True)
class Trained:
    """The best finished epoch's weights are in the network; `best.epoch` is 0 if no epoch was finished."""

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


def train(net: nn.Module, plan: Plan, splits: tuple[Photos, Photos], checkpoints: Checkpoints, see: See) -> Trained:
    """Trains what is not frozen in `net` on `splits` = (train, valid); goes on from a checkpoint if there is one.

    Raises UserError if no epoch had a finite valid loss.
    """
    photos, valid_photos = splits
    frozen = networks.freeze(net, plan.train_from)
    steps = len(cut(list(range(len(photos))), plan.batch_size))
    valid_batch = max(plan.batch_size, BATCH)
    parts = Parts(net, *optim.prepare(net, plan, steps))
    at, best = checkpoints.restore(parts)

    clock = Clock()
    with clock("observe"):
        stop = see(Started(plan.epochs, steps, len(photos), at.epoch, at.global_step, at.step, net))
    while not stop and at.epoch < plan.epochs and not out_of_patience(at, plan):
        epoch, train_loss = at.epoch + 1, Mean()
        networks.set_train_mode(net, frozen, keep_statistics=optim.pretrained(plan))
        for step, batch in clock.each("load", photos.shuffled(plan.batch_size, plan.seed, epoch)):
            lr = float(parts.schedule.get_last_lr()[0])
            with clock("forward"):
                logits_BC = net(batch.x_BCHW)
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
            valid = evaluate(net, valid_photos, valid_batch)
            kept = best.keep(net, epoch, float(train_loss), (valid.loss, valid.accuracy))
        at.epoch, at.global_step = epoch, at.global_step + math.ceil(len(valid_photos) / valid_batch)
        at.epochs_without_gain = 0 if kept else at.epochs_without_gain + 1
        with clock("observe"):
            stop = see(EpochEnd(epoch, at.step - 1, at.global_step - 1, float(train_loss), valid, kept, clock.lap()))
        with clock("checkpoint"):
            checkpoints.save(at, best, parts)

    if best.epoch:
        _refuse_diverged(best, plan)
        net.load_state_dict(best.weights)
        see(Finished(at.epoch, best.epoch, best.train_loss, best.valid_loss, best.valid_accuracy, clock.lap()))
    return Trained(best, at.epoch, stop)


def out_of_patience(at: Progress, plan: Plan) -> bool:
    return 0 < plan.patience <= at.epochs_without_gain


def _refuse_diverged(best: Best, plan: Plan) -> None:
    if not math.isfinite(best.valid_loss):
        raise UserError(
            "The training diverged: no epoch had a finite loss on the valid photos.",
            f"Train anew with a lower learning rate, such as --set lr={plan.lr / 10:g}.",
        )
