"""What a photo turned out to be is known again as long as it is the same file, decoded the same way."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.races import race
from vizsla import cache
from vizsla.training import remembered
from vizsla.training.remembered import Look, Remembered, Verdict
from vizsla.vision.preprocess import Preprocessing

SPEC = Preprocessing(size=16)
GOOD, BAD = Verdict("a" * 64), Verdict("b" * 64, "truncated")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file that nobody has changed for a day."""
    return aged(tmp_path / "photo.jpg", b"0123456789")


def aged(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    yesterday = path.stat().st_mtime_ns - 86_400 * 10**9
    os.utime(path, ns=(yesterday, yesterday))
    return path


def keep(root: Path, path: Path, verdict: Verdict = GOOD, spec: Preprocessing = SPEC) -> None:
    with Remembered(root) as memory:
        memory.keep(Look.at(path), spec, verdict)


def recall(root: Path, path: Path, spec: Preprocessing = SPEC) -> Verdict | None:
    with Remembered(root) as memory:
        return memory.recall(Look.at(path), spec)


@pytest.mark.parametrize("verdict", [GOOD, BAD])
def test_what_is_kept_is_recalled(tmp_path: Path, photo: Path, verdict: Verdict) -> None:
    assert recall(tmp_path / "cache", photo) is None
    keep(tmp_path / "cache", photo, verdict)
    assert recall(tmp_path / "cache", photo) == verdict


def test_a_file_name_that_is_no_text_is_recalled(tmp_path: Path) -> None:
    strange = aged(tmp_path / os.fsdecode(b"caf\xe9 '\n.jpg"), b"x")
    keep(tmp_path / "cache", strange)
    assert recall(tmp_path / "cache", strange) == GOOD


def test_a_file_that_changed_is_not_known(tmp_path: Path, photo: Path) -> None:
    """Of the same size, with another time; a replaced one of the same size and time; another size; another name."""
    root = tmp_path / "cache"
    keep(root, photo)
    before = photo.stat().st_mtime_ns
    os.utime(photo, ns=(before, before + 1))
    assert recall(root, photo) is None
    os.utime(photo, ns=(before, before))
    assert recall(root, photo) == GOOD
    other = aged(tmp_path / "other", b"9876543210")
    os.utime(other, ns=(before, before))
    assert recall(root, other) is None
    other.replace(photo)
    assert recall(root, photo) is None
    photo.write_bytes(b"longer than before")
    os.utime(photo, ns=(before, before))
    assert recall(root, photo) is None


def test_a_link_is_known_by_what_it_leads_to(tmp_path: Path, photo: Path) -> None:
    link = tmp_path / "link.jpg"
    link.symlink_to(photo)
    keep(tmp_path / "cache", link)
    assert recall(tmp_path / "cache", link) == GOOD
    link.unlink()
    link.symlink_to(aged(tmp_path / "elsewhere", b"9876543210"))
    assert recall(tmp_path / "cache", link) is None


def test_another_way_of_decoding_is_another_question(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cache"
    keep(root, photo, BAD)
    for other in (replace(SPEC, size=32), replace(SPEC, max_pixels=100), replace(SPEC, resize="crop")):
        assert recall(root, photo, other) is None
    assert recall(root, photo, replace(SPEC, mean=(0.1, 0.2, 0.3))) == BAD  # comes after decoding
    keep(root, photo, GOOD, replace(SPEC, size=32))
    assert recall(root, photo) == BAD
    monkeypatch.setattr(remembered, "version", lambda _: "999.0")
    assert recall(root, photo) is None


def test_a_file_changed_a_moment_before_it_was_looked_at_is_not_remembered(tmp_path: Path, photo: Path) -> None:
    """It could be changed once more within the same tick of the clock, and nobody would see it."""
    look = Look.at(photo)
    with Remembered(tmp_path / "cache") as memory:
        for age_ns in (0, 1_999_999_999, -5):
            memory.keep(replace(look, at_ns=look.mtime_ns + age_ns), SPEC, GOOD)
    assert recall(tmp_path / "cache", photo) is None
    with Remembered(tmp_path / "cache") as memory:
        memory.keep(replace(look, at_ns=look.mtime_ns + 2_000_000_000), SPEC, GOOD)
    assert recall(tmp_path / "cache", photo) == GOOD


def test_a_file_that_changed_while_it_was_read_is_not_remembered(tmp_path: Path, photo: Path) -> None:
    look = Look.at(photo)
    photo.write_bytes(b"9876543210")
    with Remembered(tmp_path / "cache") as memory:
        memory.keep(look, SPEC, GOOD)
    os.utime(photo, ns=(look.mtime_ns, look.mtime_ns))
    assert recall(tmp_path / "cache", photo) is None


def test_what_was_found_is_written_in_parts_so_that_a_kill_does_not_lose_all(tmp_path: Path) -> None:
    photos = [aged(tmp_path / f"{number}.jpg", b"x") for number in range(300)]
    killed = Remembered(tmp_path / "cache").__enter__()
    for photo in photos:
        killed.keep(Look.at(photo), SPEC, GOOD)
    known = [recall(tmp_path / "cache", photo) for photo in photos]
    assert known[:256] == [GOOD] * 256
    killed.__exit__(None, None, None)
    assert [recall(tmp_path / "cache", photo) for photo in photos] == [GOOD] * 300


# ---- damage


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" + b"\xff" * 4000, b"x"])
def test_a_file_that_is_no_database_is_made_anew(tmp_path: Path, photo: Path, content: bytes) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / cache.PHOTOS).write_bytes(content)
    keep(tmp_path / "cache", photo)
    assert recall(tmp_path / "cache", photo) == GOOD


@pytest.mark.parametrize(
    "made", ["PRAGMA user_version = 99", "CREATE TABLE photo (path TEXT)", "PRAGMA user_version = 1"]
)
def test_a_database_of_another_version_is_made_anew(tmp_path: Path, photo: Path, made: str) -> None:
    (tmp_path / "cache").mkdir()
    db = sqlite3.connect(tmp_path / "cache" / cache.PHOTOS)
    db.execute(made)
    db.commit()
    db.close()
    keep(tmp_path / "cache", photo)
    keep(tmp_path / "cache", photo)
    assert recall(tmp_path / "cache", photo) == GOOD


def test_damage_anywhere_never_gives_a_wrong_answer(tmp_path: Path) -> None:
    """Whatever part of the file is lost or changed: what is recalled is what was kept, and soon it is known again."""
    photos = [aged(tmp_path / f"{number}.jpg", b"x") for number in range(60)]
    verdicts = [Verdict(f"{number:064x}") for number in range(60)]
    root = tmp_path / "cache"

    def keep_all() -> None:
        with Remembered(root) as memory:
            for photo, verdict in zip(photos, verdicts, strict=True):
                memory.keep(Look.at(photo), SPEC, verdict)

    def recall_all() -> list[Verdict | None]:
        with Remembered(root) as memory:
            return [memory.recall(Look.at(photo), SPEC) for photo in photos]

    keep_all()
    good = (root / cache.PHOTOS).read_bytes()
    for place in range(0, len(good), 331):
        for damaged in (good[:place], good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :]):
            (root / cache.PHOTOS).write_bytes(damaged)
            found, rounds = recall_all(), 0
            while found != verdicts:
                assert all(verdict in (None, kept) for verdict, kept in zip(found, verdicts, strict=True))
                rounds += 1
                assert rounds <= 2  # what is found to be damaged is removed, and made anew by the next one
                keep_all()
                found = recall_all()


