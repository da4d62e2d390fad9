"""What is put on a shelf is what is taken from it, whoever is killed and whatever is damaged meanwhile."""

from __future__ import annotations

import errno
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.races import race
from tests.training.shelf import FILL, GO, MANY, SPEC, WIDE, computed, filled, filler, go, items
from vizsla import cache, files
from vizsla.training import packfile, packs
from vizsla.training.packs import CacheFull, Item, Shelf, Spec, fits

KILLS = 20


def quietly() -> None:
    """What a process does that waits: nothing."""


def pack_files(root: Path, spec: Spec = SPEC) -> list[Path]:
    return sorted((root / "features" / spec.digest()).glob("*.pack"))


def there(root: Path, count: int, spec: Spec = SPEC) -> list[Item]:
    """Which of the first items are on the shelf; each has to have its own row."""
    with Shelf.open(root, spec, 10) as shelf:
        missing = set(shelf.missing(items(count)))
        found = [item for item in items(count) if item not in missing]
        assert np.array_equal(shelf.rows(found).take(range(len(found))), computed(found, spec))
    return found


# ---- what is put there is there


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_rows_come_in_any_order_as_they_were_added(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    root = tmp_path_factory.mktemp("cache")
    shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=3)))
    kept = data.draw(st.sampled_from(["float32", "bfloat16"]))
    spec = Spec({"of": "anything"}, shape, kept)
    some = data.draw(
        st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**48 - 1)), unique=True, min_size=1)
    )
    known = [(sha256.hex(), view) for sha256, view in some]
    bits = np.random.default_rng(len(known)).integers(0, 2**31, (len(known), *shape))
    rows = bits.astype(np.float32) if kept == "float32" else bits.astype(np.uint16)
    cut = data.draw(st.integers(0, len(known)))
    with Shelf.open(root, spec, 10) as shelf, shelf.filling(quietly):
        for part in (slice(0, cut), slice(cut, None)):
            shelf.add(known[part], rows[part])
    asked = data.draw(st.lists(st.integers(0, len(known) - 1)))
    picked = data.draw(st.lists(st.integers(0, max(0, len(asked) - 1)), max_size=8)) if asked else []
    with Shelf.open(root, spec, 10) as shelf:
        found = shelf.rows([known[place] for place in asked])
        assert len(found) == len(asked)
        taken = found.take(picked)
    wanted = rows[[asked[place] for place in picked]] if picked else np.empty((0, *shape), rows.dtype)
    assert (taken.dtype, taken.shape) == (rows.dtype, wanted.shape)
    assert np.array_equal(taken, wanted)


