"""Lines on disk: what is left of them after a kill or a full disk, and what a tool that copies files may rely on."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vizsla.segments import LogTail, Segments, read_log

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """A clock that a test turns by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def log(folder: Path, attempt: int = 1, clock: Clock | None = None) -> Segments:
    return Segments(folder / "train", attempt=attempt, suffix=".log", clock=clock or Clock())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "train").iterdir())


def test_a_line_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with log(tmp_path) as lines:
        lines.write("one")
        assert list(read_log(tmp_path, "train")) == ["one"]
        assert names(tmp_path) == ["0001-000000.log.open"]
    assert names(tmp_path) == ["0001-000000.log"]


def test_a_segment_is_sealed_after_30_seconds_and_never_touched_again(tmp_path: Path) -> None:
    clock = Clock()
    with log(tmp_path, clock=clock) as lines:
        lines.write("one")
        clock.now = 29.9
        lines.write("two")
        assert names(tmp_path) == ["0001-000000.log.open"]
        clock.now = 30.0
        lines.write("three")
        sealed = tmp_path / "train" / "0001-000000.log"
        before = sealed.stat()
        lines.write("four")
    after = sealed.stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_size) == (after.st_ino, after.st_mtime_ns, after.st_size)
    assert sealed.read_text() == "one\ntwo\nthree\n"
    assert names(tmp_path) == ["0001-000000.log", "0001-000001.log"]
    assert list(read_log(tmp_path, "train")) == ["one", "two", "three", "four"]


def test_a_segment_is_sealed_at_one_megabyte(tmp_path: Path) -> None:
    with log(tmp_path) as lines:
        lines.write("x" * ((1 << 20) - 2))
        assert names(tmp_path) == ["0001-000000.log.open"]
        lines.write("")
        assert names(tmp_path) == ["0001-000000.log"]


def test_segments_stay_in_order_beyond_the_zeros_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for name in ("0001-1000000", "0001-999999", "0010-000000", "0002-000000", "10000-000000"):
        (tmp_path / "train" / f"{name}.log").write_text(name + "\n")
    found = list(read_log(tmp_path, "train"))
    assert found == ["0001-999999", "0001-1000000", "0002-000000", "0010-000000", "10000-000000"]


def test_an_attempt_is_written_once(tmp_path: Path) -> None:
    with log(tmp_path) as lines:
        lines.write("finished")
    with pytest.raises(FileExistsError, match="written once"):
        log(tmp_path).write("again")
    killed = log(tmp_path, attempt=2)
    killed.write("killed")
    with pytest.raises(FileExistsError):
        log(tmp_path, attempt=2).write("again")
    killed.close()
    assert list(read_log(tmp_path, "train")) == ["finished", "killed"]


def test_nothing_is_written_after_close(tmp_path: Path) -> None:
    lines = log(tmp_path)
    lines.close()
    with pytest.raises(ValueError, match="closed"):
        lines.write("late")


def test_bytes_that_are_no_text_are_kept_and_shown_escaped(tmp_path: Path) -> None:
    with log(tmp_path) as lines:
        lines.write(b"\xff\r50%\r100%")
        lines.write("cannot read \udcff.jpg")
    assert (tmp_path / "train" / "0001-000000.log").read_bytes().startswith(b"\xff\r50%\r100%\n")
    assert list(read_log(tmp_path, "train")) == ["\\xff\r50%\r100%", "cannot read \\udcff.jpg"]


def test_an_inner_newline_makes_two_lines_and_a_closing_one_makes_none(tmp_path: Path) -> None:
    with log(tmp_path) as lines:
        lines.write("one\ntwo\n")
        lines.write("three")
    assert list(read_log(tmp_path, "train")) == ["one", "two", "three"]


def test_a_log_that_was_never_written_has_no_lines(tmp_path: Path) -> None:
    assert list(read_log(tmp_path, "train")) == []
    assert LogTail(tmp_path, "train").poll() == []


