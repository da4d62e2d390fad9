"""Cores that a job may use, and whether the process that runs it is still that process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from vizsla.machine import Process, cpus

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


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    """A process that ends when its input does."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate(b"\n")


def test_a_running_process_is_alive_and_an_ended_one_is_not(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    assert process.alive()
    end(sleeper)
    assert not process.alive()


def test_a_killed_process_whose_parent_does_not_ask_for_it_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE
    assert not process.alive()
    end(sleeper)


def test_a_later_process_with_the_same_number_is_another() -> None:
    own = Process.of(os.getpid())
    assert not replace(own, started=own.started - 60).alive()


def test_before_the_last_start_of_the_machine_nothing_is_alive() -> None:
    own = Process.of(os.getpid())
    assert not replace(own, boot="another start of this machine").alive()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's clock is all there is")
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_put_right_ends_nothing(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Process.of(os.getpid())
    boot_time = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot_time + seconds)
    assert psutil.Process().create_time() == pytest.approx(own.started + boot_time + seconds)
    assert own.alive()
