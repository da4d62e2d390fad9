"""Rules while a training runs: every record that is written is also thought about, and what is found is acted on.

The same evaluators serve afterwards (`analysis.evaluations`), so a finding here and one in the report are the same.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vizsla.analysis.rules import Context, Evaluation, Evaluator, Finding
from vizsla.analysis.rules.base import KEPT_FINDINGS
from vizsla.job import STALLED, RuleRequest
from vizsla.observers.actions import Commands
from vizsla.records import Record, Tail, Writer
from vizsla.segments import Segments
from vizsla.training.events import Event, Finished, Started, Stop

log = logging.getLogger("vizsla.rules")

FINDINGS = ("findings", "watcher")  # the streams that hold them: written inside of the job, and outside
SHOWN = 3  # findings of one rule that get a line in the log


class HeardWriter(Writer):
    """The writer of a stream, that lets somebody hear each record once it is written."""

    def __init__(self, segments: Segments, hear: Callable[[Record], None]) -> None:
        super().__init__(segments)
        self._hear = hear

    def write(self, record: Record) -> None:
        super().write(record)
        self._hear(record)


@dataclass(frozen=True, slots=True)
class _Found:
    evaluator: Evaluator
    finding: Finding
    number: int
    """How many findings the rule had by then, this one among them."""
    global_step: int | None
    """Of the last record heard: a resume that drops that step drops what was found there too."""


class LiveRules:
    """Hears records and, when it is asked to, tells what was found. Also an observer of vizsla's loop.

    past: what earlier attempts have recorded. It is known to the rules, and told and acted on no second time.
    write: takes the findings as records. A rule's actions are carried out at its first finding, once.
    acted: the names of rules that have found something in an earlier attempt. They do not act again: who resumes a job
        that a rule has stopped has read why, and the same would be found again where its last steps are repeated.

    Raises UserError when made, for a rule or parameter that cannot be.
    """

    def __init__(
        self,
        requests: Sequence[RuleRequest],
        write: Callable[[Record], None],
        context: Context | None = None,
        past: Callable[[], Iterable[Record]] = tuple,
        commands: Commands | None = None,
        acted: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._evaluators = [Evaluator(request, context) for request in requests]
        self._write = write
        self._past = past
        self._commands = commands or Commands()
        self._acted_before = acted
        self._listening = self._over = False
        self._global_step: int | None = None
        self._found: list[_Found] = []
        self._acted: set[str] = set()
        self.findings: list[Finding] = []
        """The first hundred of each rule, those of earlier attempts left out."""
        self.stop: Stop | None = None
        """Set once a rule whose action is `stop` has found something."""

    def __call__(self, event: Event) -> Stop | None:
        if isinstance(event, Started):
            self.begin()
        if isinstance(event, Finished):
            self.finish()
        return self.settle()

    def begin(self) -> None:
        """Reads the past, then listens. What is heard before is in the past by then. Raises what `past` raises."""
        for record in self._past():
            for evaluator in self._evaluators:
                evaluator.see(record)
        self._acted |= set(self._acted_before())
        for request in (evaluator.request for evaluator in self._evaluators if evaluator.actions):
            if request.name in self._acted:
                log.info("%s has acted in an earlier attempt, and does not again", request.name)
        self._listening = True

    def hear(self, record: Record) -> None:
        """Thinks about a record; never raises for what a rule does."""
        if not self._listening or self._over:
            return
        if record.global_step is not None:
            self._global_step = record.global_step
        for evaluator in self._evaluators:
            self._note(evaluator, evaluator.see(record))

    def tick(self, now: float) -> None:
        """Tells the rules the time, unix seconds, for what can be said although no record came."""
        for evaluator in self._evaluators:
            self._note(evaluator, evaluator.tick(now))

    def finish(self) -> None:
        """Asks the rules for what they can only say now that all records were seen. Once."""
        if self._listening and not self._over:
            self._over = True
            for evaluator in self._evaluators:
                self._note(evaluator, evaluator.done(time.time()))

    def give_up(self, reason: str) -> None:
        """Nothing more will be heard, because of `reason`: a rule that has found nothing so far is an Error then."""
        for evaluator in self._evaluators:
            if not evaluator.triggered and not evaluator.error:
                evaluator.error = reason
        self._over = True

    def settle(self) -> Stop | None:
        """Writes, logs and acts on what was found since the last time; whether a rule wants the training to stop."""
        found, self._found = self._found, []
        for one in found:
            self._tell(one)
            self._act(one)
        return self.stop

    def evaluations(self, stopped: bool = False) -> tuple[Evaluation, ...]:
        """How each rule stands."""
        return tuple(evaluator.evaluation(self._over, stopped) for evaluator in self._evaluators)

    def close(self) -> None:
        """Waits for the commands that were started."""
        self._commands.close()

    def _note(self, evaluator: Evaluator, findings: Sequence[Finding]) -> None:
        first = evaluator.triggered - len(findings) + 1
        self._found += [_Found(evaluator, one, first + n, self._global_step) for n, one in enumerate(findings)]

    def _tell(self, one: _Found) -> None:
        if one.number <= KEPT_FINDINGS:
            self.findings.append(one.finding)
            with contextlib.suppress(OSError):  # a full disk costs the record, not what is done about the finding
                self._write(_record(one))
        name = one.evaluator.request.name
        if one.number <= SHOWN:
            log.warning("%s: %s %s", name, one.finding.message, one.finding.cure)
        elif one.number == SHOWN + 1:
            log.warning("%s found more; all of it is in the report", name)

    def _act(self, one: _Found) -> None:
        request = one.evaluator.request
        if request.name in self._acted:
            return
        self._acted.add(request.name)
        for action in one.evaluator.actions:
            if action.name == "stop":
                said = one.finding.message.rstrip(".")
                self.stop = self.stop or Stop(f"stopped by the rule {request.name}: {said}")
            else:
                self._commands.start(action.command, one.finding.document())


def acted(folder: Path) -> set[str]:
    """The names of the rules that have found something in any attempt so far, by the records in `folder`.

    Also what a resume drops counts. Not a job that stood still: if it does so again, that is news.
    """
    found = (record for record in Tail(folder, FINDINGS).poll() if record.kind == "finding")
    return {each.name for each in found if isinstance(each.value, Mapping) and each.value.get("rule") != STALLED}


def _record(one: _Found) -> Record:
    finding = one.finding
    return Record(
        t=time.time(),
        kind="finding",
        name=one.evaluator.request.name,
        mode=finding.mode,
        step=finding.step,
        global_step=one.global_step,
        epoch=finding.epoch,
        value={
            **finding.measured,
            "rule": one.evaluator.request.rule,
            "message": finding.message,
            "cure": finding.cure,
            "tensor": finding.tensor or "",
        },
    )
