"""The cache takes what it may and no more, gives up what was not used for longest, and never what somebody needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.races import race
from vizsla import cache

DAY_S = 86_400
Usage = namedtuple("Usage", "total used free")


def digest(number: int) -> str:
    return f"{number:064x}"


def shelf(root: Path, number: int, size_bytes: int, days_ago: int = 0) -> Path:
    """Something like a shelf of features, used so many days ago."""
    folder = root / "features" / digest(number)
    folder.mkdir(parents=True)
    (folder / "one.pack").write_bytes(b"x" * size_bytes)
    return used(folder, days_ago)


def network(root: Path, number: int, size_bytes: int, days_ago: int = 0) -> Path:
    file = root / "networks" / f"{digest(number)}.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size_bytes)
    file.with_suffix(".json").write_text('{"model": "resnet18"}')
    return used(file, days_ago)


def used(path: Path, days_ago: int) -> Path:
    with cache.using(path):
        pass
    use = path / "use" if path.is_dir() else path.with_suffix(".use")
    for each in (path, use):
        moment = use.stat().st_mtime - days_ago * DAY_S if each is use else 0
        os.utime(each, (moment, moment))
    return path


def disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: Usage(free, 0, free))  # type: ignore[attr-defined]


def left(root: Path) -> list[int]:
    """The numbers of the entries that are still there."""
    return sorted(int(entry.name, 16) for entry in cache.entries(root))


@contextmanager
def elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses an entry."""
    code = "import sys\nfrom pathlib import Path\nfrom vizsla import cache\n"
    code += "with cache.using(Path(sys.argv[1])):\n    print('using', flush=True)\n    sys.stdin.read()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "using\n"
        yield process
        process.kill()


# ---- where it is


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VIZSLA_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.root() == tmp_path / "home" / ".cache" / "vizsla"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.root() == tmp_path / "home" / ".cache" / "vizsla"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.root() == tmp_path / "xdg" / "vizsla"
    monkeypatch.setenv("VIZSLA_CACHE", str(tmp_path / "mine"))
    assert cache.root() == tmp_path / "mine"


# ---- what is in it


def test_a_cache_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert cache.entries(tmp_path / "none") == []
    assert cache.clear(tmp_path / "none").entries == ()
    assert not (tmp_path / "none").exists()


def test_every_kind_is_listed_with_its_size_and_what_it_says_of_itself(tmp_path: Path) -> None:
    (shelf(tmp_path, 1, 1000) / "about.json").write_text('{"key": {"model": "resnet18"}}')
    network(tmp_path, 2, 500)
    (tmp_path / "executions").mkdir()
    (tmp_path / "executions" / f"{digest(3)}.json").write_text('{"engine": "torch"}')
    (tmp_path / "photos.sqlite").write_bytes(b"x" * 10)
    (tmp_path / "photos.sqlite-journal").write_bytes(b"x" * 5)
    found = cache.entries(tmp_path)
    assert [entry.kind for entry in found] == ["features", "networks", "executions", "photos"]
    assert [entry.size_bytes for entry in found] == [1030, 521, 19, 15]
    assert [dict(entry.about) for entry in found] == [
        {"key": {"model": "resnet18"}},
        {"model": "resnet18"},
        {"engine": "torch"},
        {},
    ]


@pytest.mark.parametrize("about", ["", "[1]", "{", '{"a": NaN}', "\0"])
def test_an_entry_whose_words_are_damaged_is_listed_without_them(tmp_path: Path, about: str) -> None:
    (shelf(tmp_path, 1, 10) / "about.json").write_text(about)
    assert [dict(entry.about) for entry in cache.entries(tmp_path)] == [{}]


def test_an_entry_is_in_use_while_any_process_uses_it_and_not_when_that_is_killed(tmp_path: Path) -> None:
    path = shelf(tmp_path, 1, 10)
    with elsewhere(path) as process:
        assert [entry.in_use for entry in cache.entries(tmp_path)] == [True]
        process.kill()
        process.wait()
        assert [entry.in_use for entry in cache.entries(tmp_path)] == [False]


def test_using_notes_the_moment(tmp_path: Path) -> None:
    path = shelf(tmp_path, 1, 10, days_ago=30)
    before = cache.entries(tmp_path)[0].used
    with cache.using(path):
        pass
    assert cache.entries(tmp_path)[0].used > before + 29 * DAY_S


# ---- how much it may take


def test_the_allowance_is_what_was_asked_for_or_a_fifth_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf(tmp_path, 1, 10_000)
    disk(monkeypatch, 1_000_000)
    assert cache.allowance(tmp_path, 10) == 202_000  # a fifth of what would be free without it
    assert cache.allowance(tmp_path, 0.0001) == 100_000
    assert cache.allowance(tmp_path, 0) == 0
    assert cache.allowance(tmp_path, float("inf")) == 202_000


def test_the_least_recently_used_goes_first_and_no_more_than_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(monkeypatch, 10**12)
    for number, days_ago in ((1, 5), (2, 9), (3, 1)):
        shelf(tmp_path, number, 30_000, days_ago)
    network(tmp_path, 4, 30_000, days_ago=7)
    assert cache.make_room(tmp_path, 20_000, max_gb=0.0002)
    assert left(tmp_path) == [1, 2, 3, 4]  # it fitted as it was
    assert cache.make_room(tmp_path, 100_000, max_gb=0.0002)
    assert left(tmp_path) == [1, 3, 4]
    assert cache.make_room(tmp_path, 140_000, max_gb=0.0002)
    assert left(tmp_path) == [1, 3]
    assert not list((tmp_path / "networks").iterdir())


