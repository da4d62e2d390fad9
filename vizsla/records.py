"""Measurements of a job: written while it runs, read by everything that looks at it.

`read` and `Tail` are the only readers; how lines lie on disk is `segments`' part. The folder is
`checkpoints/vizsla/records/<stream>/`, because SageMaker copies that while a job runs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from vizsla.files import parse_json
from vizsla.segments import Follower

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from vizsla.segments import Segments

VERSION = 1
PROBE = "probe"  # an attempt record of this name has the figures of the head alone, before the first epoch
KINDS = ("metric", "tensor", "system", "phase", "attempt", "finding")
MODES = ("train", "eval", "predict", "global")
LIST_LIMIT = 4096  # numbers in one list: a channel, a class or a histogram bin each

Scalar = float | str  # an int is a float to the type checker
Value = Scalar | Mapping[str, Scalar | Sequence[float]] | None

_PLAIN = frozenset({float, int})
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement. Raises ValueError when a field is not what the format allows.

    t: unix time in seconds; of a phase, its start (its value is its seconds).
    step counts within its mode, global_step over the whole job.
    value: a number, a word, or named numbers, words and lists of at most 4,096 numbers. The words "nan", "inf" and
        "-inf" are the numbers, because JSON has none of them.
    file: a path inside the job folder, with `/`.
    """

    t: float
    kind: str
    name: str
    mode: str | None = None
    step: int | None = None
    global_step: int | None = None
    epoch: int | None = None
    value: Value = None
    file: str | None = None

    def __post_init__(self) -> None:
        _require(_is_number(self.t) and math.isfinite(self.t), "t", self.t)
        _require(self.kind in KINDS, "kind", self.kind)
        _require(isinstance(self.name, str), "name", self.name)
        _require(self.mode is None or self.mode in MODES, "mode", self.mode)
        for field in ("step", "global_step", "epoch"):
            count = getattr(self, field)
            _require(count is None or type(count) is int, field, count)
        _require(_is_value(self.value), "value", self.value)
        _require(self.file is None or _is_inside(self.file), "file", self.file)

    def to_line(self) -> str:
        """One line of strict JSON in ASCII, without the newline."""
        doc = {"v": VERSION, **{field: getattr(self, field) for field in self.__slots__}}
        doc["value"] = _encode(self.value)
        return json.dumps(doc, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_line(cls, line: str) -> Record | None:
        """What `to_line` wrote; keys we do not know are ignored.

        None for JSON that is no record of this version. Raises ValueError for what is not JSON at all.
        """
        doc = parse_json(line)
        if not isinstance(doc, dict) or type(doc.get("v")) is not int or doc["v"] != VERSION:
            return None
        fields = {field: doc[field] for field in cls.__slots__ if field in doc}
        try:
            return cls(**fields | {"value": _decode(doc.get("value"))})
        except (TypeError, ValueError, OverflowError):
            return None


def _require(holds: bool, field: str, found: object) -> None:
    if not holds:
        raise ValueError(f"a record's {field} cannot be {str(found)[:80]!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_value(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_part(part) for key, part in value.items())
    return value is None or isinstance(value, str) or _is_number(value)


def _is_part(part: object) -> bool:
    if isinstance(part, list | tuple):
        # Lists are most of what is written. All floats and ints, which is asked quickly, is what they hold.
        return len(part) <= LIST_LIMIT and (_PLAIN.issuperset(map(type, part)) or all(map(_is_number, part)))
    return isinstance(part, str) or _is_number(part)


def _is_inside(file: object) -> bool:
    """Whether `file` is a relative path that stays below the folder it is relative to."""
    if not isinstance(file, str) or not file or "\0" in file:
        return False
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts


def _encode(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {key: _encode(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return value if all(map(math.isfinite, value)) else [_encode(part) for part in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, str):
        return _NON_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: _decode(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_decode(part) for part in value]
    return value


class Writer:
    """The one writer of one stream of records."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    def write(self, record: Record) -> None:
        """Adds a record. Raises OSError as `Segments.write` does."""
        self._segments.write(record.to_line())

    def close(self) -> None:
        """Seals what is open. Raises OSError."""
        self._segments.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Found(NamedTuple):
    """A record and where it was: `reached` is the latest time its stream had come to within the attempt.

    A phase is written when it ends and dated when it began, so `t` alone would take a stream out of its order.
    """

    attempt: int
    reached: float
    record: Record


_ATTEMPT = re.compile(rb'"kind"\s*:\s*"attempt"')


def _new_records(follower: Follower, attempts_only: bool = False) -> Iterator[_Found]:
    """`attempts_only` reads no other records: a hundred times as fast over what a debugger has written."""
    attempt, reached = 0, -math.inf
    for segment, lines in follower.poll():
        if segment.attempt != attempt:
            attempt, reached = segment.attempt, -math.inf
        for line in lines:
            if attempts_only and not _ATTEMPT.search(line):
                continue
            try:
                record = Record.from_line(line.decode())
            except ValueError:  # what follows damage in a segment cannot be trusted to be in its place
                follower.finish(segment)
                break
            if record is not None:
                reached = max(reached, record.t)
                yield _Found(attempt, reached, record)


def _in_time(found: Iterable[_Found]) -> list[_Found]:
    """Attempts follow each other whatever the clock said; within one, streams are merged by time, each in its order."""
    return sorted(found, key=lambda item: (item.attempt, item.reached))


def _streams(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def read(
    folder: Path, streams: Collection[str] | None = None, on_tear: Callable[[str], None] = lambda _file: None
) -> list[Record]:
    """The records of a job, attempts merged: what an attempt did past the checkpoint the next one went on from is gone.

    folder: `checkpoints/vizsla/records` of a job; a missing one has no records.
    streams: the names of those wanted, all by default.
    on_tear: is told each file (`<stream>/<attempt>-<segment>`) that could be read only up to a tear or damage; while
        the job runs, that may be a line that is just being written.

    Records that name no global step are kept. Raises OSError where the folder cannot be read.
    """
    followers = {stream: Follower(folder / stream) for stream in _streams(folder)}
    unwanted = set(followers) - set(followers if streams is None else streams)
    found = {stream: list(_new_records(follower, stream in unwanted)) for stream, follower in followers.items()}
    for stream, follower in followers.items():
        for segment in follower.torn:
            on_tear(f"{stream}/{segment}")
    limits = _limits([item for items in found.values() for item in items])
    wanted = [items for stream, items in found.items() if stream not in unwanted]
    return [item.record for item in _in_time(item for items in wanted for item in items) if _counts(item, limits)]


def _limits(found: Iterable[_Found]) -> dict[int, int]:
    """Of each resumed attempt, the number of global steps its checkpoint had done."""
    limits: dict[int, int] = {}
    for item in found:
        value = item.record.value
        if item.record.kind == "attempt" and isinstance(value, Mapping):
            start = value.get("from_global_step")
            if isinstance(start, int):
                limits.setdefault(item.attempt, start)
    return limits


def _counts(item: _Found, limits: Mapping[int, int]) -> bool:
    step = item.record.global_step
    return step is None or all(step < limit for attempt, limit in limits.items() if attempt > item.attempt)


class Tail:
    """Reads the records of a running job as they come, with nothing merged away.

    folder: `checkpoints/vizsla/records`; it may appear later. streams: the names of those wanted, all by default.
    from_attempt: what earlier ones wrote is left out.
    """

    def __init__(self, folder: Path, streams: Collection[str] | None = None, from_attempt: int = 0) -> None:
        self._folder = folder
        self._streams = streams
        self._from = from_attempt
        self._followers: dict[str, Follower] = {}

    def poll(self) -> list[Record]:
        """The records that are new since the last poll. Raises OSError where the folder cannot be read."""
        for stream in _streams(self._folder):
            if stream not in self._followers and (self._streams is None or stream in self._streams):
                self._followers[stream] = Follower(self._folder / stream)
        found = [item for _, follower in sorted(self._followers.items()) for item in _new_records(follower)]
        return [item.record for item in _in_time(found) if item.attempt >= self._from]
