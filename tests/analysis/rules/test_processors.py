"""CPUBottleneck and IOBottleneck, with a GPU that waits and without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.analysis.profiling.making import START, USUAL, job, machine, sample, samples, steps
from tests.analysis.rules.making import PLAN, judge
from vizsla.analysis.rules import Context, Evaluator, parse
from vizsla.records import Record

MINE = Context(settings=PLAN)
SLOW = {**USUAL, "load": 0.2}
ON_DISK = {"iowait": [80.0, 10.0], "cpu": 40.0, "job_cpu": 60.0}
NEIGHBOURS = {"cpu": 99.0, "job_cpu": 90.0, "running": 4.0}


def with_gpus(number: int, gpu: Sequence[float], **figures: Any) -> list[Record]:
    first = [machine(), *steps(START, 1)]
    return [*first, *(sample(START + 0.5 * at, gpu=list(gpu), **figures) for at in range(1, number + 1))]


# ---- with a GPU, as documented


def test_one_hot_core_and_one_gpu_that_waits_are_a_bottleneck() -> None:
    found = judge("cpu_bottleneck", with_gpus(1001, [5.0, 95.0], cores=[99.0, 3.0]))
    assert (found.status, found.triggered) == ("IssuesFound", 1)
    assert "In 100 % of 1001 samples a GPU" in found.findings[0].message
    assert found.findings[0].cure.endswith(".")


def test_a_gpu_that_works_makes_a_hot_core_no_bottleneck() -> None:
    assert judge("cpu_bottleneck", with_gpus(1001, [60.0, 95.0], cores=[99.0, 3.0])).status == "NoIssuesFound"
    assert judge("cpu_bottleneck", with_gpus(1001, [5.0, 95.0], cores=[60.0, 3.0])).status == "NoIssuesFound"


def test_half_of_the_samples_are_not_more_than_half() -> None:
    hot = with_gpus(500, [5.0], cores=[99.0])
    cool = [sample(START + 300 + 0.5 * at, gpu=[5.0], cores=[9.0]) for at in range(500)]
    assert judge("cpu_bottleneck", [*hot, *cool]).status == "NoIssuesFound"
    assert judge("cpu_bottleneck:threshold=49", [*hot, *cool]).status == "IssuesFound"


def test_a_gpu_that_waits_for_a_disk() -> None:
    assert judge("io_bottleneck", with_gpus(1001, [5.0], iowait=[60.0, 0.0])).status == "IssuesFound"
    assert judge("io_bottleneck", with_gpus(1001, [5.0], iowait=[40.0, 0.0])).status == "NoIssuesFound"


def test_a_running_job_is_judged_after_its_patience_and_one_that_has_ended_at_its_end() -> None:
    live = Evaluator(parse("cpu_bottleneck:patience=50"), MINE)
    records = with_gpus(51, [5.0], cores=[99.0])
    assert [len(live.see(record)) for record in records] == [0] * (len(records) - 1) + [1]
    assert judge("cpu_bottleneck", with_gpus(40, [5.0], cores=[99.0]), MINE).status == "IssuesFound"


def test_a_few_samples_are_no_judgement() -> None:
    found = judge("cpu_bottleneck", with_gpus(19, [5.0], cores=[99.0]), MINE)
    assert (found.status, "19 samples" in found.reason) == ("NotApplicable", True)
    assert "profile.interval_ms=100" in found.reason


def test_what_is_before_the_first_step_is_no_bottleneck() -> None:
    before = [machine(), *samples(START, START + 600, gpu=[0.0], cores=[99.0, 99.0])]
    after = [*steps(START + 600, 1), *samples(START + 600, START + 630, gpu=[90.0])]
    assert judge("cpu_bottleneck", [*before, *after], MINE).status == "NoIssuesFound"
    assert judge("cpu_bottleneck", before, MINE).status == "NotApplicable"


def test_of_a_script_without_steps_all_samples_count() -> None:
    records = [machine(), *samples(START, START + 30, gpu=[0.0], cores=[99.0, 99.0])]
    assert judge("cpu_bottleneck", records).status == "IssuesFound"


def test_each_attempt_is_judged_by_itself() -> None:
    first = with_gpus(40, [5.0], cores=[99.0])
    second = [machine(START + 9000), *steps(START + 9000, 1), *samples(START + 9000, START + 9100, gpu=[90.0])]
    assert judge("cpu_bottleneck", [*first, *second], MINE).status == "NoIssuesFound"


# ---- without one


def test_busy_cores_are_as_it_should_be() -> None:
    found = judge("cpu_bottleneck", job(number=200), MINE)
    assert (found.status, found.datapoints > 20) == ("NoIssuesFound", True)


def test_too_many_threads_are_named_with_their_setting() -> None:
    found = judge("cpu_bottleneck", job(number=200, run={"threads": 8}), MINE)
    assert found.status == "IssuesFound"
    assert "--set run.threads=2" in found.findings[0].cure
    assert found.findings[0].measured["seconds_saved"] > 0


def test_neighbours_are_named_with_what_they_take() -> None:
    found = judge("cpu_bottleneck", job(number=200, figures=NEIGHBOURS), MINE)
    assert [finding.message.partition(" use ")[0] for finding in found.findings] == ["Other programs"]


def test_cores_that_have_time_are_no_bottleneck() -> None:
    idle = {"cpu": 40.0, "job_cpu": 70.0}
    assert judge("cpu_bottleneck", job(number=200, figures=idle, run={"threads": 8}), MINE).status == "NoIssuesFound"


def test_a_script_is_told_in_words() -> None:
    found = judge("cpu_bottleneck", job(number=200, run={"threads": 8}))
    assert "torch.set_num_threads(2)" in found.findings[0].cure
    assert "--set" not in found.findings[0].cure


def test_a_loop_that_waits_for_a_disk() -> None:
    found = judge("io_bottleneck", job(SLOW, 100, ON_DISK), MINE)
    assert (found.status, "disk" in found.findings[0].message) == ("IssuesFound", True)


def test_a_disk_that_nobody_waits_for() -> None:
    assert judge("io_bottleneck", job(number=200, figures=ON_DISK), MINE).status == "NoIssuesFound"
    assert judge("io_bottleneck", job(SLOW, 100), MINE).status == "NoIssuesFound"


def test_a_script_whose_cores_wait_for_a_disk() -> None:
    records = [machine(), *samples(START, START + 30, **ON_DISK)]
    assert judge("io_bottleneck", records).status == "IssuesFound"


@pytest.mark.parametrize("rule", ["cpu_bottleneck", "io_bottleneck"])
def test_without_samples_nothing_is_said(rule: str) -> None:
    found = judge(rule, [machine(), *steps(START, 50)], MINE)
    assert (found.status, "profile.enabled" in found.reason) == ("NotApplicable", True)
