"""The clock of the loop: every moment belongs to a phase, in the order the phases came."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from vizsla.training.clock import Clock, Phase


class Time:
    """The time, which passes only where somebody works."""

    def __init__(self) -> None:
        self.now = 100.0

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(time, "time", lambda: 1000.0 + made.now)
    monkeypatch.setattr(time, "perf_counter", lambda: made.now)
    return made


def test_what_lies_between_two_phases_belongs_to_the_second(at: Time) -> None:
    clock = Clock()
    with clock("forward"):
        at.work(2)
    at.work(1)
    with clock("backward"):
        at.work(3)
    assert clock.lap() == (Phase("forward", 1100.0, 2.0), Phase("backward", 1102.0, 4.0))


def test_waiting_for_each_item_is_a_phase(at: Time) -> None:
    def items() -> Iterator[str]:
        for item in ("a", "b"):
            at.work(5)
            yield item

    clock, seen = Clock(), []
    for step, item in clock.each("load", items()):
        seen.append((step, item))
        with clock("forward"):
            at.work(1)
    assert seen == [(0, "a"), (1, "b")]
    assert [(phase.name, phase.seconds) for phase in clock.lap()] == [("load", 5), ("forward", 1)] * 2


def test_a_lap_begins_where_the_last_one_ended(at: Time) -> None:
    clock = Clock()
    with clock("observe"):
        first = clock.lap()
        at.work(2)
    with clock("load"):
        at.work(1)
    assert first == ()
    assert [phase.name for phase in clock.lap()] == ["observe", "load"]
    assert clock.lap() == ()


def test_a_phase_that_is_left_by_an_error_is_over(at: Time) -> None:
    clock = Clock()
    with suppress(ZeroDivisionError), clock("forward"):
        at.work(2)
        raise ZeroDivisionError
    assert clock.lap() == (Phase("forward", 1100.0, 2.0),)


def test_leaving_the_loop_early_closes_what_it_read_from() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    for step, _ in Clock().each("load", items()):
        if step == 2:
            break
    assert closed == [True]


def test_a_clock_that_is_set_back_changes_no_length(monkeypatch: pytest.MonkeyPatch, at: Time) -> None:
    clock = Clock()
    at.work(2)
    monkeypatch.setattr(time, "time", lambda: 5.0)
    clock.end("forward")
    at.work(1)
    clock.end("backward")
    assert [(phase.t, phase.seconds) for phase in clock.lap()] == [(1100.0, 2.0), (5.0, 1.0)]
