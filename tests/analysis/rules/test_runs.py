"""SimilarAcrossRuns and StalledTrainingRule: a run beside another one, and beside the clock."""

from __future__ import annotations

from collections.abc import Sequence

from tests.analysis.rules.making import epochs, judge, metric, tensor
from vizsla.analysis.rules import Context, Evaluator, evaluate, parse
from vizsla.errors import UserError
from vizsla.records import Record

RULE = "similar_across_runs:other_trials=first"


def run(mean: float, step: int = 0) -> list[Record]:
    return [tensor("Net_fc.weight", step, "weights", mean=mean, variance=1.0), *epochs([0.5], [0.6])]


def beside(other: Sequence[Record]) -> Context:
    return Context(others=lambda name: other if name == "first" else [])


def test_equal_runs_are_quiet() -> None:
    found = judge(RULE, run(0.1), beside(run(0.1 + 1e-9)))
    assert (found.status, found.datapoints) == ("NoIssuesFound", 4)


def test_it_fires_where_they_differ() -> None:
    found = judge(RULE, run(0.1), beside(run(0.2)))
    assert (found.triggered, found.findings[0].tensor) == (1, "Net_fc.weight")
    assert "its mean is 0.1, there 0.2" in found.findings[0].message
    assert judge(f"{RULE},collection_names=gradients", run(0.1), beside(run(0.2))).status == "NotApplicable"
    assert judge(f"{RULE},tensor_regex=loss", run(0.1), beside(run(0.2))).status == "NoIssuesFound"


def test_runs_with_nothing_in_common_are_not_compared() -> None:
    found = judge(RULE, run(0.1)[:1], beside(run(0.1, step=5)[:1]))
    assert (found.status, "first" in found.reason) == ("NotApplicable", True)


def test_a_job_that_is_not_there_is_named() -> None:
    def missing(name: str) -> list[Record]:
        raise UserError(f"There is no job called {name}.", "Look at vizsla ps.")

    found = judge(RULE, run(0.1), Context(others=missing))
    assert (found.status, found.reason) == ("Error", "There is no job called first.\nLook at vizsla ps.")
    assert "vizsla debug NAME" in judge(RULE, run(0.1)).reason


def at(t: float, kind: str = "metric") -> Record:
    return Record(t, kind, "train_loss", "train", int(t), value=1.0)


def test_a_gap_between_records_is_a_stall() -> None:
    found = judge("stalled_training_rule:threshold=60", [at(0), at(60), at(121), at(122)])
    assert (found.triggered, found.findings[0].measured["seconds"]) == (1, 61)
    assert judge("stalled_training_rule", [at(0), at(1800)]).status == "NoIssuesFound"


def test_nothing_runs_between_two_attempts() -> None:
    assert judge("stalled_training_rule", [at(0), at(9000, "attempt"), at(9001)]).status == "NoIssuesFound"


def test_a_loop_that_stands_is_seen_from_outside_once() -> None:
    watch = Evaluator(parse("stalled_training_rule:threshold=60"))
    watch.see(at(1000))
    assert watch.tick(1060) == []
    assert len(watch.tick(1061)) == 1
    assert watch.tick(1100) == []
    assert watch.see(at(1200)) == []  # that gap has been told
    assert len(watch.tick(1300)) == 1
    assert watch.evaluation(finished=False).triggered == 2


def test_the_stop_parameter_is_a_stop_action() -> None:
    def actions(rule: str) -> list[str]:
        return [action.name for action in Evaluator(parse(rule)).actions]

    assert actions("stalled_training_rule") == []
    assert actions("stalled_training_rule:stop_training_on_fire=True") == ["stop"]


def test_a_running_job_is_held_against_now() -> None:
    request = parse("stalled_training_rule:threshold=60")
    assert evaluate(request, [at(0)], finished=False, now=61).status == "IssuesFound"
    assert evaluate(request, [at(0)], finished=False, now=60).status == "InProgress"
    assert evaluate(request, [at(0)], finished=True, now=61).status == "IssuesFound"
    assert evaluate(request, [at(0)], finished=True).status == "NoIssuesFound"
    assert evaluate(request, [], finished=True, now=61).status == "NotApplicable"


def test_a_metric_without_a_step_has_its_place() -> None:
    gap = [Record(t, "metric", "loss", "global", value=1.0) for t in (0.0, 9000.0)]
    assert "after this point" in judge("stalled_training_rule", gap).findings[0].message
    assert metric("loss", 1.0).t == 0
