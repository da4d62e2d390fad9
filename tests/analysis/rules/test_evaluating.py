"""Evaluations: statuses, failures, and that it does not matter when a rule is asked."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analysis.profiling.making import execution, machine, samples, steps
from tests.analysis.rules.making import PLAN, epochs, labelled, metric, saved_losses, tensor
from vizsla.analysis import defaults
from vizsla.analysis.rules import RULES, Context, Evaluator, evaluate, find, make, parse, registry, snake
from vizsla.analysis.rules.base import KEPT_FINDINGS, STATUSES, Finding, Rule
from vizsla.errors import UserError
from vizsla.job import RuleRequest
from vizsla.keys import Section
from vizsla.records import Record

NEEDED = {  # what has to be given before a rule can be made
    "AllZero": {"collection_names": "weights"},
    "UnchangedTensor": {"tensor_regex": ".*"},
    "TensorVariance": {"tensor_regex": ".*", "max_threshold": "1"},
    "SimilarAcrossRuns": {"other_trials": "other"},
}


def request(rule: type[Rule[Any]]) -> RuleRequest:
    name = rule.__name__
    return RuleRequest(name=name, rule=name, parameters=NEEDED.get(name, {}))


class Nothing(Section):
    """No parameters."""


class Broken(Rule[Nothing]):
    """Fails at the third record."""

    Parameters = Nothing
    looks_at = meaning = advice = ""

    def see(self, record: Record) -> Iterable[Finding]:
        self.datapoints += 1
        if self.datapoints == 3:
            raise ZeroDivisionError("by nothing")
        return [self.found(record, "seen", "none")]

    def unfit(self) -> str:
        return ""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> RuleRequest:
    monkeypatch.setattr(registry, "RULES", (*RULES, Broken))
    return RuleRequest(name="mine", rule="Broken")


def test_a_rule_that_fails_is_an_error_and_is_asked_no_more(
    broken: RuleRequest, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = evaluate(broken, saved_losses([1.0] * 9), True)
    assert (found.status, found.triggered, found.datapoints) == ("Error", 2, 3)
    assert "by nothing" in found.reason
    assert len(caplog.records) == 1
    assert "mine" in caplog.text


FAILED = Record(9.0, "attempt", "switched_off", value={"debugger": "out of memory"})


def test_what_a_debugger_that_failed_did_not_see_is_no_good_news() -> None:
    weights = [tensor("Net_fc.weight", step, "weights", zeros=0.0) for step in range(2)]
    seen = evaluate(parse("all_zero:collection_names=weights"), [*weights, FAILED], True)
    assert (seen.status, "out of memory" in seen.reason) == ("Error", True)
    unseen = evaluate(parse("dead_relu"), [*weights, FAILED], True)
    assert (unseen.status, "out of memory" in unseen.reason) == ("NotApplicable", True)
    by_metrics = evaluate(parse("overfit"), [*weights, *epochs([0.5], [0.5]), FAILED], True)
    assert (by_metrics.status, by_metrics.reason) == ("NoIssuesFound", "")


@pytest.mark.parametrize("rule", RULES, ids=snake)
def test_nothing_recorded_is_never_no_issues(rule: type[Rule[Any]]) -> None:
    context = Context(others=lambda name: [])
    running = evaluate(request(rule), [], False, context)
    ended = evaluate(request(rule), [], True, context)
    stopped = evaluate(request(rule), [], True, context, stopped=True)
    assert [running.status, ended.status, stopped.status] == ["InProgress", "NotApplicable", "Stopped"]
    assert ended.reason.endswith(".")
    assert ended.reason in stopped.reason
    assert {running.status, ended.status, stopped.status} <= set(STATUSES)


def test_what_was_found_before_a_stop_is_found() -> None:
    assert evaluate(parse("overfit"), epochs([1.0], [2.0]), True, stopped=True).status == "IssuesFound"
    assert evaluate(parse("overfit"), epochs([1.0], [1.0]), True, stopped=True).status == "NoIssuesFound"


def test_findings_are_kept_up_to_a_hundred_and_counted_all() -> None:
    records = [tensor("Net_fc.weight", step, "weights", nan=1, inf=0, size=4) for step in range(250)]
    found = evaluate(parse("exploding_tensor"), records, True)
    assert (found.triggered, len(found.findings)) == (250, KEPT_FINDINGS)


def test_an_unknown_rule_is_the_askers_error() -> None:
    with pytest.raises(UserError, match="no rule called"):
        evaluate(RuleRequest(name="x", rule="Nonsense"), [], True)


def test_a_document_is_strict_json() -> None:
    found = evaluate(parse("loss_not_decreasing"), saved_losses([1.0] * 10 + [math.nan] * 10), True)
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["rule"] == "LossNotDecreasing"
    assert document["parameters"]["num_steps"] == 10
    assert document["findings"][0]["numbers"]["loss"] == "nan"
    assert set(document) == {*("name", "rule", "status", "triggered", "datapoints", "parameters", "findings", "reason")}


numbers = st.one_of(st.floats(0, 10), st.sampled_from([math.nan, math.inf, 0.0, 1e-9]))
modes = st.sampled_from(["train", "eval", "global", "predict"])


TIMES: tuple[Callable[[float, float], list[Record]], ...] = (  # what the profiler writes, however odd the figures are
    lambda t, value: [machine(t)],
    lambda t, value: [execution(t, threads=8, workers=int(t) % 3)],
    lambda t, value: steps(t, 12, {"load": 0.1 * t, "forward": 0.1}, first=int(t)),
    lambda t, value: samples(t, t + 12, cpu=value, gpu=[value, 95.0], gpu_memory=[value], iowait=[value]),
    lambda t, value: samples(t, t + 12, cpu=99.0, job_cpu=20.0 * t),
    lambda t, value: [Record(t, "phase", "profile", "train", int(t), value={"steps": value, "overhead_s": value})],
    lambda t, value: [Record(t, "system", "sample", value={"seconds": value})],
    lambda t, value: [Record(t, kind, "x", value=value) for kind in ("system", "phase", "attempt", "finding")],
)


@st.composite
def any_record(draw: st.DrawFn) -> list[Record]:
    """A record or two of any kind, in no order that a training would have."""
    step, mode = draw(st.integers(0, 30)), draw(modes)
    kind = draw(st.sampled_from(["loss", "metric", "epoch", "weights", "gradients", "labels", "act", "time"]))
    value = draw(numbers)
    if kind == "loss":
        return saved_losses([value], mode)
    if kind == "metric":
        return [metric(draw(st.sampled_from(["train_loss", "val loss", "lr"])), value, "global")]
    if kind == "epoch":
        return epochs([value], [draw(numbers)])
    if kind == "labels":
        classes = st.lists(st.integers(0, 3), min_size=1, max_size=5)
        return labelled(draw(classes), draw(classes), step, mode)
    if kind == "time":
        return draw(st.sampled_from(TIMES))(float(step), value)
    names = ("abs_mean", "variance", "zeros", "p5", "p95", "change_abs_mean", "previous_abs_mean", "needed_rtol")
    statistics = {name: draw(numbers) for name in names} | {"nan": 0, "inf": draw(st.integers(0, 1)), "size": 4}
    lists = {"active": [0.0, value], "channel_mean": [value], "samples": 600, "cdf:0": [0.5], "cdf:5": [1.0]}
    group = {"act": "activation_inputs"}.get(kind, kind)
    name = f"gradient/Net_{step % 3}" if kind == "gradients" else f"Net_{step % 3}"
    return [tensor(name, step, group, mode, kind_of="Tanh", **statistics, **(lists if kind == "act" else {}))]


some_records = st.lists(any_record(), max_size=25).map(lambda parts: [record for part in parts for record in part])


@settings(deadline=None)
@given(records=some_records)
def test_no_records_make_a_rule_fail(records: list[Record]) -> None:
    context = Context(settings=PLAN, others=lambda name: records[::2])
    for rule in RULES:
        assert evaluate(request(rule), records, True, context, now=100.0).status != "Error"
    for asked in defaults.requests():
        assert evaluate(asked, records, True).status != "Error"


@settings(deadline=None)
@given(records=some_records)
def test_live_and_afterwards_are_the_same(records: list[Record]) -> None:
    """Asked at each record, or once at the end from what was written down: the same findings."""
    read = [again for record in records if (again := Record.from_line(record.to_line())) is not None]
    context = Context(others=lambda name: records)
    for rule in RULES:
        live = Evaluator(request(rule), context)
        told = []
        for record in records:
            told += live.see(record)
            assert live.evaluation(finished=False).triggered == len(told)
        told += live.done()
        after = evaluate(request(rule), read, True, context)
        assert json.dumps(after.document()) == json.dumps(live.evaluation(finished=True).document())
        assert [finding.message for finding in told[:KEPT_FINDINGS]] == [each.message for each in after.findings]


def test_cures_are_sentences_for_a_script_too() -> None:
    for settings_ in (None, PLAN):
        found = evaluate(parse("overfit"), epochs([1.0], [2.0]), True, Context(settings=settings_))
        assert found.findings[0].cure.endswith(".")
        assert ("--set" in found.findings[0].cure) is (settings_ is not None)


def test_findings_carry_the_configured_name() -> None:
    asked = RuleRequest(name="watch the gap", rule="Overfit")
    assert evaluate(asked, epochs([1.0], [2.0]), True).findings[0].rule == "watch the gap"
    assert isinstance(make(asked), find("overfit"))