def test_what_is_in_use_stays_however_long_ago_that_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, 10**12)
    old = shelf(tmp_path, 1, 50_000)
    shelf(tmp_path, 2, 50_000)
    with elsewhere(old):
        os.utime(old / "use", (0, 0))
        assert cache.make_room(tmp_path, 40_000, max_gb=0.0001)
        assert left(tmp_path) == [1]
        assert not cache.has_room(tmp_path, 60_000, max_gb=0.0001)
        shelf(tmp_path, 3, 10_000)
        assert not cache.make_room(tmp_path, 60_000, max_gb=0.0001)
        assert left(tmp_path) == [1, 3]
    assert cache.make_room(tmp_path, 60_000, max_gb=0.0001)
    assert left(tmp_path) == [3]


def test_where_it_cannot_fit_nothing_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, 10**12)
    shelf(tmp_path, 1, 50_000)
    assert not cache.make_room(tmp_path, 100_001, max_gb=0.0001)
    assert not cache.has_room(tmp_path, 100_001, max_gb=0.0001)
    assert left(tmp_path) == [1]


def test_room_is_asked_for_without_the_entry_that_has_to_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, 10**12)
    path = shelf(tmp_path, 1, 50_000)
    assert cache.has_room(tmp_path, 60_000, max_gb=0.0001)
    assert not cache.has_room(tmp_path, 60_000, max_gb=0.0001, keep=path)
    assert left(tmp_path) == [1]


def test_what_may_not_be_removed_does_not_count_as_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, 10**12)
    shelf(tmp_path, 1, 50_000)
    monkeypatch.setattr(cache, "remove", lambda _: False)
    assert not cache.make_room(tmp_path, 60_000, max_gb=0.0001)


# ---- removing


def test_a_map_of_what_was_removed_stays_whole(tmp_path: Path) -> None:
    import mmap

    path = shelf(tmp_path, 1, 100_000)
    with (path / "one.pack").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert cache.remove(path)
    assert mapped[:] == b"x" * 100_000


def test_clearing_takes_one_kind_or_all_and_says_what_it_left(tmp_path: Path) -> None:
    shelf(tmp_path, 1, 100)
    kept = shelf(tmp_path, 2, 200)
    network(tmp_path, 3, 300)
    with cache.using(kept):
        done = cache.clear(tmp_path, "features")
        assert ([int(entry.name, 16) for entry in done.entries], done.size_bytes) == ([1], 100)
        assert [(int(entry.name, 16), entry.in_use) for entry in done.kept] == [(2, True)]
        assert left(tmp_path) == [2, 3]
    assert cache.clear(tmp_path).kept == ()
    assert left(tmp_path) == []
    assert not list((tmp_path / "features").iterdir())


def test_nothing_goes_that_is_not_of_the_cache(tmp_path: Path) -> None:
    """Somebody may have named a folder of their own: it can have one that is called features."""
    for name in ("features/cat/photo.jpg", "networks/mine.onnx", "executions/list.json", "photos.txt", "photos/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("precious")
    strange = shelf(tmp_path, 1, 10)
    (strange / "notes.txt").write_text("precious")
    before = len([path for path in tmp_path.rglob("*") if path.is_file() and path.read_text() == "precious"])
    cache.clear(tmp_path)
    after = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_text() == "precious"]
    assert len(after) == before == 6


def test_what_a_killed_process_was_removing_is_removed_next_time(tmp_path: Path) -> None:
    path = shelf(tmp_path, 1, 10)
    path.rename(path.with_name(".gone-0123456789abcdef"))
    cache.clear(tmp_path)
    assert not list((tmp_path / "features").iterdir())


def test_what_a_killed_process_was_writing_is_removed_once_it_is_old(tmp_path: Path) -> None:
    network(tmp_path, 1, 10)
    torn = tmp_path / "networks" / f".{digest(2)}.onnx.0123abcd.tmp"
    torn.write_bytes(b"half")
    cache.make_room(tmp_path, 1, 10)
    assert torn.exists()  # it may be being written
    os.utime(torn, (0, 0))
    cache.make_room(tmp_path, 1, 10)
    assert not torn.exists()
    assert left(tmp_path) == [1]


def test_two_that_remove_the_same_and_two_that_open_it_agree(tmp_path: Path) -> None:
    """Whoever uses an entry finds what was in it when it began, until it ends, or none of it."""
    setup = "import os, sys\nfrom pathlib import Path\nfrom vizsla import cache\n"
    code = """
root = Path(sys.argv[1])
path = root / "features" / ("0" * 63 + "1")
for _ in range(300):
    with cache.using(path):
        file = path / "one.pack"
        beside = path / f".{os.getpid()}.tmp"
        beside.write_bytes(b"here")
        beside.rename(file)
        assert file.read_bytes() == b"here"
        cache.clear(root)
        assert file.read_bytes() == b"here"
    cache.clear(root)
print("fine")
"""
    assert race(setup, code, tmp_path) == ["fine\n"] * 4


# ---- where it cannot be


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "cache"
    with cache.using(root / "features" / digest(1)):
        assert cache.entries(root) == []
    assert not cache.writable(root)
    assert cache.clear(root).entries == ()
    assert cache.writable(tmp_path / "new" / "folder")


def test_a_cache_that_is_deleted_meanwhile_is_no_error(tmp_path: Path) -> None:
    path = shelf(tmp_path / "cache", 1, 10)
    with cache.using(path):
        shutil.rmtree(tmp_path / "cache")
        assert cache.entries(tmp_path / "cache") == []
    assert json.dumps([entry.name for entry in cache.entries(tmp_path / "cache")]) == "[]"
