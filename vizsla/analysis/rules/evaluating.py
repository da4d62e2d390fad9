"""Feeds records to a rule and keeps what it says: the one place where a rule that fails is caught.

The same class serves while a job runs (`observers/rules.py`), afterwards (`evaluate`), and on records from elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from vizsla.analysis.rules import registry
from vizsla.analysis.rules.base import KEPT_FINDINGS, Context, Evaluation, Finding
from vizsla.errors import VizslaError
from vizsla.job import Action, RuleRequest
from vizsla.records import Record

log = logging.getLogger("vizsla.rules")


class Evaluator:
    """One rule on one job. A rule that raises is switched off and its evaluation is an Error; nothing is raised.

    Raises UserError when made, for a rule or parameter that cannot be.
    """

    def __init__(self, request: RuleRequest, context: Context | None = None) -> None:
        self.request = request
        self._rule = registry.make(request, context)
        self._findings: list[Finding] = []
        self.triggered = 0
        self.error = ""
        """What the rule failed with; "" while it works."""
        self._blind = ""  # what the debugger failed with, whose tensors are missing from there on
        self._took_tensors = False

    @property
    def actions(self) -> tuple[Action, ...]:
        """What is to be done at a finding: what was asked for, and a stop if a parameter says so."""
        wanted = self.request.actions
        stop = Action(name="stop")
        return (*wanted, stop) if self._rule.stops and stop not in wanted else wanted

    def see(self, record: Record) -> list[Finding]:
        """What the next record shows."""
        if record.kind == "attempt":
            self._blind = _debugger_failed(record) or self._blind
        before = self._rule.datapoints
        found = self._ask(lambda: self._rule.see(record))
        self._took_tensors |= record.kind == "tensor" and self._rule.datapoints > before
        return found

    def tick(self, now: float) -> list[Finding]:
        """What can be said at `now`, unix seconds, while the job runs."""
        return self._ask(lambda: self._rule.tick(now))

    def done(self, now: float | None = None) -> list[Finding]:
        """What can be said once the last record was seen; `now` is when the job ended. Call it once."""
        return self._ask(lambda: self._rule.done(now))

    def evaluation(self, finished: bool, stopped: bool = False) -> Evaluation:
        """How it stands.

        finished: nothing more will come. stopped: the job was stopped, so that what is missing is nobody's fault.
        """
        status, reason = self._status(finished, stopped)
        return Evaluation(
            name=self.request.name,
            rule=type(self._rule).__name__,
            status=status,
            triggered=self.triggered,
            datapoints=self._rule.datapoints,
            parameters=self._rule.parameters.model_dump(mode="json"),
            findings=tuple(self._findings),
            reason=reason,
        )

    def _status(self, finished: bool, stopped: bool) -> tuple[str, str]:
        if self.error:
            return "Error", self.error
        if self.triggered:
            return "IssuesFound", self._rule.remark()
        return self._without_findings(stopped) if finished else ("InProgress", "")

    def _without_findings(self, stopped: bool) -> tuple[str, str]:
        if unfit := self._rule.unfit():
            unfit = f"{self._blind} {unfit}".lstrip()
            if stopped:
                return "Stopped", f"The job was stopped before this could be judged. {unfit}"
            return "NotApplicable", unfit
        if self._blind and self._took_tensors:
            return "Error", f"{self._blind} Up to there nothing was found."
        return "NoIssuesFound", self._rule.remark()

    def _ask(self, question: Callable[[], Iterable[Finding]]) -> list[Finding]:
        if self.error:
            return []
        try:
            findings = list(question())
        except VizslaError as error:  # it says itself what is wrong and what to do
            self.error = str(error)
            return []
        except Exception as error:
            log.warning("the rule %s failed and is switched off: %r", self.request.name, error)
            log.debug("", exc_info=error)
            self.error = f"The rule failed: {error!r}."
            return []
        self.triggered += len(findings)
        self._findings += findings[: KEPT_FINDINGS - len(self._findings)]
        return findings


def _debugger_failed(record: Record) -> str:
    """That the debugger was switched off, as a sentence; "" for a record of something else."""
    if record.name != "switched_off" or not isinstance(record.value, Mapping) or "debugger" not in record.value:
        return ""
    return f"The debugger failed while the job ran, and tensors are missing from there on: {record.value['debugger']}."


def evaluate(
    request: RuleRequest,
    records: Iterable[Record],
    finished: bool,
    context: Context | None = None,
    *,
    stopped: bool = False,
    now: float | None = None,
) -> Evaluation:
    """Holds `records`, in order, against a rule.

    finished: whether the job has ended, so that nothing more will come. stopped: whether it was stopped before its end.
    now: unix seconds; of a job that has ended, when it did. Without it nothing is said of the time since the last
    record.

    Raises UserError for a rule or parameter that cannot be; a rule that fails gives an Evaluation with status Error.
    """
    evaluator = Evaluator(request, context)
    for record in records:
        evaluator.see(record)
    if finished:
        evaluator.done(now)
    elif now is not None:
        evaluator.tick(now)
    return evaluator.evaluation(finished, stopped)
