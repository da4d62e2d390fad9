"""A lock is had by one, or shared by many, and goes with whoever held it, even when its file is taken away."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.races import race
from vizsla import locks

HOLD = "import sys\nfrom pathlib import Path\nfrom vizsla import locks\n"


def test_many_share_and_one_is_alone(tmp_path: Path) -> None:
    file = tmp_path / "made" / "on" / "the" / "way"
    first, second = locks.shared(file), locks.shared(file)
    with pytest.raises(BlockingIOError):
        locks.alone(file)
    os.close(first)
    os.close(second)
    only = locks.alone(file)
    with pytest.raises(BlockingIOError):
        locks.alone(file)
    assert locks.is_held(file)
    os.close(only)
    assert not locks.is_held(file)


def test_what_is_not_there_is_not_held(tmp_path: Path) -> None:
    assert not locks.is_held(tmp_path / "nothing")
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = f"{HOLD}locks.alone(Path(sys.argv[1]))\nprint('held', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        assert locks.is_held(tmp_path / "lock")
        holder.kill()
        holder.wait()
    os.close(locks.alone(tmp_path / "lock"))


def test_who_waited_for_a_lock_whose_file_is_gone_locks_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two processes would each hold a lock, of two files under one name."""
    file = tmp_path / "lock"
    flock = fcntl.flock
    replaced: list[int] = []

    def after_it_was_replaced(handle: int, how: int) -> None:
        if not replaced:
            replaced.append(handle)
            file.unlink()
            file.touch()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", after_it_was_replaced)
    held = locks.shared(file)
    assert os.path.samestat(os.fstat(held), file.stat())
    with pytest.raises(BlockingIOError):
        locks.alone(file)
    os.close(held)


def test_one_at_a_time_is_alone(tmp_path: Path) -> None:
    """Each of four adds 1 to a number a hundred times, reading and writing it with the lock in its hand."""
    (tmp_path / "number").write_text("0")
    code = """
import os, time
file = Path(sys.argv[1])
for _ in range(100):
    while True:
        try:
            handle = locks.alone(file.with_name("lock"))
            break
        except BlockingIOError:
            time.sleep(0.001)
    file.write_text(str(int(file.read_text()) + 1))
    os.close(handle)
"""
    race(HOLD, code, tmp_path / "number")
    assert (tmp_path / "number").read_text() == "400"


def test_where_there_can_be_no_lock_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        locks.shared(tmp_path / "file" / "lock")