def test_a_damaged_file_that_another_process_has_open_is_left_alone(tmp_path: Path, photo: Path) -> None:
    root = tmp_path / "cache"
    keep(root, photo)
    with cache.using(root / cache.PHOTOS):
        (root / cache.PHOTOS).write_bytes(b"no database" * 100)
        keep(root, photo)
        assert (root / cache.PHOTOS).read_bytes() == b"no database" * 100
        assert recall(root, photo) is None
    keep(root, photo)
    assert recall(root, photo) == GOOD


# ---- where nothing can be kept


def test_where_nothing_may_be_written_nothing_is_remembered(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "file").touch()
    keep(tmp_path / "file" / "cache", photo)
    assert recall(tmp_path / "file" / "cache", photo) is None


def test_a_cache_that_may_only_be_read_is_read(tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path / "cache", photo)
    connect = sqlite3.connect

    def read_only(path: Path, **how: object) -> sqlite3.Connection:
        return connect(f"file:{path}?mode=ro", uri=True, **how)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", read_only)
    other = aged(tmp_path / "other.jpg", b"x")
    keep(tmp_path / "cache", other)
    assert recall(tmp_path / "cache", other) is None
    assert recall(tmp_path / "cache", photo) == GOOD
    assert recall(tmp_path / "nothing", photo) is None


def test_a_full_disk_forgets_and_says_nothing(tmp_path: Path, photo: Path) -> None:
    root = tmp_path / "cache"
    keep(root, photo)
    with Remembered(root) as memory:
        assert memory._db is not None
        memory._db.execute(f"PRAGMA max_page_count = {len((root / cache.PHOTOS).read_bytes()) // 4096}")
        for number in range(300):
            memory.keep(Look.at(aged(tmp_path / f"{number}.jpg", b"x")), SPEC, GOOD)
    assert recall(root, photo) == GOOD
    assert recall(root, tmp_path / "7.jpg") is None


def test_several_processes_remember_at_once(tmp_path: Path) -> None:
    for number in range(600):
        aged(tmp_path / f"{number}.jpg", b"x")
    setup = """
import sys
from pathlib import Path
from vizsla.training.remembered import Look, Remembered, Verdict
from vizsla.vision.preprocess import Preprocessing
"""
    code = """
root, spec = Path(sys.argv[1]), Preprocessing(size=16)
with Remembered(root / "cache") as memory:
    for number in range(600):
        look = Look.at(root / f"{number}.jpg")
        known = memory.recall(look, spec)
        assert known in (None, Verdict(f"{number:064x}"))
        memory.keep(look, spec, Verdict(f"{number:064x}"))
"""
    race(setup, code, tmp_path)
    with Remembered(tmp_path / "cache") as memory:
        found = [memory.recall(Look.at(tmp_path / f"{number}.jpg"), SPEC) for number in range(600)]
    assert found == [Verdict(f"{number:064x}") for number in range(600)]


def test_kills_leave_what_was_written_and_nothing_wrong(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    chance = random.Random(seed)
    photos = [aged(tmp_path / f"{number}.jpg", b"x") for number in range(300)]
    code = """
import sys
from pathlib import Path
from vizsla.training import remembered
from vizsla.training.remembered import Look, Remembered, Verdict
from vizsla.vision.preprocess import Preprocessing
root, spec = Path(sys.argv[1]), Preprocessing(size=16)
remembered._WRITE_EVERY = 3
print("ready", flush=True)
while True:
    with Remembered(root / "cache") as memory:
        for number in range(300):
            memory.keep(Look.at(root / f"{number}.jpg"), spec, Verdict(f"{number:064x}"))
"""
    for _ in range(6):
        command = [sys.executable, "-c", code, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.05, 0.5))
            process.kill()
        with Remembered(tmp_path / "cache") as memory:
            found = [memory.recall(Look.at(photo), SPEC) for photo in photos]
        assert all(verdict in (None, Verdict(f"{number:064x}")) for number, verdict in enumerate(found))
    assert any(found)
