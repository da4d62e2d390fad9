"""Rules on a job from outside of its process: all of a script's; of the classifier's those that see more than its loop.

Part of the worker that supervises. The records of a job are read as they come, its own and the samples of the system;
once a second the rules are told the time, so a job that has stopped measuring is seen too. What rules find goes to the
stream `watcher`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from vizsla.analysis import evaluations
from vizsla.files import reason
from vizsla.job import CLASSIFIER, Job
from vizsla.jobdir import JobDir
from vizsla.observers.rules import LiveRules, acted
from vizsla.records import Tail, Writer
from vizsla.segments import Segments

log = logging.getLogger("vizsla.rules")

STREAM = "watcher"
LOOK_S = 1.0


class Watcher:
    """The rules of one attempt. `look` may be called as often as one likes; it looks once a second."""

    def __init__(self, rules: LiveRules, tail: Tail) -> None:
        self._rules = rules
        self._tail = tail
        self._looked_at = 0.0

    def look(self) -> str | None:
        """Why the job is to be stopped, if a rule wants it to be."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return None
        self._looked_at = time.monotonic()
        return self._ask(lambda: self._rules.tick(time.time()))

    def end(self) -> None:
        """Tells the rules that nothing more will come."""
        self._ask(self._rules.finish)

    def _ask(self, question: Callable[[], None]) -> str | None:
        """A disk that refuses costs the job what rules would have said, and never the job."""
        try:
            for record in self._tail.poll():
                self._rules.hear(record)
            question()
            stop = self._rules.settle()
        except OSError as error:
            log.warning("the rules could not be asked: %s", reason(error))
            return None
        return stop.reason if stop else None


@contextmanager
def watching(job: Job, folder: JobDir, number: int) -> Iterator[Watcher]:
    """A watcher of attempt `number`. Raises UserError for a rule that cannot be."""
    with ExitStack() as stack:
        findings = stack.enter_context(Writer(Segments(folder.records / STREAM, number)))
        known = evaluations.context(folder, folder.plan() if job.entry_point == CLASSIFIER else None)
        rules = LiveRules(job.outside_rules, findings.write, known, acted=lambda: acted(folder.records))
        stack.callback(rules.close)
        rules.begin()
        watcher = Watcher(rules, Tail(folder.records, from_attempt=number))
        yield watcher
        watcher.end()
