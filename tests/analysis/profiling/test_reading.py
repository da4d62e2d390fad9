"""Samples and phases to what a report shows: tables, stretches of time, steps and operators."""

from __future__ import annotations

import pytest

from tests.analysis.profiling.making import (
    START,
    USUAL,
    end,
    evaluation,
    job,
    machine,
    operators,
    sample,
    samples,
    steps,
)
from vizsla.analysis.profiling import operators as profiled
from vizsla.analysis.profiling import phases, summary, usage
from vizsla.analysis.profiling import steps as timed
from vizsla.analysis.profiling.attempts import Timeline, split
from vizsla.analysis.profiling.phases import Phases
from vizsla.analysis.profiling.steps import Steps
from vizsla.analysis.profiling.usage import Usage
from vizsla.records import Record


def used(records: list[Record]) -> Usage:
    found = usage.read(Timeline(split(records)), {"cores": 2})
    assert found is not None
    return found


def phased(records: list[Record], known: list[tuple[float, float | None]] | None = None) -> Phases:
    attempts = split(records, known or ())
    found = phases.read(attempts, Timeline(attempts))
    assert found is not None
    return found


def stepped(records: list[Record]) -> Steps:
    found = timed.read(split(records))
    assert found is not None
    return found


# ---- the machine


def test_percentiles_of_a_hundred_samples() -> None:
    records = [machine(), *(sample(START + place / 2, cpu=float(place)) for place in range(101))]
    row = next(metric for metric in used(records).metrics if metric.name == "CPU, all cores")
    assert (row.max, row.p99, row.p95, row.p50, row.min) == (100, 99, 95, 50, 0)


def test_what_no_sample_has_is_in_no_row() -> None:
    names = {metric.name for metric in used([machine(), *samples(START, START + 5)]).metrics}
    assert "Memory of the job" in names
    assert not {"GPU", "Disk, read", "Network, sent"} & names


def test_two_hours_of_samples_are_a_few_hundred_points_of_their_means() -> None:
    records = [machine(), *(sample(START + place / 2, cpu=(0.0, 100.0)[place % 2]) for place in range(1, 14_400))]
    series = used(records).series
    assert 100 < len(series.at) <= usage.MOST_BUCKETS
    assert series.width_s == 50.0
    assert series.cpu[3] == pytest.approx(50.0)


def test_memory_is_the_highest_of_a_stretch_for_that_is_what_ends_a_job() -> None:
    records = [
        machine(),
        *(sample(START + place / 2, memory=99.0 if place == 777 else 10.0) for place in range(1, 2000)),
    ]
    assert max(value or 0 for value in used(records).series.memory) == 99.0


def test_the_job_is_shown_as_a_share_of_all_cores() -> None:
    records = [machine(), *samples(START, START + 20, job_cpu=100.0)]
    assert {value for value in used(records).series.job_cpu if value is not None} == {50.0}


def test_a_stretch_is_never_shorter_than_a_sample() -> None:
    series = used([machine(), *samples(START, START + 8)]).series
    assert None not in series.cpu


def test_words_for_numbers_that_are_none_are_left_out() -> None:
    records = [
        machine(),
        *samples(START, START + 5),
        sample(START + 6, cpu="nan", cores=[1.0, float("inf")], memory="inf"),
    ]
    row = next(metric for metric in used(records).metrics if metric.name == "Memory")
    assert row.max == 40.0


# ---- phases


def test_every_second_of_a_job_is_somewhere() -> None:
    found = phased(job(number=100))
    parts = found.initialization_seconds + found.loop_seconds + found.finalization_seconds
    assert parts == pytest.approx(found.job_seconds)
    assert sum(phase.seconds for phase in found.phases) + found.other_seconds == pytest.approx(found.loop_seconds)
    assert found.initialization_seconds == pytest.approx(1.0)


def test_initialization_begins_where_the_folder_says_the_attempt_did() -> None:
    found = phased(job(number=100), [(START - 4.0, START + 60.0)])
    assert found.initialization_seconds == pytest.approx(5.0)
    assert found.finalization_seconds == pytest.approx(START + 60 - (START + 1 + 100 * sum(USUAL.values())))


