"""What bounds a training: each cause on figures that have it, and none on a training that computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.analysis.profiling.making import START, USUAL, execution, job, machine, operators, samples, steps
from vizsla.analysis.profiling.bound import Diagnosis, Verdict
from vizsla.job import partition
from vizsla.keys import declared, parse
from vizsla.plan import Plan
from vizsla.records import Record

SETTINGS: Mapping[str, Any] = {"batch_size": 64, "train_from": "last", "image.size": 224, "model": "resnet18"}
IDLE = {"cpu": 52.0, "cores": [50.0, 54.0], "job_cpu": 102.0, "running": 1.0}


def seen(records: Iterable[Record], settings: Mapping[str, Any] | None = SETTINGS) -> Verdict | None:
    diagnosis = Diagnosis(settings)
    for record in records:
        diagnosis.see(record)
    return diagnosis.verdict()


def verdict(records: Iterable[Record], settings: Mapping[str, Any] | None = SETTINGS) -> Verdict:
    found = seen(records, settings)
    assert found is not None
    return found


def slow_load(seconds: float) -> dict[str, float]:
    return {**USUAL, "load": seconds}


def test_a_training_that_computes_is_left_alone() -> None:
    found = verdict(job())
    assert (found.bound, found.settings, found.seconds_saved, found.is_healthy) == ("compute", {}, 0.0, True)
    assert "that is how it should be" in found.message


def test_photos_decoded_between_the_steps_are_given_to_workers() -> None:
    found = verdict(job(slow_load(0.2), figures=IDLE, run={"workers": 0}))
    assert (found.bound, found.settings) == ("loading", {"run.loader_workers": "2"})
    assert found.cure == "--set run.loader_workers=2."


def test_what_workers_save_is_half_of_the_decoding_on_two_cores() -> None:
    records = job(slow_load(0.2), figures=IDLE, run={"workers": 0})
    waited = 100 * 0.2
    assert verdict(records).seconds_saved == pytest.approx(waited / 2, rel=0.05)


def test_one_worker_on_two_cores_that_idle_gets_a_second_one() -> None:
    found = verdict(job(slow_load(0.2), figures=IDLE, run={"workers": 1}))
    assert found.settings == {"run.loader_workers": "2"}


def test_workers_that_have_every_core_cannot_be_helped_by_more() -> None:
    found = verdict(job(slow_load(0.2)))
    assert (found.bound, found.settings) == ("loading", {})
    assert "smaller" in found.cure


def test_on_one_core_photos_cannot_be_decoded_beside_the_steps() -> None:
    records = [
        machine(cores=2, share=1),
        *job(slow_load(0.05), figures={"job_cpu": 99.0}, run={"threads": 1, "workers": 0})[1:],
    ]
    assert "run.loader_workers" not in verdict(records).settings


def test_waiting_for_the_disk_is_not_taken_for_too_few_workers() -> None:
    waiting = {**IDLE, "iowait": [40.0, 38.0]}
    found = verdict(job(slow_load(0.2), figures=waiting, run={"workers": 2}))
    assert (found.bound, found.settings) == ("disk", {"run.loader_workers": "4"})
    assert "disk" in found.cure


def test_more_threads_than_cores_are_cut_down_to_these() -> None:
    found = verdict(job(figures={"running": 8.0, "job_switches": 900.0}, run={"threads": 8}))
    assert (found.bound, found.settings) == ("oversubscription", {"run.threads": "2"})


def test_fewer_threads_than_cores_that_idle_become_more() -> None:
    found = verdict(job(figures=IDLE, run={"threads": 1}))
    assert (found.bound, found.settings) == ("compute", {"run.threads": "2"})
    assert found.seconds_saved > 0


def test_short_steps_are_left_to_one_thread() -> None:
    phases = {"load": 0.0001, "forward": 0.004, "backward": 0.004, "update": 0.0002, "observe": 0.0001}
    assert verdict(job(phases, number=2000, figures=IDLE, run={"threads": 1})).is_healthy


def test_the_share_of_the_cores_counts_and_not_all_of_them() -> None:
    records = [machine(cores=8, share=2), *job(run={"threads": 8})[1:]]
    assert verdict(records).settings == {"run.threads": "2"}


def test_a_script_with_too_many_threads_is_told_in_words() -> None:
    figures = {"running": 8.0, "job_switches": 900.0}
    records = [machine(), *samples(START, START + 20, **figures)]
    found = verdict(records, None)
    assert (found.bound, found.settings) == ("oversubscription", {})
    assert "torch.set_num_threads(2)" in found.cure


def test_neighbours_that_take_the_cores_are_named() -> None:
    found = verdict(job(figures={"cpu": 100.0, "cores": [100.0, 100.0], "job_cpu": 100.0, "running": 4.0}))
    assert (found.bound, found.settings) == ("neighbours", {})
    assert "1.0 of 2 cores" in found.message


def test_photos_that_come_late_for_the_neighbours_sake_are_not_called_too_large() -> None:
    busy = {"cpu": 100.0, "cores": [100.0, 100.0], "job_cpu": 100.0, "running": 4.0}
    found = verdict(job(slow_load(0.1), figures=busy))
    assert found.bound == "neighbours"
    assert "smaller" not in found.cure


def test_a_neighbour_on_cores_that_are_not_the_jobs_is_none() -> None:
    records = [machine(cores=4, share=2), *job(figures={"cpu": 75.0, "cores": [75.0] * 4, "job_cpu": 190.0})[1:]]
    assert verdict(records).bound == "compute"


def test_memory_that_has_to_be_read_back_asks_for_a_smaller_batch() -> None:
    found = verdict(job(figures={"memory": 98.0, "job_faults": 400.0, "iowait": [30.0, 30.0]}))
    assert (found.bound, found.settings) == ("memory", {"batch_size": "32"})


def test_small_batches_grow_where_fixed_costs_weigh() -> None:
    phases = {**USUAL, "load": 0.001, "forward": 0.02, "backward": 0.02, "update": 0.006}
    found = verdict(job(phases, number=400, run={"batch": 8}))
    assert (found.bound, found.settings, found.is_healthy) == ("compute", {"batch_size": "64"}, False)


def test_a_batch_never_grows_to_where_an_epoch_has_hardly_any_steps() -> None:
    phases = {**USUAL, "load": 0.001, "forward": 0.02, "backward": 0.02, "update": 0.006}
    found = verdict(job(phases, number=40, run={"batch": 8}))
    assert found.settings == {"batch_size": "32"}


def test_a_short_wait_is_set_right_beside_what_costs_more() -> None:
    phases = {**USUAL, "load": 0.012}
    assert verdict(job(phases, run={"workers": 0})).settings == {}
    settings = verdict(job(phases, run={"workers": 0, "threads": 8})).settings
    assert settings == {"run.loader_workers": "2", "run.threads": "2"}


def test_a_script_is_told_what_to_write_and_not_what_to_set() -> None:
    found = verdict(job(slow_load(0.2), figures=IDLE, run={"workers": 0, "threads": 8}), None)
    assert (found.bound, found.settings) == ("loading", {})
    assert "num_workers=2" in found.cure
    assert "torch.set_num_threads(2)" in found.cure
    assert "--set" not in found.cure


def test_several_things_that_are_wrong_are_all_in_one_cure() -> None:
    phases = {"load": 0.08, "forward": 0.03, "backward": 0.03, "update": 0.006, "observe": 0.004}
    found = verdict(job(phases, number=400, figures=IDLE, run={"threads": 8, "workers": 0, "batch": 8}))
    assert found.settings == {"run.loader_workers": "2", "run.threads": "2", "batch_size": "64"}
    assert found.cure == "--set run.loader_workers=2 --set run.threads=2 --set batch_size=64."
    assert 0 < found.seconds_saved < 400 * sum(phases.values())


def test_the_settings_of_a_cure_are_ones_a_training_takes() -> None:
    phases = {"load": 0.08, "forward": 0.03, "backward": 0.03, "update": 0.006, "observe": 0.004}
    found = verdict(job(phases, number=400, figures=IDLE, run={"threads": 8, "workers": 0, "batch": 8}))
    plan, launch = partition(found.settings)
    assert (launch.run.threads, launch.run.loader_workers, parse(Plan, plan).batch_size) == (2, 2, 64)
    assert "batch_size" in {key.name for key in declared(Plan)}


def test_what_happens_before_the_first_step_is_no_matter() -> None:
    before = samples(START, START + 60, cpu=5.0, cores=[5.0, 5.0], job_cpu=3.0, iowait=[80.0, 80.0])
    loop = job()
    later = [Record(r.t + 61, *(getattr(r, name) for name in Record.__slots__[1:])) for r in loop[1:]]
    assert verdict([machine(), *before, *later]).bound == "compute"


def test_steps_under_the_operator_profile_do_not_count() -> None:
    """Its steps are three times as slow, and most of that is no loading: the rest decides."""
    slow = steps(START + 1, 11, {**USUAL, "forward": 5.0})
    rest = steps(START + 62, 40, slow_load(0.2), first=11)
    records = [
        machine(),
        execution(START, workers=0),
        *slow,
        *operators(0, 10),
        *samples(START + 62, START + 75, **IDLE),
        *rest,
    ]
    assert verdict(records).bound == "loading"


@pytest.mark.parametrize("number", [0, 1, 5])
def test_too_few_steps_are_no_verdict(number: int) -> None:
    assert seen([machine(), *steps(START, number)]) is None


def test_idle_cores_of_a_script_are_not_explained_by_samples_alone() -> None:
    assert seen([machine(), *samples(START, START + 20, **IDLE)], None) is None


def test_a_script_that_computes_is_left_alone() -> None:
    found = verdict([machine(), *samples(START, START + 20)], None)
    assert (found.bound, found.is_healthy) == ("compute", True)


def test_phases_alone_are_enough_for_a_verdict() -> None:
    records = [execution(START, workers=0), *steps(START, 50, slow_load(0.2))]
    assert verdict(records).settings == {"run.loader_workers": "2"}
