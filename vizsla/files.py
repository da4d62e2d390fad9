"""Writing a file so that a reader finds the old content or the new, never half of it, and reading strict JSON back.

Every small file of a job folder or a bundle passes through here; what grows line by line is written by `records`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from vizsla.errors import UserError, VizslaError

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_BYTES = 64 << 20  # far above any document of ours: a larger file is not one


def write_atomic(path: Path, data: bytes | str, durable: bool = True) -> None:
    """Puts `data` into `path`, whole or not at all, whenever this process is killed; missing folders are made.

    What is not `durable` may be lost in a power cut: for what is replaced many times a minute and means nothing later.

    Text becomes UTF-8; what UTF-8 cannot hold (a file name that is no text) is written as a backslash escape. The
    content goes to a file `.<name>.<random>.tmp` beside `path`: only a kill leaves one behind.

    Raises UserError where nothing may be written, VizslaError where the disk is full or fails.
    """
    content = data if isinstance(data, bytes) else data.encode("utf-8", "backslashreplace")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                file.write(content)
                if durable:
                    sync(file)
            os.replace(beside, path)  # noqa: PTH105 - a test stops the world between two of these
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def sync(file: BinaryIO) -> None:
    """Returns once the content of `file` would survive a power cut. Raises OSError."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename inside `folder` survive a power cut, where the file system can promise that."""
    # Network file systems and Windows cannot sync a folder; the rename itself has happened, so that is no failure.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unwritable(path: Path, error: OSError) -> VizslaError:
    """The error to raise when `path` could not be written: what the system said, and the cure."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return VizslaError(f"The disk is full: {path} was not written.", "Make room there, then run it again.")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return UserError(f"{path} may not be written ({reason(error)}).", "Choose a folder that you may write to.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG):
        return UserError(f"{path} cannot be written ({reason(error)}).", "Choose another name or folder.")
    return VizslaError(f"{path} could not be written ({reason(error)}).", "Check that the disk is in order.")


def reason(error: OSError) -> str:
    """The system's own words, without the number and the path that `str(error)` carries."""
    return error.strerror or type(error).__name__


def write_json(path: Path, doc: object, durable: bool = True) -> None:
    """Writes `doc` as strict JSON, as `write_atomic` does.

    Everything beyond ASCII is escaped, so any file name survives. Raises ValueError for NaN and infinities, TypeError
    for what JSON has no word for: both are mistakes of the caller.
    """
    write_atomic(path, json.dumps(doc, allow_nan=False, indent=2) + "\n", durable)


def read_json(path: Path, limit_bytes: int = LIMIT_BYTES) -> Any:
    """Reads strict JSON: no NaN, no infinity, nothing larger than `limit_bytes`.

    Raises OSError for a file that cannot be read (FileNotFoundError where there is none), ValueError for one that is
    not JSON: only the caller knows which file may be missing and what its loss means.
    """
    with path.open("rb") as file:
        raw = file.read(limit_bytes + 1)
    if len(raw) > limit_bytes:
        raise ValueError(f"{path} is larger than {limit_bytes} bytes")
    try:
        return parse_json(raw.decode())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def parse_json(text: str) -> Any:
    """Strict JSON to Python values. Raises ValueError, also for nesting deeper than Python goes."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
