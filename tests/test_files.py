"""What a user's files are worth after a kill, a full disk or a folder that may not be written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vizsla import files
from vizsla.errors import UserError, VizslaError

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = b"a" * 300_000, b"b" * 500_000


def test_new_content_replaces_the_old_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    files.write_atomic(path, b"old \xff")
    files.write_atomic(path, "new ü")
    assert path.read_bytes() == "new ü".encode()
    assert list(path.parent.iterdir()) == [path]


def test_text_with_a_file_name_that_is_no_text_is_written(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "failure", "cannot read \udcff.jpg")
    assert (tmp_path / "failure").read_text() == "cannot read \\udcff.jpg"


def test_a_file_has_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_content_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def see_fsync(handle: int) -> None:
        steps.append("sync folder" if os.path.isdir(f"/dev/fd/{handle}") else "sync file")  # noqa: PTH112
        fsync(handle)

    def see_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", see_fsync)
    monkeypatch.setattr(os, "replace", see_replace)
    files.write_atomic(tmp_path / "f", "x")
    assert steps == ["sync file", "rename", "sync folder"]


def test_a_writer_killed_at_any_moment_leaves_one_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.write_atomic(path, FIRST)
    code = (
        "import sys; from pathlib import Path; from vizsla.files import write_atomic\n"
        "print(flush=True)\n"
        "while True:\n"
        "    write_atomic(Path(sys.argv[1]), b'b' * 500_000); write_atomic(Path(sys.argv[1]), b'a' * 300_000)\n"
    )
    for turn in range(5):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        time.sleep(0.003 * turn)
        process.kill()
        process.wait()
        process.stdout.close()
        assert path.read_bytes() in (FIRST, SECOND)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, VizslaError, "disk is full"),
        (errno.EDQUOT, VizslaError, "disk is full"),
        (errno.EROFS, UserError, "may not be written"),
        (errno.EACCES, UserError, "may not be written"),
        (errno.EIO, VizslaError, "could not be written"),
    ],
)
def test_a_disk_that_refuses_is_named_and_the_old_content_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[VizslaError], words: str
) -> None:
    path = tmp_path / "f"
    files.write_atomic(path, "old")

    def refuse(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(VizslaError, match=words) as caught:
        files.write_atomic(path, "new")
    assert type(caught.value) is kind
    assert caught.value.hint
    assert str(path) in caught.value.message
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_below_a_file_is_the_users_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        files.write_atomic(tmp_path / "file" / "f", "x")


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refuse_folders(handle: int) -> None:
        if os.path.isdir(f"/dev/fd/{handle}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, "no")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    files.write_atomic(tmp_path / "f", "x")
    assert (tmp_path / "f").read_text() == "x"


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(doc=DOCUMENTS)
def test_any_document_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, doc: object) -> None:
    path = tmp_path_factory.getbasetemp() / "round.json"
    files.write_json(path, doc)
    assert files.read_json(path) == doc


def test_a_name_that_is_no_text_survives_in_json(tmp_path: Path) -> None:
    files.write_json(tmp_path / "f", ["\udcff.jpg"])
    assert files.read_json(tmp_path / "f") == ["\udcff.jpg"]
    assert (tmp_path / "f").read_bytes().isascii()


def test_numbers_that_json_has_not_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "f", {"loss": float("nan")})
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"NaN", b"[Infinity]", b"1e999", b"\xff", b"[" * 200_000, b"9" * 10_000, b"{} {}"],
    ids=["empty", "half", "nan", "infinity", "overflow", "no text", "deep", "digits", "two"],
)
def test_what_is_not_strict_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"f\.json is not JSON"):
        files.read_json(tmp_path / "f.json")


def test_a_missing_file_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "nothing")


def test_a_huge_file_is_not_taken_in(tmp_path: Path) -> None:
    (tmp_path / "huge").write_text("[" + "1," * 100 + "1]")
    with pytest.raises(ValueError, match="larger than 50 bytes"):
        files.read_json(tmp_path / "huge", limit_bytes=50)
