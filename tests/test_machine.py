"""Cores that a job may use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vizsla.machine import cpus

ONE_CORE = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"


def test_the_launchers_share_of_the_cores_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZSLA_CPUS", "3")
    assert cpus() == 3


@pytest.mark.parametrize("share", ["", "0", "-2", "many", "1.5", "²"])
def test_a_share_that_is_no_number_of_cores_does_not(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIZSLA_CPUS", raising=False)
    allowed = cpus()
    monkeypatch.setenv("VIZSLA_CPUS", share)
    assert cpus() == allowed


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to cores")
def test_a_process_that_is_pinned_to_one_core_has_one() -> None:
    code = f"{ONE_CORE}; from vizsla.machine import cpus; print(cpus())"
    environment = {name: value for name, value in os.environ.items() if name != "VIZSLA_CPUS"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
