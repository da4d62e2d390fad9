"""Every photo decoded once: what is bad is named, what is good is divided, and the report says all of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.photos import every_bad, write_folder
from vizsla.errors import UserError
from vizsla.training import check as checking
from vizsla.training.check import Checked, check, divide, fingerprint, refuse_hopeless, report
from vizsla.training.layouts import Listing, read
from vizsla.training.remembered import Remembered
from vizsla.vision.preprocess import BadImage, Preprocessing, pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vizsla.training.check import CheckedPhoto
    from vizsla.training.listing import Split

SPEC = Preprocessing(size=16)
SHARES = (0.7, 0.15, 0.15)


def checked(root: Path, spec: Preprocessing = SPEC) -> tuple[Listing, Checked]:
    listing = read({"training": root})
    return listing, check(listing, spec, threads=2, progress=lambda done, total: None)


def names(splits: Mapping[Split, Sequence[CheckedPhoto]]) -> dict[str, list[str]]:
    return {split: [photo.file for photo in photos] for split, photos in splits.items()}


# ---- check


def test_good_photos_keep_their_order_and_are_known_by_their_bytes(tmp_path: Path) -> None:
    paths = write_folder(tmp_path, {"cat": 15, "dog": 15})
    listing, result = checked(tmp_path)
    assert [photo.file for photo in result.photos] == [photo.file for photo in listing.photos]
    assert result.bad == ()
    for photo, path in zip(result.photos, sorted(paths), strict=True):
        data = path.read_bytes()
        assert (photo.path, photo.sha256, photo.size_bytes) == (path, hashlib.sha256(data).hexdigest(), len(data))


def test_every_bad_photo_is_named_with_its_reason_and_the_others_are_kept(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2, "dog": 2})
    for name, data in every_bad().items():
        (tmp_path / "cat" / f"{name}.jpg").write_bytes(data)
    _, result = checked(tmp_path)
    assert [each.file for each in result.bad] == sorted(f"cat/{name}.jpg" for name in every_bad())
    assert all(each.reason for each in result.bad)
    assert len(result.photos) == 4


def test_what_the_listing_found_bad_is_bad_here_too(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "overview.jpg").write_bytes(every_bad()["empty"])
    _, result = checked(tmp_path)
    assert [each.file for each in result.bad] == ["overview.jpg"]


def test_a_broken_link_is_a_bad_photo(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    _, result = checked(tmp_path)
    assert [each.file for each in result.bad] == ["cat/gone.jpg"]
    assert "cannot be read" in result.bad[0].reason


def test_a_file_far_too_large_for_a_photo_is_not_read_into_memory(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2, "dog": 2})
    with (tmp_path / "cat" / "video.jpg").open("wb") as file:
        file.truncate(10_000_000_000)  # takes no room on disk, and would take all of memory
    _, result = checked(tmp_path)
    assert [(each.file, each.reason) for each in result.bad] == [("cat/video.jpg", "10000 MB is too large for a photo")]


def test_the_limit_of_pixels_is_the_one_asked_for(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 1, "dog": 1}, size=(64, 48))
    _, result = checked(tmp_path, Preprocessing(size=16, max_pixels=64 * 48 - 1))
    assert len(result.bad) == 2


def test_progress_is_told_after_every_photo_in_order(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 12, "dog": 11})
    told: list[tuple[int, int]] = []
    check(read({"training": tmp_path}), SPEC, 2, lambda done, total: told.append((done, total)))
    assert told == [(done, 23) for done in range(1, 24)]


# ---- refuse_hopeless


def hopeless(root: Path, max_bad: float) -> UserError:
    listing, result = checked(root)
    with pytest.raises(UserError) as caught:
        refuse_hopeless(result, listing, max_bad)
    assert caught.value.hint
    return caught.value


def test_too_many_bad_photos_are_refused_with_the_first_reasons(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 9, "dog": 9})
    for name in ("a", "b"):
        (tmp_path / "cat" / f"{name}.jpg").write_bytes(b"")
    error = hopeless(tmp_path, 0.05)
    assert "2 of 20 photos" in error.message
    assert "'cat/a.jpg'" in error.message
    assert "data.max_bad=0.10" in error.hint


def test_bad_photos_up_to_the_limit_are_allowed(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 10, "dog": 9})
    (tmp_path / "cat" / "a.jpg").write_bytes(b"")
    listing, result = checked(tmp_path)
    refuse_hopeless(result, listing, 0.05)


def test_a_class_with_nothing_left_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 30, "dog": 30})
    (tmp_path / "wolf").mkdir()
    (tmp_path / "wolf" / "only.jpg").write_bytes(every_bad()["truncated_jpeg"])
    error = hopeless(tmp_path, 0.05)
    assert "'wolf'" in error.message
    assert "nothing left" in error.message


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 3, "dog": 3, "wolf": 0})
    assert "'wolf'" in hopeless(tmp_path, 0.05).message


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 3})
    assert "only one class" in hopeless(tmp_path, 0.05).message


def test_a_class_whose_photos_of_train_are_all_bad_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 3, "dog": 3, "wolf": 0})
    write_folder(tmp_path / "test", {"wolf": 1}, seed=1)
    (tmp_path / "train" / "wolf" / "only.jpg").write_bytes(b"")
    error = hopeless(tmp_path, 0.5)
    assert "'wolf'" in error.message
    assert "none in train" in error.message


# ---- divide


def test_no_split_given_is_cut_by_shares(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 20, "dog": 40})
    _, result = checked(tmp_path)
    splits = divide(result, SHARES, seed=3, fraction=1.0)
    assert {split: len(photos) for split, photos in splits.items()} == {"train": 42, "valid": 9, "test": 9}
    assert sorted(file for files in names(splits).values() for file in files) == [p.file for p in result.photos]
    assert all(files == sorted(files) for files in names(splits).values())


def test_the_same_photos_elsewhere_are_divided_alike(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", {"cat": 20, "dog": 20})
    shutil.copytree(tmp_path / "a", tmp_path / "somewhere" / "else")
    here, there = (divide(checked(root)[1], SHARES, 3) for root in (tmp_path / "a", tmp_path / "somewhere" / "else"))
    assert names(here) == names(there)


def test_a_renamed_photo_stays_in_its_split(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 20, "dog": 20})
    before = divide(checked(tmp_path)[1], SHARES, 3)
    held_out = before["test"][0]
    held_out.path.rename(held_out.path.with_name("aaa.jpg"))
    after = divide(checked(tmp_path)[1], SHARES, 3)
    assert {p.sha256 for p in before["test"]} == {p.sha256 for p in after["test"]}


def test_given_splits_are_kept(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "valid", "test")):
        write_folder(tmp_path / split, {"cat": 3, "dog": 3}, seed=seed)
    _, result = checked(tmp_path)
    for split, photos in divide(result, SHARES, seed=0).items():
        assert [photo.split for photo in photos] == [split] * 6


def test_train_and_valid_without_test_have_nothing_held_out(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 10, "dog": 10})
    write_folder(tmp_path / "val", {"cat": 3, "dog": 3}, seed=1)
    splits = divide(checked(tmp_path)[1], SHARES, seed=0)
    assert {split: len(photos) for split, photos in splits.items()} == {"train": 20, "valid": 6, "test": 0}


def test_train_and_test_without_valid_give_valid_its_share_of_train(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 40, "dog": 40})
    write_folder(tmp_path / "test", {"cat": 3, "dog": 3}, seed=1)
    splits = divide(checked(tmp_path)[1], (0.6, 0.15, 0.25), seed=0)
    assert {split: len(photos) for split, photos in splits.items()} == {"train": 64, "valid": 16, "test": 6}
    assert all(photo.split == "test" for photo in splits["test"])


def test_train_alone_is_as_no_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 20, "dog": 20})
    splits = divide(checked(tmp_path)[1], SHARES, seed=0)
    assert {split: len(photos) for split, photos in splits.items()} == {"train": 28, "valid": 6, "test": 6}


def test_a_fraction_thins_train_alone(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 20, "dog": 40, "rare": 1})
    _, result = checked(tmp_path)
    whole, part = divide(result, SHARES, 3), divide(result, SHARES, 3, fraction=0.3)
    assert names(part)["valid"] == names(whole)["valid"]
    assert names(part)["test"] == names(whole)["test"]
    assert set(names(part)["train"]) < set(names(whole)["train"])
    assert {photo.label for photo in part["train"]} == {"cat", "dog", "rare"}
    assert len(part["train"]) == 13  # of 43


def test_copies_of_a_photo_are_never_in_two_splits(tmp_path: Path) -> None:
    paths = write_folder(tmp_path, {"cat": 10, "dog": 10})
    for path in paths:
        for copy in range(2):
            shutil.copy(path, path.with_name(f"copy-{copy}-of-{path.name}"))
    for seed in range(5):
        splits = divide(checked(tmp_path)[1], SHARES, seed)
        hashes = [{photo.sha256 for photo in photos} for photos in splits.values()]
        assert sum(len(each) for each in hashes) == len(set.union(*hashes)) == 20
        assert sum(len(photos) for photos in splits.values()) == 60


def test_a_class_that_is_all_copies_of_another_still_has_train(tmp_path: Path) -> None:
    paths = write_folder(tmp_path, {"cat": 20, "dog": 20, "double": 0})
    shutil.copy(paths[4], tmp_path / "double" / "1.jpg")
    twin = hashlib.sha256(paths[4].read_bytes()).hexdigest()
    for seed in range(20):
        splits = divide(checked(tmp_path)[1], SHARES, seed)
        assert "double" in {photo.label for photo in splits["train"]}
        assert len([split for split, photos in splits.items() if twin in {p.sha256 for p in photos}]) == 1


# ---- report


def test_the_report_counts_every_photo_once(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 20, "dog": 40})
    (tmp_path / "cat" / "torn.jpg").write_bytes(every_bad()["truncated_jpeg"])
    (tmp_path / "cat" / "notes.txt").write_text("notes")
    listing, result = checked(tmp_path)
    document = report(listing, result, divide(result, SHARES, 3))
    assert document["layout"] == "class folders"
    assert document["classes"] == ["cat", "dog"]
    assert document["counts"] == {"train": 42, "valid": 9, "test": 9}
    assert document["per_class"] == {
        "cat": {"train": 14, "valid": 3, "test": 3},
        "dog": {"train": 28, "valid": 6, "test": 6},
    }
    assert [each["file"] for each in document["bad"]] == ["cat/torn.jpg"]
    assert document["bad"][0]["reason"]
    assert (document["ignored"], document["unlabelled"], document["left_out"]) == (1, 0, 0)
    assert (document["duplicates"], document["conflicts"], document["leaks"]) == ([], [], [])


def test_the_report_counts_what_a_fraction_leaves_out(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 20, "dog": 20})
    listing, result = checked(tmp_path)
    assert report(listing, result, divide(result, SHARES, 3, fraction=0.5))["left_out"] == 14


def test_copies_and_copies_under_two_classes_are_reported(tmp_path: Path) -> None:
    paths = write_folder(tmp_path, {"cat": 5, "dog": 5})
    shutil.copy(paths[0], tmp_path / "cat" / "again.jpg")
    shutil.copy(paths[1], tmp_path / "dog" / "cat-or-dog.jpg")
    listing, result = checked(tmp_path)
    document = report(listing, result, divide(result, SHARES, 0))
    assert document["duplicates"] == [["cat/again.jpg", "cat/cat-000.jpg"], ["cat/cat-001.jpg", "dog/cat-or-dog.jpg"]]
    assert document["conflicts"] == [
        [{"file": "cat/cat-001.jpg", "class": "cat"}, {"file": "dog/cat-or-dog.jpg", "class": "dog"}]
    ]
    assert document["leaks"] == []


def test_copies_in_two_given_splits_are_reported_as_leaks(tmp_path: Path) -> None:
    paths = write_folder(tmp_path / "train", {"cat": 5, "dog": 5})
    (tmp_path / "test" / "cat").mkdir(parents=True)
    shutil.copy(paths[0], tmp_path / "test" / "cat" / "1.jpg")
    listing, result = checked(tmp_path)
    splits = divide(result, SHARES, 0)
    assert {photo.file for photo in splits["test"]} == {"test/cat/1.jpg"}
    (leak,) = report(listing, result, splits)["leaks"]
    assert leak[0] == {"file": "test/cat/1.jpg", "split": "test"}
    assert leak[1]["file"] == "train/cat/cat-000.jpg"


def test_the_report_is_strict_json_whatever_files_are_called(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9 <b>")
    write_folder(tmp_path, {strange: 2, "dog": 2})
    (tmp_path / strange / "empty.jpg").write_bytes(b"")
    listing, result = checked(tmp_path)
    document = report(listing, result, divide(result, SHARES, 0))
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_fingerprint_is_of_bytes_and_classes_and_of_nothing_else(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", {"cat": 3, "dog": 3})
    before = fingerprint(checked(tmp_path / "a")[1].photos)
    (tmp_path / "a" / "cat" / "cat-001.jpg").rename(tmp_path / "a" / "cat" / "renamed.jpg")
    (tmp_path / "a").rename(tmp_path / "b")
    assert fingerprint(checked(tmp_path / "b")[1].photos) == before
    (tmp_path / "b" / "cat" / "renamed.jpg").rename(tmp_path / "b" / "dog" / "renamed.jpg")
    assert fingerprint(checked(tmp_path / "b")[1].photos) != before


# ---- check, with a memory


@pytest.fixture
def settled(tmp_path: Path) -> Path:
    """Photos, one of them bad, that nobody has changed for a day."""
    write_folder(tmp_path / "photos", {"cat": 6, "dog": 6})
    (tmp_path / "photos" / "cat" / "torn.jpg").write_bytes(every_bad()["truncated_jpeg"])
    for path in (tmp_path / "photos").rglob("*.*"):
        age(path)
    return tmp_path / "photos"


def age(path: Path) -> None:
    yesterday = path.stat().st_mtime_ns - 86_400 * 10**9
    os.utime(path, ns=(yesterday, yesterday))


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Grows by the bytes of each photo that is decoded from now on."""
    seen: list[bytes] = []

    def watched(data: bytes, spec: Preprocessing) -> object:
        seen.append(data)
        return pixels(data, spec)

    monkeypatch.setattr(checking, "pixels", watched)
    return seen