def test_what_is_missing_is_named_in_order_and_once(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    asked = [*items(3, 12), *items(3), *items(3, 12)]
    with Shelf.open(tmp_path, SPEC, 10) as shelf:
        assert shelf.missing(asked) == items(3, 12)
        with pytest.raises(KeyError):
            shelf.rows(asked)


def test_a_hundred_more_are_a_hundred_to_compute(tmp_path: Path) -> None:
    filled(tmp_path, 300)
    with Shelf.open(tmp_path, SPEC, 10) as shelf:
        assert shelf.missing(items(400)) == items(100, 300)


def test_another_key_or_shape_or_precision_is_another_shelf(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    others = [
        Spec({"model": "other"}, SPEC.shape, "float32"),
        Spec(SPEC.key, (3, 4), "float32"),
        Spec(SPEC.key, SPEC.shape, "bfloat16"),
    ]
    for other in others:
        with Shelf.open(tmp_path, other, 10) as shelf:
            assert len(shelf.missing(items(10))) == 10
    assert len({spec.digest() for spec in (SPEC, *others)}) == 4


def test_the_order_of_a_key_is_none_of_its_matter() -> None:
    assert Spec({"a": 1, "b": 2}, (1,), "float32").digest() == Spec({"b": 2, "a": 1}, (1,), "float32").digest()


def test_a_pack_is_never_larger_than_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 7 * SPEC.item_bytes)
    filled(tmp_path, 20, in_a_pack=20)
    assert len(pack_files(tmp_path)) == 3
    assert there(tmp_path, 20) == items(20)


def test_who_does_not_fill_does_not_add(tmp_path: Path) -> None:
    with Shelf.open(tmp_path, SPEC, 10) as shelf, pytest.raises(RuntimeError):
        shelf.add(items(1), computed(items(1)))


@pytest.mark.parametrize(
    "rows", [np.zeros((2, 4, 3), np.float64), np.zeros((2, 3, 4), np.float32), np.zeros((1, 4, 3), np.float32)]
)
def test_rows_of_another_kind_are_refused(tmp_path: Path, rows: np.ndarray) -> None:
    with Shelf.open(tmp_path, SPEC, 10) as shelf, shelf.filling(quietly), pytest.raises(ValueError, match="no rows"):
        shelf.add(items(2), rows)


# ---- damage


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_pack_with_any_bit_flipped_or_any_end_cut_off_counts_as_missing(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    root = tmp_path_factory.mktemp("cache")
    filled(root, 6, in_a_pack=3)
    good, victim = random.Random(data.draw(st.integers(0, 1))).sample(pack_files(root), 2)
    before = victim.read_bytes()
    if data.draw(st.booleans()):
        after = before[: data.draw(st.integers(0, len(before) - 1))] + b"\0" * data.draw(st.integers(0, 9))
    else:
        bit = data.draw(st.integers(0, 8 * len(before) - 1))
        after = bytearray(before)
        after[bit // 8] ^= 1 << bit % 8
    victim.write_bytes(after)
    if bytes(after) == before:
        return
    assert len(there(root, 6)) == 3
    assert pack_files(root) == [good]
    filled(root, 6)
    assert there(root, 6) == items(6)


@pytest.mark.parametrize("count", [0, 1, 3, 11, 2**33, 2**64 - 1])
def test_a_head_that_lies_about_how_much_follows_is_not_believed(tmp_path: Path, count: int) -> None:
    """With a checksum that is right for the lie."""
    import struct
    import zlib

    filled(tmp_path, 10)
    (pack,) = pack_files(tmp_path)
    content = bytearray(pack.read_bytes())
    struct.pack_into("<Q", content, 52, count)
    struct.pack_into("<I", content, 8, zlib.crc32(content[12:]))
    pack.write_bytes(content)
    assert there(tmp_path, 10) == []
    assert pack_files(tmp_path) == []


def test_a_pack_of_another_shelf_is_none_of_this_one(tmp_path: Path) -> None:
    other = Spec({"model": "other"}, SPEC.shape, "float32")
    filled(tmp_path, 10, other)
    filled(tmp_path, 4)
    (stray,) = pack_files(tmp_path, other)
    shutil.copy(stray, tmp_path / "features" / SPEC.digest() / "0.pack")
    assert there(tmp_path, 10) == items(4)


def test_damage_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, 10)
    (pack,) = pack_files(tmp_path)
    os.truncate(pack, 100)
    with caplog.at_level(logging.WARNING):
        there(tmp_path, 10)
    assert "damaged" in caplog.text
    assert str(pack) in caplog.text


def test_a_pack_that_cannot_be_read_is_missing_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 10)

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(packfile, "opened", fails)
        assert there(tmp_path, 10) == []
    assert there(tmp_path, 10) == items(10)


# ---- kills


def test_kills_at_random_moments_of_a_filling_lose_nothing_that_was_there(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    chance = random.Random(seed)
    calm = filler(tmp_path / "calm", tmp_path)
    began = time.monotonic()
    go(calm)
    assert calm.communicate()[0] == "0\n"
    takes_s = time.monotonic() - began
    place, diary, cut_short = tmp_path / "cache", tmp_path / "diary", 0
    diary.mkdir()
    for _ in range(KILLS):
        process = filler(place, diary)
        go(process)
        time.sleep(chance.uniform(0, takes_s / 3))
        cut_short += process.poll() is None
        process.kill()
        process.communicate()
        noted = Counter(line for file in diary.iterdir() for line in file.read_text().splitlines())
        found = there(place, MANY, WIDE)
        assert {f"{sha256} {view}" for sha256, view in found} >= set(noted)
        assert max(noted.values(), default=1) == 1  # what was there was not computed again
    assert cut_short
    last = filler(place, diary)
    go(last)
    assert last.communicate()[0] == "0\n"
    assert there(place, MANY, WIDE) == items(MANY)
    assert not list((place / "features" / WIDE.digest()).glob(".*"))  # and nothing half is left behind


def test_of_processes_that_fill_one_shelf_each_row_is_computed_by_one(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    diary.mkdir()
    said = race(FILL, GO, tmp_path / "cache", diary)
    assert said == ["0\n"] * 4
    noted = Counter(line for file in diary.iterdir() for line in file.read_text().splitlines())
    assert len(noted) == MANY
    assert set(noted.values()) == {1}
    assert there(tmp_path / "cache", MANY, WIDE) == items(MANY)


def test_who_looks_while_a_pack_is_written_finds_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 10)
    looked = []

    def look(_: object) -> None:
        looked.append(there(tmp_path, 20))

    with monkeypatch.context() as watched:
        watched.setattr(files, "sync", look)
        filled(tmp_path, 20)
    assert looked == [items(10)]
    assert there(tmp_path, 20) == items(20)


def test_who_waits_is_asked_whether_to_go_on_and_may_give_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "WAIT_S", 0.01)
    asked = []

    def patience() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError("enough")

    with (
        Shelf.open(tmp_path, SPEC, 10) as first,
        Shelf.open(tmp_path, SPEC, 10) as second,
        first.filling(quietly),
        pytest.raises(InterruptedError, match="enough"),
        second.filling(patience),
    ):
        pytest.fail("two fill at once")
    assert len(asked) == 3


def test_who_waited_knows_what_the_other_has_added(tmp_path: Path) -> None:
    with Shelf.open(tmp_path, SPEC, 10) as early:
        filled(tmp_path, 10)
        assert len(early.missing(items(10))) == 10
        with early.filling(quietly):
            assert early.missing(items(10)) == []


# ---- what is used and what is not


def test_an_open_shelf_is_in_use_until_it_is_closed(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    with Shelf.open(tmp_path, SPEC, 10):
        assert [entry.in_use for entry in cache.entries(tmp_path)] == [True]
        assert cache.clear(tmp_path).entries == ()
    assert len(cache.clear(tmp_path).entries) == 1


def test_a_shelf_says_what_it_holds(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    (entry,) = cache.entries(tmp_path)
    assert entry.about["key"] == {"model": "test"}


@pytest.mark.parametrize("gone", ["the packs", "the shelf", "the cache"])
def test_rows_can_be_read_after_their_files_were_removed(tmp_path: Path, gone: str) -> None:
    root = tmp_path / "cache"
    filled(root, 30)
    with Shelf.open(root, SPEC, 10) as shelf:
        found = shelf.rows(items(30))
        if gone == "the packs":
            for pack in pack_files(root):
                pack.unlink()
        else:
            shutil.rmtree(root if gone == "the cache" else shelf.path)
        assert np.array_equal(found.take(range(30)), computed(items(30)))
        with shelf.filling(quietly):  # and it can be filled further
            shelf.add(items(5, 30), computed(items(5, 30)))
        assert shelf.missing(items(35)) == []
    assert np.array_equal(found.take([7]), computed(items(1, 7)))
    assert there(root, 35) == items(5, 30)


def test_anonymous_memory_does_not_grow_with_what_is_read(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.training.shelf import computed, filled, items
from vizsla.training.packs import Shelf, Spec

def anonymous_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

spec = Spec({"model": "large"}, (512, 512), "float32")  # 1 MB a row
filled(Path(sys.argv[1]), 96, spec, in_a_pack=24)
with Shelf.open(Path(sys.argv[1]), spec, 10) as shelf:
    rows = shelf.rows(items(96))
    rows.take([0])
    before = anonymous_kb()
    for place in range(96):
        rows.take([place])
    print(anonymous_kb() - before)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10_000


def test_more_packs_than_a_process_may_open_files(tmp_path: Path) -> None:
    filled(tmp_path, 150, in_a_pack=1)
    code = """
import resource, sys
from pathlib import Path
from tests.training.shelf import SPEC, items
from vizsla.training.packs import Shelf
resource.setrlimit(resource.RLIMIT_NOFILE, (80, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
with Shelf.open(Path(sys.argv[1]), SPEC, 10) as shelf:
    print(len(shelf.missing(items(150))))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


# ---- no room


def full(number: int) -> Any:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fails


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_no_more_is_said_and_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    filled(tmp_path, 10)
    with Shelf.open(tmp_path, SPEC, 10) as shelf, shelf.filling(quietly):
        monkeypatch.setattr(files, "sync", full(number))
        with pytest.raises(CacheFull) as caught:
            shelf.add(items(5, 10), computed(items(5, 10)))
        assert caught.value.hint
        assert len(shelf.missing(items(15))) == 5
    assert len(list(shelf.path.glob("*.pack"))) == 1
    assert not list(shelf.path.glob(".*"))


def test_over_the_allowance_is_said_and_what_is_there_stays(tmp_path: Path) -> None:
    size_gb = 40 * SPEC.item_bytes / 1e9
    with Shelf.open(tmp_path, SPEC, size_gb) as shelf, shelf.filling(quietly):
        shelf.add(items(10), computed(items(10)))
        with pytest.raises(CacheFull, match="no room"):
            shelf.add(items(30, 10), computed(items(30, 10)))
    assert there(tmp_path, 40) == items(10)


def test_an_older_shelf_makes_room_unless_it_is_open(tmp_path: Path) -> None:
    old = Spec({"model": "old"}, SPEC.shape, "float32")
    filled(tmp_path, 40, old, in_a_pack=40)
    # as much as the old shelf takes, and some: either fits, both do not
    most_gb = (cache.entries(tmp_path)[0].size_bytes * 1.2) / 1e9
    with Shelf.open(tmp_path, SPEC, most_gb) as shelf, shelf.filling(quietly):
        with Shelf.open(tmp_path, old, most_gb), pytest.raises(CacheFull):
            shelf.add(items(40), computed(items(40)))
        shelf.add(items(40), computed(items(40)))
    assert there(tmp_path, 40) == items(40)
    assert pack_files(tmp_path, old) == []


def test_what_fits_is_known_before_it_is_computed(tmp_path: Path) -> None:
    def bytes_of(count: int) -> float:
        return count * (SPEC.item_bytes + 100) / 1e9

    assert fits(tmp_path, SPEC, 10, bytes_of(12))
    assert not fits(tmp_path, SPEC, 20, bytes_of(10))
    assert not fits(tmp_path, SPEC, 1, 0)
    filled(tmp_path, 20)
    assert not fits(tmp_path, SPEC, 10, bytes_of(12))  # its own rows do not make room for more of them
    assert fits(tmp_path, WIDE, 0, bytes_of(1))


def test_where_nothing_may_be_written_a_shelf_is_empty_and_cannot_be_filled(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "cache"
    assert not fits(root, SPEC, 1, 10)
    with Shelf.open(root, SPEC, 10) as shelf:
        assert shelf.missing(items(3)) == items(3)
        with pytest.raises(CacheFull), shelf.filling(quietly):
            pytest.fail("it is filled")


def test_a_full_shelf_that_may_not_be_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 10)
    opened = os.open

    def read_only(path: Any, flags: int, *rest: Any) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    monkeypatch.setattr(os, "utime", full(errno.EROFS))
    assert there(tmp_path, 10) == items(10)
    with Shelf.open(tmp_path, SPEC, 10) as shelf:
        assert [entry.in_use for entry in cache.entries(tmp_path)] == [True]
        with pytest.raises(CacheFull), shelf.filling(quietly):
            pytest.fail("it is filled")
