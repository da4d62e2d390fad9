"""The rule on jobs that take long to begin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.samples import ProfilerParameters, is_machine, is_step_phase
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import duration


class MaxInitializationTimeParameters(ProfilerParameters):
    """max_initialization_time."""

    threshold: float = Field(20.0, gt=0)
    """Minutes from the start of an attempt within which its first step has to begin."""


class MaxInitializationTime(Rule[MaxInitializationTimeParameters]):
    """Jobs that take long to begin. The built-in classifier's first step is waited for; a script's is known by the
    first step, metric or tensor it records, so of a script that records none of them nothing is said.
    """

    Parameters: ClassVar[type[Section]] = MaxInitializationTimeParameters
    looks_at: ClassVar[str] = "when an attempt starts; the first phase, metric or tensor"
    meaning: ClassVar[str] = "the first step begins more than `threshold` minutes after the job, or has not yet"
    advice: ClassVar[str] = "look in the log what it waits for: downloads, photos that are decoded, a lock"

    def __init__(self, name: str, parameters: MaxInitializationTimeParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._machine: Record | None = None
        self._begun = self._told = False

    def see(self, record: Record) -> Iterator[Finding]:
        if is_machine(record):
            self._machine, self._begun, self._told = record, False, False
        elif self._machine and not self._begun and (record.kind in ("metric", "tensor") or is_step_phase(record)):
            self._begun = True
            self.datapoints += 1
            yield from self._judged(self._machine, record.t, "The first step began")

    def tick(self, now: float) -> Iterator[Finding]:
        if self._machine and not self._begun and self.context.settings is not None:
            yield from self._judged(self._machine, now, "The first step has not begun")

    def done(self, now: float | None) -> Iterator[Finding]:
        if now is not None:
            yield from self.tick(now)

    def _judged(self, machine: Record, now: float, said: str) -> Iterator[Finding]:
        waited = now - machine.t
        late = waited - 60 * self.parameters.threshold
        if self._told or late <= 0:
            return
        self._told = True
        message = f"{said} {duration(waited)} after the job started, later than {self.parameters.threshold:g} min."
        cure = "Look in the log what it waits for: `vizsla logs`."
        measured = {"minutes": waited / 60, "threshold": self.parameters.threshold, "seconds_saved": late}
        yield self.found(machine, message, cure, **measured)

    def unfit(self) -> str:
        if self._machine is None:
            return "When the job started was not recorded: leave profile.enabled on."
        if self.datapoints:
            return ""
        if self.context.settings is None:
            return (
                "The script recorded no step, metric or tensor, so when it began to train is not known: name a metric "
                "(--metric NAME=REGEX), or give it a hook (docs/smdebug.md)."
            )
        return "The job ended before its first step."