def remembering(root: Path, spec: Preprocessing = SPEC) -> Checked:
    listing = read({"training": root})
    with Remembered(root.parent / "cache") as memory:
        return check(listing, spec, 2, lambda done, total: None, memory)


def test_unchanged_photos_are_not_decoded_again_and_the_answer_is_the_same(
    settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = remembering(settled)
    seen = decoded(monkeypatch)
    assert remembering(settled) == first == checked(settled)[1]
    assert len(seen) == 13  # of the one without a memory
    assert [each.file for each in first.bad] == ["cat/torn.jpg"]


def test_only_what_is_new_or_changed_is_decoded(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembering(settled)
    changed, mended = settled / "cat" / "cat-001.jpg", settled / "cat" / "torn.jpg"
    data = (settled / "dog" / "dog-000.jpg").read_bytes()
    for path in (changed, mended, settled / "dog" / "new.jpg"):
        path.write_bytes(data)
    seen = decoded(monkeypatch)
    again = remembering(settled)
    assert seen == [data] * 3
    assert again == checked(settled)[1]
    assert again.bad == ()


def test_another_limit_of_pixels_is_asked_anew(settled: Path) -> None:
    assert len(remembering(settled).bad) == 1
    assert len(remembering(settled, Preprocessing(size=16, max_pixels=1)).bad) == 13
    assert len(remembering(settled).bad) == 1


def test_what_memory_was_too_short_for_is_tried_again(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(data: bytes, spec: Preprocessing) -> object:
        raise BadImage("not enough memory to decode it", "too_many_pixels") from MemoryError()

    with monkeypatch.context() as tight:
        tight.setattr(checking, "pixels", short)
        assert len(remembering(settled).bad) == 13
    assert len(remembering(settled).bad) == 1


def test_a_photo_that_could_not_be_read_is_tried_again(settled: Path) -> None:
    gone = settled / "cat" / "cat-000.jpg"
    gone.rename(settled.parent / "away.jpg")
    gone.symlink_to(settled.parent / "nowhere.jpg")
    assert [each.file for each in remembering(settled).bad] == ["cat/cat-000.jpg", "cat/torn.jpg"]
    gone.unlink()
    (settled.parent / "away.jpg").rename(gone)
    assert [each.file for each in remembering(settled).bad] == ["cat/torn.jpg"]
