"""Everybody who watches a job of the built-in classifier: put together for its loop, and closed after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from vizsla import records
from vizsla.analysis import evaluations
from vizsla.jobdir import JobDir
from vizsla.observers.debugger import Debugger
from vizsla.observers.fanout import Fanout
from vizsla.observers.metrics import Metrics
from vizsla.observers.raw import RawFiles
from vizsla.observers.rules import HeardWriter, LiveRules, acted
from vizsla.records import Record, Writer
from vizsla.segments import Segments
from vizsla.training.events import See


@contextmanager
def watching(folder: JobDir, number: int, others: Mapping[str, See]) -> Iterator[Fanout]:
    """The observers of attempt `number`: metrics, the debugger if it is on, the job's rules, and `others`.

    Raises UserError for a rule that cannot be.
    """
    job = folder.job()
    with ExitStack() as stack:
        findings = stack.enter_context(Writer(Segments(folder.records / "findings", number)))
        known = evaluations.context(folder, folder.plan())
        rules = LiveRules(
            *(job.inside_rules, findings.write, known),
            past=lambda: records.read(folder.records),
            acted=lambda: acted(folder.records),
        )
        stack.callback(rules.close)

        def stream(name: str) -> Writer:
            return stack.enter_context(HeardWriter(Segments(folder.records / name, number), rules.hear))

        train = stream("train")
        observers: dict[str, See] = {"metrics": Metrics(train)}
        if job.launch.debug.collections:
            debugger = Debugger(job.launch.debug, stream("debugger").write, RawFiles(folder.path))
            stack.callback(debugger.close)
            observers["debugger"] = debugger
        # The rules come last: they answer for what the others have just written.
        see = Fanout({**observers, **others, "rules": rules})
        yield see
        _note(see.switched_off, train.write)


def _note(switched_off: Mapping[str, str], write: Callable[[Record], None]) -> None:
    """An observer that failed is on record: what it would have seen is missing from there on."""
    if switched_off:
        write(Record(time.time(), "attempt", "switched_off", value=dict(switched_off)))
