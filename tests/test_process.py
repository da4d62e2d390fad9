"""Whether the process that runs a job is still that process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from vizsla.process import Process


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
