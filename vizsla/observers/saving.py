"""Which steps the debugger saves: close at the start, where most goes wrong, and evenly after that."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 10
ABOUT = 50  # saved steps of a run, after the first


@dataclass(frozen=True, slots=True)
class Saving:
    """Answers whether a step of one mode is saved. Knows nothing of the past, so a resumed run saves the same steps.

    every: save each so many steps, by default about 50 times a run.
    total: steps of the whole run, None where nobody knows: then every 10th below 500, every 100th below 5,000, and so
        on, about 45 steps for each tenfold.
    start, end: nothing is saved before `start`, nor from `end` on.
    """

    every: int | None = None
    total: int | None = None
    start: int = 0
    end: int | None = None

    def __call__(self, step: int) -> bool:
        if step < self.start or (self.end is not None and step >= self.end):
            return False
        return step - self.start < FIRST or step % self._interval(step) == 0

    def _interval(self, step: int) -> int:
        if self.every is not None:
            return self.every
        if self.total is not None:
            return max(1, self.total // ABOUT)
        interval = FIRST
        while step >= ABOUT * interval:
            interval *= 10
        return interval
