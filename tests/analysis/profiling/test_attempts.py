"""Records to attempts: where one ends and the next begins, and how long the job ran without the time in between."""

from __future__ import annotations

from tests.analysis.profiling.making import START, job, machine, samples, steps
from vizsla.analysis.profiling.attempts import Timeline, split
from vizsla.records import Record


def later(records: list[Record], seconds: float) -> list[Record]:
    return [Record(r.t + seconds, *(getattr(r, name) for name in Record.__slots__[1:])) for r in records]


def test_a_job_that_was_gone_on_with_has_two_attempts() -> None:
    found = split([*job(number=10), *later(job(number=20), 86_400)])
    assert [len({record.step for record in each.phases}) for each in found] == [10, 20]


def test_the_time_between_two_attempts_is_none_of_the_jobs() -> None:
    first = split(job(number=10))
    both = split([*job(number=10), *later(job(number=10), 86_400)])
    assert Timeline(both).seconds == 2 * Timeline(first).seconds
    assert Timeline(both).breaks() == [Timeline(first).seconds]


def test_what_the_folder_says_of_an_attempt_is_its_begin_and_end() -> None:
    (found,) = split(job(number=10), [(START - 2.0, START + 60.0)])
    assert (found.begun, found.ended) == (START - 2.0, START + 60.0)


def test_the_times_of_another_attempt_are_not_taken() -> None:
    (found,) = split(job(number=10), [(START - 500.0, START - 400.0)])
    assert found.begun == START


def test_phases_without_samples_are_an_attempt_too() -> None:
    (found,) = split(steps(START, 3))
    assert found.loop is not None
    assert (found.begun, found.samples) == (START, [])


def test_samples_without_phases_have_no_loop() -> None:
    (found,) = split([machine(), *samples(START, START + 5)])
    assert found.loop is None
