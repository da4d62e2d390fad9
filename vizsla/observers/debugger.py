"""The debugger on vizsla's own loop: events in, tensor records out. Rules think about them; this only looks."""

from __future__ import annotations

from collections.abc import Callable

from vizsla.job import DebugSettings
from vizsla.observers.inspector import Inspector
from vizsla.observers.raw import RawFiles
from vizsla.observers.saving import Saving
from vizsla.observers.visit import At
from vizsla.records import Record
from vizsla.training.events import EpochEnd, Event, Finished, Started, Step, Stop


class Debugger:
    """Observer: what is inside the network at the steps that are saved. When it fails it leaves the network first."""

    def __init__(self, settings: DebugSettings, write: Callable[[Record], None], raw: RawFiles | None = None) -> None:
        self._settings = settings
        self._write = write
        self._raw = raw
        self._inspector: Inspector | None = None

    def __call__(self, event: Event) -> Stop | None:
        try:
            self._see(event)
        except Exception:
            self.close()
            raise
        return None

    def close(self) -> None:
        """Takes every hook off the network."""
        if self._inspector:
            self._inspector.close()
        self._inspector = None

    def _see(self, event: Event) -> None:
        if isinstance(event, Started):
            self._inspector = Inspector(event.net, self._settings, self._saving(event), self._write, self._raw)
            self._inspector.expect(event.from_step, event.from_epoch)
        elif not self._inspector:
            return
        elif isinstance(event, Step):
            self._step(self._inspector, event)
        elif isinstance(event, EpochEnd):
            self._epoch(self._inspector, event)
        elif isinstance(event, Finished):
            self.close()

    def _saving(self, event: Started) -> dict[str, Saving]:
        asked = self._settings
        steps = event.epochs * event.steps_per_epoch
        return {
            "train": Saving(asked.save_every, steps, asked.start_step, asked.end_step),
            "eval": Saving(asked.eval_save_every, event.epochs),
        }

    def _step(self, inspector: Inspector, event: Step) -> None:
        if visit := inspector.looks("train"):
            inspector.guard(lambda: visit.answers(event.labels_B, event.logits_BC.argmax(dim=1)))
        inspector.end_step(At(event.step, event.global_step, event.epoch))
        self._raise_what_failed(inspector)
        inspector.expect(event.step + 1, event.epoch - 1)

    def _epoch(self, inspector: Inspector, event: EpochEnd) -> None:
        answers = event.valid.labels_N, event.valid.predicted_N
        inspector.end_evaluation(At(event.epoch - 1, event.global_step, event.epoch), answers)
        self._raise_what_failed(inspector)
        inspector.expect(event.step + 1, event.epoch)

    @staticmethod
    def _raise_what_failed(inspector: Inspector) -> None:
        if inspector.error:
            raise inspector.error
