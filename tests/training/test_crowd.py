"""A choice that is made while others need the cores is marked as one."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vizsla.job import RunSettings
from vizsla.training.crowd import Load
from vizsla.training.execution import usual

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def busy_neighbour() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
        try:
            yield
        finally:
            neighbour.kill()


@pytest.mark.parametrize(("others", "share", "crowded"), [(0.2, 2, False), (1.0, 2, True), (5.0, 2, False)])
def test_a_machine_is_crowded_where_others_leave_less_than_the_share(
    monkeypatch: pytest.MonkeyPatch, others: float, share: int, crowded: bool
) -> None:
    monkeypatch.setattr(Load, "cores", others)
    monkeypatch.setattr("os.cpu_count", lambda: 8 if others > 2 else 2)
    judged = Load().judged(replace(usual(RunSettings(), share), rates={"frozen": 50.0}), share)
    assert judged.crowded is crowded
    assert any("kept" in line for line in judged.why) is crowded


def test_where_nothing_was_measured_nobody_was_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Load, "cores", 64.0)
    assert Load().judged(usual(RunSettings(), 2), 2) == usual(RunSettings(), 2)


def test_a_neighbour_that_computes_is_seen() -> None:
    with busy_neighbour():
        load = Load()
        until = time.perf_counter() + 1.0
        while time.perf_counter() < until:
            pass
        beside = load.cores
    assert beside > 0.1  # of a core: a busy loop gets at least its share of one
