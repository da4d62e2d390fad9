"""Losses and accuracy as records, one log line an epoch that a SageMaker metric regex can read, and the progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vizsla.files import write_json
from vizsla.records import PROBE, Record, Writer
from vizsla.training.events import EpochEnd, Event, Finished, Probed, Started, Step, Stop

log = logging.getLogger("vizsla.train")


class Metrics:
    """Observer: writes to the records and the log. The first record of an attempt says where it goes on from."""

    def __init__(self, records: Writer) -> None:
        self._records = records
        self._epochs = 0

    def __call__(self, event: Event) -> Stop | None:
        match event:
            case Started():
                self._started(event)
            case Probed():
                self._probed(event)
            case Step():
                self._write("train_loss", event.loss, "train", step=event.step, at=event)
                self._write("lr", event.lr, "train", step=event.step, at=event)
            case EpochEnd():
                self._epoch(event)
            case Finished():
                self._finished(event)
        return None

    def _started(self, event: Started) -> None:
        self._epochs = event.epochs
        value: dict[str, Any] = {
            "from_global_step": event.from_global_step,
            "from_epoch": event.from_epoch,
            "epochs": event.epochs,
            "steps_per_epoch": event.steps_per_epoch,
        }
        self._records.write(Record(t=time.time(), kind="attempt", name="start", value=value))
        if event.from_epoch:
            log.info("goes on after epoch %d of %d", event.from_epoch, event.epochs)

    def _probed(self, event: Probed) -> None:
        """The head alone, before the first epoch: figures of no epoch, so they are no points of a curve."""
        figures = {
            "epoch_train_loss": event.train_loss,
            "valid_loss": event.valid.loss,
            "valid_accuracy": event.valid.accuracy,
        }
        self._records.write(Record(time.time(), "attempt", PROBE, value=figures))
        log.info("%s", epoch_line(0, self._epochs, *figures.values()))

    def _epoch(self, event: EpochEnd) -> None:
        self._write("epoch_train_loss", event.train_loss, "train", step=event.step, at=event)
        self._write("valid_loss", event.valid.loss, "eval", step=event.epoch - 1, at=event)
        self._write("valid_accuracy", event.valid.accuracy, "eval", step=event.epoch - 1, at=event)
        log.info("%s", epoch_line(event.epoch, self._epochs, event.train_loss, event.valid.loss, event.valid.accuracy))

    def _finished(self, event: Finished) -> None:
        kept = (
            f"the weights of epoch {event.epoch} are kept" if event.epoch else "the probe is kept: no epoch was better"
        )
        log.info("%s", kept)
        line = epoch_line(event.epoch, self._epochs, event.train_loss, event.valid_loss, event.valid_accuracy)
        log.info("%s", line)

    def _write(self, name: str, value: float, mode: str, *, step: int, at: Step | EpochEnd) -> None:
        record = Record(
            t=time.time(),
            kind="metric",
            name=name,
            mode=mode,
            step=step,
            global_step=at.global_step,
            epoch=at.epoch,
            value=value,
        )
        self._records.write(record)


def epoch_line(epoch: int, epochs: int, train_loss: float, valid_loss: float, accuracy: float) -> str:
    """The line whose numbers SageMaker-style metric definitions pick out; the loss "on test" there is valid's.

    Epoch 0 is the probe: the head alone, on frozen features.
    """
    name = f"epoch {epoch}/{epochs}" if epoch else "probe"
    return f"{name} train loss: {train_loss:.4f}; average test loss: {valid_loss:.4f}; accuracy: {accuracy:.4f};"


class ProgressFile:
    """What a person who waits wants to see, in progress.json: replaced at most four times a second, never kept.

    Also an observer of the loop. `stage` is a word, `done` of `total` counts photos.
    """

    INTERVAL_S = 0.25

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._written = float("-inf")
        self._stage = ""
        self._epochs = self._done = self._total = 0

    def __call__(self, event: Event) -> Stop | None:
        if isinstance(event, Started):
            self._epochs = event.epochs
            self._total, self._done = event.images * event.epochs, event.images * event.from_epoch
        if isinstance(event, Step):
            self._done += event.images
            self.show("train", self._done, self._total, epoch=event.epoch)
        return None

    def show(self, stage: str, done: int, total: int, epoch: int | None = None) -> None:
        """Says where the work is; a new stage and the end of one are always written."""
        now = self._clock()
        if stage == self._stage and done < total and now - self._written < self.INTERVAL_S:
            return
        self._stage, self._written = stage, now
        document = {"stage": stage, "done": done, "total": total, "epoch": epoch, "epochs": self._epochs or None}
        write_json(self._file, {**document, "t": time.time()}, durable=False)
