"""StepOutlier and MaxInitializationTime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from tests.analysis.profiling.making import START, USUAL, machine, operators, samples, steps
from tests.analysis.rules.making import PLAN, judge, metric, tensor
from vizsla.analysis.rules import Context, Evaluator, evaluate, parse
from vizsla.records import Record

MINE = Context(settings=PLAN)


def loop(number: int, phases_of: Callable[[int], Mapping[str, float]], first: int = 0) -> list[Record]:
    """Steps of which each takes what it is given, one after the other."""
    found, t = [machine()], START
    for step in range(first, first + number):
        phases = phases_of(step)
        found += steps(t, 1, phases, step)
        t += sum(phases.values())
    return found


def slow_every(step: int, every: int, phase: str = "load", took: float = 2.0) -> Mapping[str, float]:
    return {**USUAL, phase: took} if step % every == every - 1 else USUAL


def merged(*parts: Sequence[Record]) -> list[Record]:
    """Records as they come: what is said of a step after its phases, and of profiled steps after the last one."""

    def place(record: Record) -> float:
        if record.name in ("profile", "operator"):
            return (record.step or 0) + 9.5
        return record.step or 0

    return sorted((record for part in parts for record in part), key=place)


def test_one_slow_step_in_fifty_is_found_with_its_phase() -> None:
    found = judge("step_outlier", loop(1000, lambda step: slow_every(step, 50)), MINE)
    (finding,) = found.findings
    assert (found.triggered, found.datapoints) == (1, 1000)
    assert (found.status, finding.step) == ("IssuesFound", 49)
    assert finding.measured["outliers"] > 10
    assert finding.message.endswith("mostly in load.")
    assert finding.measured["seconds_saved"] == pytest.approx(finding.measured["outliers"] * 1.99, rel=0.01)


def test_even_steps_are_let_be() -> None:
    found = judge("step_outlier", loop(500, lambda step: {**USUAL, "forward": 0.1 + 0.01 * (step % 7)}), MINE)
    assert found.status == "NoIssuesFound"


def test_ten_outliers_are_not_more_than_ten() -> None:
    records = loop(500, lambda step: slow_every(step, 50))
    assert judge("step_outlier", records, MINE).status == "NoIssuesFound"
    assert judge("step_outlier:n_outliers=9", records, MINE).status == "IssuesFound"


def test_outliers_that_cost_next_to_nothing_are_let_be() -> None:
    """Every long training has more than ten steps beyond three standard deviations."""
    records = loop(5000, lambda step: slow_every(step, 100, "forward", 0.2))
    assert judge("step_outlier", records, MINE).status == "NoIssuesFound"
    assert judge("step_outlier:least_percent=0", records, MINE).status == "IssuesFound"


def test_faster_steps_are_no_outliers() -> None:
    fast = {"load": 0.0, "forward": 0.001}
    records = loop(1000, lambda step: fast if step % 50 == 0 else USUAL)
    assert judge("step_outlier:least_percent=0,n_outliers=0", records, MINE).status == "NoIssuesFound"


def test_the_gap_between_attempts_is_no_outlier() -> None:
    again = [machine(START + 90000), *steps(START + 90000, 300, first=300)]
    found = judge("step_outlier:n_outliers=0,least_percent=0", [machine(), *steps(START, 300), *again], MINE)
    assert (found.status, found.datapoints) == ("NoIssuesFound", 600)


def test_the_first_step_of_an_attempt_is_slow_in_every_training() -> None:
    records = loop(300, lambda step: {**USUAL, "forward": 5.0} if step == 0 else USUAL)
    assert judge("step_outlier:n_outliers=0,least_percent=0", records, MINE).status == "NoIssuesFound"


def test_so_is_the_first_step_of_an_epoch_which_waits_for_its_first_batch() -> None:
    records = loop(1000, lambda step: slow_every(step, 50))
    epochs = [replace(each, epoch=1 + ((each.step or 0) + 1) // 50) for each in records]
    assert judge("step_outlier", epochs, MINE).status == "NoIssuesFound"


def test_steps_under_the_operator_profile_are_let_be() -> None:
    slow = loop(300, lambda step: {**USUAL, "forward": 3.0} if 40 <= step < 52 else USUAL)
    assert judge("step_outlier", slow, MINE).status == "IssuesFound"
    assert judge("step_outlier", merged(slow, operators(41, 10)), MINE).status == "NoIssuesFound"


def test_steps_that_the_debugger_recorded_are_let_be() -> None:
    slow = loop(1000, lambda step: slow_every(step, 50, "backward"))
    saved = [tensor("gradient/Net_fc.weight", step, "gradients", abs_mean=1.0) for step in range(49, 1000, 50)]
    assert judge("step_outlier", merged(slow, saved), MINE).status == "NoIssuesFound"
    losses = [tensor("loss", step, "losses", value=1.0) for step in range(1000)]
    assert judge("step_outlier", merged(slow, losses), MINE).status == "IssuesFound"


def test_where_all_steps_were_recorded_they_are_held_against_each_other() -> None:
    slow = loop(1000, lambda step: slow_every(step, 50))
    saved = [tensor("gradient/Net_fc.weight", step, "gradients", abs_mean=1.0) for step in range(1000)]
    assert judge("step_outlier", merged(slow, saved), MINE).status == "IssuesFound"


def test_modes_are_held_apart() -> None:
    train = loop(1000, lambda step: USUAL)
    slow = [2.0 if step % 20 == 0 else 0.01 for step in range(300)]
    passes = [Record(START, "phase", "forward", "eval", step, value=took) for step, took in enumerate(slow)]
    found = judge("step_outlier", [*train, *passes], MINE)
    assert [finding.mode for finding in found.findings] == ["eval"]
    assert judge("step_outlier:mode=modes.TRAIN", [*train, *passes], MINE).status == "NoIssuesFound"


def test_a_running_job_is_told_as_soon_as_there_are_enough() -> None:
    live = Evaluator(parse("step_outlier:n_outliers=1"), MINE)
    told = [record.step for record in loop(400, lambda step: slow_every(step, 50)) if live.see(record)]
    assert len(told) == 1
    assert 100 < (told[0] or 0) < 150


def test_a_hundred_steps_are_too_few() -> None:
    found = judge("step_outlier", loop(100, lambda step: USUAL), MINE)
    assert (found.status, "100 steps" in found.reason) == ("NotApplicable", True)
    assert "No training step was recorded" in judge("step_outlier", [machine()], MINE).reason


# ---- MaxInitializationTime


def test_a_first_step_after_twenty_minutes_is_late() -> None:
    late = [machine(), *steps(START + 1201, 3)]
    found = judge("max_initialization_time", late, MINE)
    assert found.findings[0].message.startswith("The first step began 20 min 01 s after the job started")
    assert judge("max_initialization_time", [machine(), *steps(START + 1199, 3)], MINE).status == "NoIssuesFound"


def test_a_job_that_never_starts_its_first_step_is_seen_while_it_runs_once() -> None:
    live = Evaluator(parse("max_initialization_time:threshold=1"), MINE)
    live.see(machine())
    assert live.tick(START + 60) == []
    assert len(live.tick(START + 61)) == 1
    assert live.tick(START + 62) == []
    assert live.evaluation(finished=False).status == "IssuesFound"


def test_one_that_ended_before_its_first_step_is_held_against_its_end() -> None:
    rule = parse("max_initialization_time:threshold=1")
    assert evaluate(rule, [machine()], True, MINE, now=START + 61).status == "IssuesFound"
    early = evaluate(rule, [machine()], True, MINE, now=START + 59)
    assert (early.status, early.reason) == ("NotApplicable", "The job ended before its first step.")


def test_of_a_script_that_records_nothing_nothing_is_said() -> None:
    """SageMaker's rule fires after 20 minutes for every job without framework metrics."""
    quiet = [machine(), *samples(START, START + 5000)]
    found = evaluate(parse("max_initialization_time"), quiet, True, now=START + 5000)
    assert found.status == "NotApplicable"
    assert "--metric" in found.reason


@pytest.mark.parametrize("first", [metric("loss", 1.0), tensor("loss", 0, "losses", value=1.0)])
def test_a_script_begins_with_what_it_records_first(first: Record) -> None:
    def after(minutes: float) -> str:
        at = Record(START + 60 * minutes, first.kind, first.name, first.mode, 0, value=first.value)
        return judge("max_initialization_time", [machine(), at]).status

    assert (after(19), after(21)) == ("NoIssuesFound", "IssuesFound")


def test_each_attempt_has_its_own_beginning() -> None:
    records = [machine(), *steps(START + 5, 3), machine(START + 9000), *steps(START + 9005, 3)]
    assert judge("max_initialization_time", records, MINE).status == "NoIssuesFound"
