"""ProfilerReport, and the two rules that never find anything."""

from __future__ import annotations

import pytest

from tests.analysis.profiling.making import START, USUAL, job, machine, samples, steps
from tests.analysis.rules.making import PLAN, judge
from vizsla.analysis.rules import PROFILER, Context, Evaluator, evaluate, make, parse, snake
from vizsla.errors import UserError
from vizsla.job import RuleRequest

MINE = Context(settings=PLAN)
WAITS = {**USUAL, "load": 0.2}
OTHERS = [rule for rule in PROFILER if snake(rule) != "profiler_report"]


def test_a_healthy_training_is_accused_of_nothing() -> None:
    found = judge("profiler_report", job(number=300), MINE)
    assert found.status == "NoIssuesFound"
    assert "Not judged: " in found.reason
    assert "LowGPUUtilization" in found.reason


def test_what_its_rules_find_is_found_under_their_names() -> None:
    records = job(WAITS, 150, run={"workers": 0, "threads": 8})
    found = judge("profiler_report", records, MINE)
    assert {finding.rule for finding in found.findings} == {"Dataloader", "CPUBottleneck"}
    alone = [each for rule in OTHERS for each in judge(snake(rule), records, MINE).findings]
    assert sorted(each.message for each in found.findings) == sorted(each.message for each in alone)


def test_its_rules_take_their_parameters() -> None:
    records = job(number=300, run={"workers": 3})
    assert judge("profiler_report", records, MINE).status == "NoIssuesFound"
    for name in ("Dataloader_max_threshold", "dataloader_max_threshold", "DATALOADER-max-threshold"):
        found = judge(f"profiler_report:{name}=100", records, MINE)
        assert (found.status, found.parameters["Dataloader_max_threshold"]) == ("IssuesFound", "100")


def test_sagemakers_words_are_taken() -> None:
    given = {"rule_to_invoke": "ProfilerReport", "scan_interval_us": "60000000", "StepOutlier_scan_interval_us": "5"}
    make(RuleRequest(name="mine", rule="ProfilerReport", parameters=given))


@pytest.mark.parametrize(
    ("parameter", "said", "near"),
    [
        ("StepOutlier_stdev=5", "StepOutlier has no parameter 'stdev'", "stddev"),
        ("StepOutliers_stddev=5", "no parameter 'StepOutliers_stddev'", "StepOutlier_stddev"),
        ("StepOutlier_stddev=-1", "StepOutlier: stddev=-1 cannot be", "stddev"),
        ("Overfit_patience=2", "no parameter 'Overfit_patience'", "_patience"),
    ],
)
def test_what_no_rule_takes_is_refused_where_it_is_typed(parameter: str, said: str, near: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        parse(f"profiler_report:{parameter}")
    assert near in refused.value.hint


def test_a_job_that_never_begins_is_seen_by_it_too() -> None:
    live = Evaluator(parse("profiler_report:MaxInitializationTime_threshold=1"), MINE)
    live.see(machine())
    assert len(live.tick(START + 61)) == 1


def test_without_any_record_it_does_not_apply() -> None:
    assert evaluate(parse("profiler_report"), [], True, MINE).status == "NotApplicable"


def test_how_the_machine_was_used_is_said_and_never_held_against_it() -> None:
    found = judge("overall_system_usage", job(number=50), MINE)
    assert (found.status, found.triggered) == ("NoIssuesFound", 0)
    assert "CPU, all cores 96 % (p95 96)" in found.reason


def test_where_the_time_went_is_said() -> None:
    found = judge("overall_framework_metrics", [machine(), *steps(START, 100, WAITS)], MINE)
    assert (found.status, found.datapoints) == ("NoIssuesFound", 500)
    assert found.reason == "Of 40.6 s: load 49 %, forward 25 %, backward 25 %, update 1 %, observe 0 %."


def test_a_script_has_samples_and_no_phases() -> None:
    records = [machine(), *samples(START, START + 30)]
    assert judge("overall_system_usage", records).status == "NoIssuesFound"
    assert judge("overall_framework_metrics", records).status == "NotApplicable"
