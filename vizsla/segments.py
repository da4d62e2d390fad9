"""Lines on disk that grow while a job runs: how `records` and logs are written and followed.

A stream is a folder of segments, `<attempt>-<segment>.jsonl` (`.log` for text), with one writer. The segment being
written ends in `.open`; it is sealed (synced, renamed) every 30 s or 1 MB and never touched again, so a tool that
copies files can take any sealed segment as it is. Nothing is ever reopened: the next attempt has its own numbers.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from vizsla.files import sync, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType


class Segments:
    """The one writer of one stream: lines in, segments out. Not for two threads at once.

    A line is in the file, though not synced, when `write` returns. A write that fails raises OSError and leaves no
    half line behind that a later one could be glued to; writing may go on.
    """

    SEAL_AFTER_S = 30.0
    SEAL_AFTER_BYTES = 1 << 20

    def __init__(
        self, folder: Path, attempt: int = 1, suffix: str = ".jsonl", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._attempt = attempt
        self._suffix = suffix
        self._clock = clock
        self._segment = 0
        self._file: BinaryIO | None = None
        self._opened_at = 0.0
        self._closed = False

    def write(self, line: str | bytes) -> None:
        """Adds a line (the newline is ours; inner ones make several lines); bytes are kept as they are.

        Raises OSError when the disk refuses (to take the line, or to seal the segment that the line is in by then),
        FileExistsError when this attempt has been written before, ValueError after `close`.
        """
        if self._closed:
            raise ValueError("this stream is closed")
        data = line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")
        for part in data.removesuffix(b"\n").split(b"\n"):
            self._append(part + b"\n")

    def close(self) -> None:
        """Seals what is open. Raises OSError when that fails; the lines stay readable."""
        self._closed = True
        if self._file is not None:
            self._seal(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        file = self._file or self._open()
        start = file.tell()
        try:
            _write_all(file, data)
        except BaseException:
            self._take_back(file, start)
            raise
        if file.tell() >= self.SEAL_AFTER_BYTES or self._clock() - self._opened_at >= self.SEAL_AFTER_S:
            self._seal(file)

    def _open(self) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        sealed = self._sealed()
        if sealed.exists():
            raise FileExistsError(f"{sealed} is there already: an attempt is written once")
        # Unbuffered: a line is with the system when write() returns, and a failed one leaves nothing in our memory.
        self._file = _opening(sealed).open("xb", buffering=0)
        self._opened_at = self._clock()
        return self._file

    def _sealed(self) -> Path:
        return self._folder / f"{Segment(self._attempt, self._segment)}{self._suffix}"

    def _seal(self, file: BinaryIO) -> None:
        sealed = self._sealed()
        self._forget()
        try:
            sync(file)
        finally:
            file.close()
        _opening(sealed).rename(sealed)
        sync_folder(self._folder)

    def _take_back(self, file: BinaryIO, start: int) -> None:
        """Cuts a half-written line off again; where even that fails, leaves the segment torn and goes to the next."""
        try:
            file.truncate(start)
            file.seek(start)
        except OSError:
            self._forget()
            file.close()

    def _forget(self) -> None:
        self._file = None
        self._segment += 1


def _opening(sealed: Path) -> Path:
    return sealed.with_name(sealed.name + ".open")


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:  # a nearly full disk takes a part and refuses the rest at the next call
        view = view[file.write(view) :]


class Segment(NamedTuple):
    """Where lines are, in file order. As text it is how the names of its files begin."""

    attempt: int
    number: int

    def __str__(self) -> str:
        return f"{self.attempt:04d}-{self.number:06d}"


_SEGMENT_NAME = re.compile(r"([0-9]{1,9})-([0-9]{1,9})\.(?:jsonl|log)(\.open)?")


class Follower:
    """Hands out the complete lines of one stream, each once, in file order, however the segments are sealed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Segment, int] = {}
        self._finished: set[Segment] = set()
        self._torn: set[Segment] = set()

    @property
    def torn(self) -> list[Segment]:
        """The segments that could not be read to their end; one that is being written right now may be among them."""
        return sorted(self._torn)

    def poll(self) -> Iterator[tuple[Segment, list[bytes]]]:
        """The new lines of each segment, without their newlines. A missing folder has none."""
        for segment, path in sorted(_segments(self._folder).items()):
            if segment not in self._finished:
                yield segment, self._read(segment, path)

    def finish(self, segment: Segment) -> None:
        """Reads nothing more from `segment`, because what follows in it is damaged."""
        self._finished.add(segment)
        self._torn.add(segment)

    def _read(self, segment: Segment, path: Path) -> list[bytes]:
        offset = self._offsets.get(segment, 0)
        with _open_segment(path) as file:
            file.seek(offset)
            data = file.read()
            sealed = not str(file.name).endswith(".open")
        whole, newline, tear = data.rpartition(b"\n")
        self._offsets[segment] = offset + len(whole) + len(newline)
        (self._torn.add if tear else self._torn.discard)(segment)
        if sealed:
            self._finished.add(segment)
        return whole.split(b"\n") if newline else []


def _segments(folder: Path) -> dict[Segment, Path]:
    """The files of a stream; of a segment that is there both open and sealed (a sync leaves that) the sealed one."""
    found: dict[Segment, Path] = {}
    if not folder.is_dir():
        return found
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _SEGMENT_NAME.fullmatch(entry.name)
            if match and entry.is_file():  # known from the listing: by now the file may have been sealed
                segment = Segment(int(match[1]), int(match[2]))
                if not match[3] or segment not in found:
                    found[segment] = folder / entry.name
    return found


def _open_segment(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:  # sealed since we looked into the folder
        return path.with_suffix("").open("rb")


class LogTail:
    """Reads one log of a running job as it grows, from one attempt on. folder: `checkpoints/vizsla/logs`."""

    def __init__(self, folder: Path, stream: str, from_attempt: int = 0) -> None:
        self._follower = Follower(folder / stream)
        self._from = from_attempt

    def poll(self) -> list[str]:
        """The lines that are new since the last poll; bytes that are no UTF-8 are shown as `\\x..`."""
        new = [lines for segment, lines in self._follower.poll() if segment.attempt >= self._from]
        return [line.decode("utf-8", "backslashreplace") for lines in new for line in lines]


def read_log(folder: Path, stream: str) -> Iterator[str]:
    """The lines of one log, all attempts, oldest first, as `LogTail` shows them."""
    for _, lines in Follower(folder / stream).poll():
        for line in lines:
            yield line.decode("utf-8", "backslashreplace")
