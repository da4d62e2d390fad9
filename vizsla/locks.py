"""Locks between processes: flock on a file, taken back by the kernel when a process ends, however it ends.

The file of a lock may be removed by whoever holds it alone; who was waiting for it then locks what is there now.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TRIES = 50


def shared(file: Path) -> int:
    """Waits until nobody holds `file` alone; closing the returned handle gives the lock back.

    Missing folders are made, and so is the file; one that is there need not be writable. Raises OSError where there can
    be no lock.
    """
    return _lock(file, fcntl.LOCK_SH)


def alone(file: Path) -> int:
    """As `shared`, but for one process at a time, and without waiting: raises BlockingIOError where others hold it."""
    return _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(file: Path) -> bool:
    """Whether anybody holds `file`, this process included."""
    try:
        handle = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _lock(file: Path, how: int) -> int:
    for _ in range(_TRIES):
        try:
            handle = _opened(file, may_read_only=how == fcntl.LOCK_SH)
        except FileNotFoundError:
            continue  # its folder was removed in between
        try:
            fcntl.flock(handle, how)
            if _is_at(file, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise FileNotFoundError(f"{file} is removed again and again")


def _opened(file: Path, may_read_only: bool) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        raise
    except OSError:
        if not may_read_only:
            raise
    return os.open(file, os.O_RDONLY)


def _is_at(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except OSError:
        return False
