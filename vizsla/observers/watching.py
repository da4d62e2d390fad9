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
from vizsla.observers.profiler import Profiler, StopAfter
from vizsla.observers.raw import RawFiles
from vizsla.observers.rules import HeardWriter, LiveRules, acted
from vizsla.observers.window import ProfileFiles, Window
from vizsla.records import Record, Value, Writer
from vizsla.segments import Segments
from vizsla.training.events import See

HEARD = ("train", "debugger")  # streams that the rules in here hear; those about time are asked outside of the job


@contextmanager
def watching(folder: JobDir, number: int, others: Mapping[str, See], execution: Value = None) -> Iterator[Fanout]:
    """The observers of attempt `number`: metrics, debugger and profiler if they are on, the job's rules, and `others`.

    execution: how this machine does the training, as a record's value. Raises UserError for a rule that cannot be.
    """
    job = folder.job()
    with ExitStack() as stack:
        findings = stack.enter_context(Writer(Segments(folder.records / "findings", number)))
        known = evaluations.context(folder, folder.plan())
        rules = LiveRules(
            *(job.inside_rules, findings.write, known),
            past=lambda: records.read(folder.records, HEARD),
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
        observers |= _timing(folder, number, execution, stack)
        # The rules come last: they answer for what the others have just written.
        see = Fanout({**observers, **others, "rules": rules})
        yield see
        _note(see.switched_off, train.write)


def _timing(folder: JobDir, number: int, execution: Value, stack: ExitStack) -> dict[str, See]:
    """Who sees where the time goes, closed with `stack`."""
    settings = folder.job().launch.profile
    stop: dict[str, See] = {"stop_after": StopAfter(settings.stop_after)} if settings.stop_after else {}
    if not settings.enabled:
        return stop
    stream = stack.enter_context(Writer(Segments(folder.records / "profile", number)))
    window = Window(settings, ProfileFiles(folder.path, number), stream.write)
    profiler = Profiler(window, stream.write, execution)
    stack.callback(profiler.close)
    return {"profiler": profiler, **stop}


def _note(switched_off: Mapping[str, str], write: Callable[[Record], None]) -> None:
    """An observer that failed is on record: what it would have seen is missing from there on."""
    if switched_off:
        write(Record(time.time(), "attempt", "switched_off", value=dict(switched_off)))