def test_phases_are_in_the_order_of_a_step_and_those_nobody_knows_last() -> None:
    records = [
        Record(START + 90, "phase", "augment", "train", 0, value=0.1),
        *job(number=5),
        evaluation(START + 50, 2.0),
    ]
    names = [phase.name for phase in phased(sorted(records, key=lambda record: record.t)).phases]
    assert names == ["load", "forward", "backward", "update", "observe", "evaluate", "augment"]


def test_a_long_phase_fills_each_stretch_it_lies_in() -> None:
    records = [machine(), *steps(START, 1, {"forward": 1.0}), evaluation(START + 1, 239.0)]
    bands = phased(records).bands
    assert bands.width_s == 1.0
    assert bands.shares["evaluate"][0] == 0.0
    assert bands.shares["evaluate"][1] == pytest.approx(1.0)
    assert sum(bands.shares["evaluate"]) == pytest.approx(239.0)


def test_no_stretch_holds_more_than_its_time() -> None:
    bands = phased(job(number=5000)).bands
    assert max(sum(column) for column in zip(*bands.shares.values(), strict=True)) <= 1 + 1e-6


# ---- steps


def test_one_slow_step_in_fifty_is_an_outlier_with_the_phase_that_made_it() -> None:
    quick = steps(START, 49)
    slow = steps(end(quick), 1, {**USUAL, "load": 3.0}, first=49)
    (found,) = stepped([*quick, *slow]).outliers
    assert (found.step, found.longest) == (49, "load")


def test_even_steps_have_no_outlier() -> None:
    assert stepped(steps(START, 200)).outliers == ()


def test_what_the_operator_profile_takes_to_be_written_is_no_slow_step() -> None:
    quick = steps(START, 100)
    written = Record(quick[49].t, "phase", "observe", "train", 9, value=3.0)
    records = [each for each in quick if not (each.step == 9 and each.name == "observe")] + [written, *operators(0, 10)]
    assert stepped(sorted(records, key=lambda record: record.t)).outliers == ()


def test_images_a_second_are_those_of_all_steps() -> None:
    found = stepped(job({"forward": 0.5}, run={"batch": 10}))
    assert found.images_per_second == pytest.approx(20.0)


def test_a_loop_that_says_no_batch_has_no_images_a_second() -> None:
    assert stepped(steps(START, 5)).images_per_second is None


# ---- operators


def test_the_most_expensive_operator_is_the_first() -> None:
    found = profiled.read(operators())
    assert found is not None
    assert [each.name for each in found.operators] == ["aten::conv2d", "aten::batch_norm", "aten::add_"]
    assert found.share(found.operators[0]) == pytest.approx(0.75)


def test_of_two_profiles_the_later_one_is_shown() -> None:
    found = profiled.read([*operators(0, 10), *operators(500, 5)])
    assert found is not None
    assert (found.first_step, found.steps, len(found.operators)) == (500, 5, 3)


# ---- all together


def test_a_job_without_any_of_it_has_nothing_and_says_so() -> None:
    document = summary.read([], None).document()
    assert document == dict.fromkeys(["system", "phases", "operators", "steps", "verdict"])


def test_a_document_is_strict_json_whatever_the_records_hold() -> None:
    import json

    odd = [
        Record(START, "phase", "load", "train", 0, value="inf"),
        Record(START, "phase", "forward", "train", 1, value=-1.0),
    ]
    odd += [Record(START, "phase", "profile", "train", 0, value={"steps": "nan"}), sample(START + 1, seconds="nan")]
    odd += [
        Record(START, "system", "machine", value={"cores": "inf"}),
        Record(START, "system", "execution", value=None),
    ]
    json.dumps(summary.read(odd, None).document(), allow_nan=False)
    json.dumps(summary.read([*odd, *job(), *operators()], None).document(), allow_nan=False)
