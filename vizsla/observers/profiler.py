"""The profiler on vizsla's own loop: events in, phase records out, and the profile of the steps that are asked for."""

from __future__ import annotations

import time
from collections.abc import Callable

from vizsla.observers.visit import At
from vizsla.observers.window import Window
from vizsla.records import Record, Value
from vizsla.training.clock import Phase
from vizsla.training.events import EpochEnd, Event, Finished, Probed, Started, Step, Stop

# Phases of a lap that belong to what was told before it: the lap was over when they began.
BEFORE = ("observe", "checkpoint")


class Profiler:
    """Observer: where the time of each step goes. When it fails it stops profiling first.

    execution: how this machine does the training, as a record's value.
    """

    def __init__(self, window: Window, write: Callable[[Record], None], execution: Value) -> None:
        self._window = window
        self._write = write
        self._execution = execution
        self._told: tuple[str, At | None] = "global", None

    def __call__(self, event: Event) -> Stop | None:
        try:
            self._see(event)
        except Exception:
            self._window.abandon()
            raise
        return None

    def close(self) -> None:
        """Ends a profile that has not come to its end."""
        self._window.close()

    def _see(self, event: Event) -> None:
        match event:
            case Started():
                self._write(Record(time.time(), "system", "execution", value=self._execution))
                self._window.before(event.from_step)
            case Probed():
                self._record(event.phases, "eval", None)
            case Step():
                at = At(event.step, event.global_step, event.epoch)
                self._record(event.phases, "train", at)
                self._window.after(at, event.phases)
            case EpochEnd():
                self._record(event.phases, "eval", At(event.epoch - 1, event.global_step, event.epoch))
            case Finished():
                self._record(event.phases, "global", None)
                self._window.close()

    def _record(self, phases: tuple[Phase, ...], mode: str, at: At | None) -> None:
        for phase in phases:
            self._write(phase_record(phase, *(self._told if phase.name in BEFORE else (mode, at))))
        self._told = mode, at


class StopAfter:
    """Observer: asks the loop to end after so many training steps of this attempt."""

    def __init__(self, steps: int) -> None:
        self._steps = self._left = steps

    def __call__(self, event: Event) -> Stop | None:
        if not isinstance(event, Step):
            return None
        self._left -= 1
        return Stop(f"stopped after {self._steps} steps") if self._left <= 0 else None


def phase_record(phase: Phase, mode: str, at: At | None) -> Record:
    """A phase as a record; a checkpoint is a matter of the whole training."""
    whole = phase.name == "checkpoint"
    return Record(
        t=phase.t,
        kind="phase",
        name=phase.name,
        mode="global" if whole else mode,
        step=None if whole or at is None else at.step,
        global_step=at.global_step if at else None,
        epoch=at.epoch if at else None,
        value=phase.seconds,
    )
