"""Dataloader and BatchSize."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.analysis.profiling.making import START, USUAL, job, machine, operators, sample, samples, steps
from tests.analysis.rules.making import PLAN, judge
from vizsla.analysis.rules import Context, Evaluator, parse
from vizsla.records import Record

MINE = Context(settings=PLAN)
IDLE = {"cpu": 55.0, "job_cpu": 100.0, "cores": [55.0, 55.0]}
WAITS = {**USUAL, "load": 0.2}
SMALL = {"load": 0.001, "forward": 0.01, "backward": 0.01, "update": 0.01, "observe": 0.001}


def test_photos_that_are_decoded_between_the_steps() -> None:
    found = judge("dataloader", job(WAITS, 100, IDLE, {"workers": 0}), MINE)
    assert found.status == "IssuesFound"
    assert "--set run.loader_workers=2" in found.findings[0].cure
    assert found.findings[0].measured["load_percent"] == pytest.approx(49, abs=1)


def test_no_workers_are_no_fault_where_nothing_waits() -> None:
    """SageMaker's rule counts workers alone: features that come from memory need none."""
    found = judge("dataloader", job(number=100, run={"workers": 0}), MINE)
    assert (found.status, found.datapoints) == ("NoIssuesFound", 100)


def test_the_usual_number_of_workers_is_let_be() -> None:
    assert judge("dataloader", job(number=100), MINE).status == "NoIssuesFound"


def test_more_workers_than_twice_the_cores_are_too_many() -> None:
    assert judge("dataloader", job(number=100, run={"workers": 4}), MINE).status == "NoIssuesFound"
    found = judge("dataloader", job(number=100, run={"workers": 5}), MINE)
    assert "--set run.loader_workers=2" in found.findings[0].cure
    assert judge("dataloader:max_threshold=100", job(number=100, run={"workers": 3}), MINE).status == "IssuesFound"


def test_a_script_that_waits_is_told_in_words() -> None:
    records = [each for each in job(WAITS, 100, IDLE) if each.name != "execution"]
    cure = judge("dataloader", records).findings[0].cure
    assert ("num_workers" in cure, "--set" in cure) == (True, False)


def test_a_disk_is_another_rules_matter() -> None:
    on_disk = {"iowait": [80.0, 10.0], "cpu": 40.0, "job_cpu": 60.0}
    assert judge("dataloader", job(WAITS, 100, on_disk, {"workers": 0}), MINE).status == "NoIssuesFound"


def test_while_it_runs_a_loop_is_judged_after_its_patience_and_once() -> None:
    def told(rule: str) -> list[int]:
        live = Evaluator(parse(rule), MINE)
        return [at for at, record in enumerate(records) if live.see(record)]

    records = [machine(), *steps(START, 100, WAITS), *steps(START + 60, 100, WAITS, first=100)]
    assert len(told("dataloader")) == 1
    assert told("dataloader:patience=1") < told("dataloader")


def test_a_loop_of_a_few_steps_is_not_judged() -> None:
    assert "7 steps" in judge("dataloader", job(WAITS, 7), MINE).reason


def test_without_steps_it_is_said_how_to_record_them() -> None:
    found = judge("dataloader", [machine(), *samples(START, START + 30)])
    assert (found.status, "vizsla.profiler.watch" in found.reason) == ("NotApplicable", True)


# ---- BatchSize


def with_gpu(number: int, gpu: Sequence[float], cpu: float = 30.0) -> list[Record]:
    used, memory = gpu
    taken = [sample(START + 0.5 * at, gpu=[used], gpu_memory=[memory], cpu=cpu) for at in range(1, number + 1)]
    return [machine(), *steps(START, 1), *taken]


def test_a_gpu_that_has_time_and_room() -> None:
    found = judge("batch_size", with_gpu(1001, (30.0, 20.0)), MINE)
    assert "--set batch_size=32 (it is 16)" in found.findings[0].cure
    assert judge("batch_size", with_gpu(1001, (30.0, 20.0))).findings[0].cure == "Try a batch twice as large."


@pytest.mark.parametrize(("gpu", "cpu"), [((80.0, 20.0), 30.0), ((30.0, 80.0), 30.0), ((30.0, 20.0), 80.0)])
def test_what_has_no_time_or_no_room_is_let_be(gpu: Sequence[float], cpu: float) -> None:
    assert judge("batch_size", with_gpu(1001, gpu, cpu), MINE).status == "NoIssuesFound"


def test_a_patience_longer_than_the_window_is_waited_for() -> None:
    live = Evaluator(parse("batch_size:patience=60,window=20"), MINE)
    found = [len(live.see(record)) for record in with_gpu(70, (30.0, 20.0))]
    assert found.index(1) == len(found) - 70 + 60


def test_small_batches_whose_steps_cost_more_than_their_photos() -> None:
    found = judge("batch_size", job(SMALL, 800, run={"batch": 8}), MINE)
    assert "--set batch_size=64" in found.findings[0].cure


def test_small_batches_that_leave_cores_idle_though_nothing_waits() -> None:
    found = judge("batch_size", job(number=200, figures=IDLE, run={"batch": 16}), MINE)
    assert "--set batch_size=32" in found.findings[0].cure


def test_the_usual_batch_is_let_be() -> None:
    assert judge("batch_size", job(number=200), MINE).status == "NoIssuesFound"
    assert judge("batch_size", job(number=200, figures=IDLE), MINE).status == "NoIssuesFound"


def test_a_full_memory_asks_for_a_smaller_batch() -> None:
    found = judge("batch_size", job(number=200, figures={"memory": 98.0}), MINE)
    assert "--set batch_size=32" in found.findings[0].cure


def test_an_operator_profile_is_no_small_batch() -> None:
    slow = {**USUAL, "observe": 2.0}
    records = [machine(), *steps(START, 10, slow), *operators(0, 10), *steps(START + 25, 150, first=10)]
    found = judge("batch_size", [*records, *samples(START + 25, START + 55)], MINE)
    assert found.status == "NoIssuesFound"