def test_files_that_are_no_segments_are_not_read(tmp_path: Path) -> None:
    with log(tmp_path) as lines:
        lines.write("ours")
    (tmp_path / "train" / "notes.log").write_text("theirs\n")
    (tmp_path / "train" / "0001-000001.log.sagemaker-uploading").write_text("theirs\n")
    (tmp_path / "train" / "0001-000002.log").mkdir()
    assert list(read_log(tmp_path, "train")) == ["ours"]


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """A disk that takes `size_bytes` of each file, then writes the part that fits and refuses the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_half_line_and_writing_goes_on(tmp_path: Path) -> None:
    with log(tmp_path) as lines:
        lines.write("a" * 60)
        with largest_file(100), pytest.raises(OSError, match="large"):
            lines.write("b" * 60)
        lines.write("c" * 10)
    assert list(read_log(tmp_path, "train")) == ["a" * 60, "c" * 10]
    assert (tmp_path / "train" / "0001-000000.log").read_bytes() == b"a" * 60 + b"\n" + b"c" * 10 + b"\n"


class Uncuttable(io.FileIO):
    """A file on a disk so broken that it cannot even be made shorter."""

    def truncate(self, size: int | None = None) -> int:
        raise OSError(errno.EIO, "broken", size)


def test_where_a_half_line_cannot_be_removed_the_next_one_has_a_segment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with log(tmp_path) as lines:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", lambda path, mode, buffering: Uncuttable(path, mode))
            lines.write("a" * 60)
        with largest_file(100), pytest.raises(OSError, match="large"):
            lines.write("b" * 60)
        lines.write("c" * 10)
    assert names(tmp_path) == ["0001-000000.log.open", "0001-000001.log"]
    assert list(read_log(tmp_path, "train")) == ["a" * 60, "c" * 10]


def test_a_segment_that_cannot_be_sealed_is_reported_once_and_stays_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    lines = log(tmp_path, clock=clock)
    lines.write("one")
    clock.now = 31.0
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_fsync)
        with pytest.raises(OSError, match="broken"):
            lines.write("two")
    lines.write("three")
    lines.close()
    assert list(read_log(tmp_path, "train")) == ["one", "two", "three"]


def failing_fsync(_handle: int) -> None:
    raise OSError(errno.EIO, "broken")


def test_a_line_torn_at_any_byte_is_left_out_until_it_is_whole(tmp_path: Path) -> None:
    whole = b"first\nsecond \xc3\xbc\nthird\n"
    path = tmp_path / "train" / "0001-000000.log.open"
    path.parent.mkdir()
    tail = LogTail(tmp_path, "train")
    seen: list[str] = []
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        complete = whole[:size].decode("utf-8", "ignore").split("\n")[:-1]
        seen += tail.poll()
        assert seen == complete
        assert list(read_log(tmp_path, "train")) == complete


def test_lines_of_a_process_killed_while_writing_are_a_gapless_beginning(tmp_path: Path) -> None:
    code = (
        "import sys; from itertools import count; from pathlib import Path; from vizsla.segments import Segments\n"
        "Segments.SEAL_AFTER_BYTES = 3000\n"
        "lines = Segments(Path(sys.argv[1]), suffix='.log')\n"
        "for number in count():\n"
        "    lines.write(str(number)); number == 500 and print(flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "train")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    found = list(read_log(tmp_path, "train"))
    assert len(found) > 500
    assert found == [str(number) for number in range(len(found))]


STEPS = st.lists(st.sampled_from(["write", "seal", "poll", "resume", "sync"]), max_size=40)


@settings(deadline=None)
@given(steps=STEPS)
def test_a_follower_sees_each_line_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("follow")
    clock, written, seen = Clock(), 0, list[str]()
    attempts, tail = [log(folder, 1, clock)], LogTail(folder, "train")
    for step in steps:
        if step == "resume":  # the attempt before was killed: nobody sealed what it wrote
            attempts.append(log(folder, len(attempts) + 1, clock))
        elif step == "poll":
            seen += tail.poll()
        elif step == "sync":  # copies sealed segments, and leaves the .open one behind that it had copied earlier
            for path in folder.glob("train/*.log"):
                path.with_name(path.name + ".open").write_bytes(path.read_bytes()[:-1])
        else:
            clock.now += 31.0 * (step == "seal")
            attempts[-1].write(str(written))
            written += 1
    seen += tail.poll()
    for attempt in attempts:
        attempt.close()
    assert seen == [str(number) for number in range(written)]
