"""Folders and CSVs as people have them: which photos, which classes, which splits, and what is said of the rest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.photos import encode, every_bad, smooth, write_folder
from vizsla.errors import UserError
from vizsla.training.layouts import Listing, read, refuse_untrainable

if TYPE_CHECKING:
    from pathlib import Path

JPEG = encode(smooth((8, 8)), "JPEG")


def lay(root: Path, *files: str) -> Path:
    """Write one small photo to each of these paths."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    return root


def sheet(root: Path, text: str, name: str = "labels.csv") -> None:
    (root / name).write_bytes(text.encode(errors="surrogateescape"))


def listed(root: Path, labels: str | None = None) -> Listing:
    return read({"training": root}, labels)


def pairs(listing: Listing) -> dict[str, str]:
    return {photo.file: photo.label for photo in listing.photos}


def splits(listing: Listing) -> dict[str, str | None]:
    return {photo.file: photo.split for photo in listing.photos}


def bad(listing: Listing) -> dict[str, str]:
    return {each.file: each.reason for each in listing.bad}


def refusal(channels: dict[str, Path], labels: str | None = None) -> UserError:
    with pytest.raises(UserError) as caught:
        read(channels, labels)
    assert caught.value.message
    assert caught.value.hint
    return caught.value


# ---- class folders


def test_each_folder_is_a_class_and_its_subfolders_belong_to_it(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dog": 2, "cat": 1})
    lay(tmp_path, "cat/2019/spring/1.jpg")
    listing = listed(tmp_path)
    assert pairs(listing) == {
        "cat/2019/spring/1.jpg": "cat",
        "cat/cat-000.jpg": "cat",
        "dog/dog-000.jpg": "dog",
        "dog/dog-001.jpg": "dog",
    }
    assert [photo.file for photo in listing.photos] == sorted(pairs(listing))
    assert all(photo.path.read_bytes() and photo.split is None for photo in listing.photos)
    assert (listing.layout, listing.classes, listing.bad) == ("class folders", ("cat", "dog"), ())


def test_class_names_are_sorted_by_code_point_and_kept_as_written(tmp_path: Path) -> None:
    names = ["Zebra", "ant eater", " lynx ", "<script>alert(1)<", "Äffchen", "猫", "train", os.fsdecode(b"caf\xe9")]
    lay(tmp_path, *(f"{name}/1.jpg" for name in names))
    assert listed(tmp_path).classes == tuple(sorted(names))


def test_a_script_tag_in_a_class_name_is_only_a_name(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg")
    sheet(tmp_path, "image,label\n1,</script>\n")
    assert listed(tmp_path, "labels.csv").classes == ("</script>",)


def test_photos_are_told_by_name_or_by_content(tmp_path: Path) -> None:
    lay(tmp_path, "cat/IMG.JPEG", "cat/no-ending", "cat/picture.dat", "dog/phone.heic")
    (tmp_path / "cat" / "notes.txt").write_text("which cat is which")
    (tmp_path / "dog" / "text.jpg").write_bytes(every_bad()["text"])
    listing = listed(tmp_path)
    assert sorted(pairs(listing)) == [
        "cat/IMG.JPEG",
        "cat/no-ending",
        "cat/picture.dat",
        "dog/phone.heic",
        "dog/text.jpg",
    ]
    assert listing.ignored == 1


def test_hidden_files_and_the_litter_of_operating_systems_are_no_data(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg", "cat/._1.jpg", ".git/x.jpg", "__MACOSX/cat/1.jpg", "cat/Thumbs.db")
    listing = listed(tmp_path)
    assert sorted(pairs(listing)) == ["cat/1.jpg", "dog/1.jpg"]
    assert listing.ignored == 0


def test_a_workspace_inside_the_folder_is_no_class(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg", "vizsla-runs/training/a/output/1.jpg")
    (tmp_path / "vizsla-runs" / ".vizsla-workspace").touch()
    assert listed(tmp_path).classes == ("cat", "dog")


def test_a_workspace_is_refused_as_a_data_set(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", ".vizsla-workspace")
    assert "keeps its runs" in refusal({"training": tmp_path}).message


def test_links_to_files_count_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    lay(tmp_path, "elsewhere/1.jpg", "data/cat/1.jpg", "data/dog/1.jpg")
    data = tmp_path / "data"
    (data / "cat" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (data / "cat" / "loop").symlink_to(data)
    listing = listed(data)
    assert sorted(pairs(listing)) == ["cat/1.jpg", "cat/link.jpg", "dog/1.jpg"]
    assert listing.ignored == 1


def test_a_link_to_a_class_folder_is_ignored_and_no_empty_class(tmp_path: Path) -> None:
    lay(tmp_path, "elsewhere/1.jpg", "data/cat/1.jpg", "data/dog/1.jpg")
    (tmp_path / "data" / "wolf").symlink_to(tmp_path / "elsewhere")
    listing = listed(tmp_path / "data")
    assert (listing.classes, listing.empty, listing.ignored) == (("cat", "dog"), (), 1)


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    lay(tmp_path / "data", "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "channel").symlink_to(tmp_path / "data")
    assert sorted(pairs(listed(tmp_path / "channel"))) == ["cat/1.jpg", "dog/1.jpg"]


def test_a_pipe_called_like_a_photo_is_not_waited_for(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    assert listed(tmp_path).ignored == 1


def test_a_broken_link_called_like_a_photo_is_listed_so_that_it_can_be_named(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert "cat/gone.jpg" in pairs(listed(tmp_path))


def test_a_photo_beside_the_class_folders_is_named_as_bad(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg", "overview.jpg")
    assert bad(listed(tmp_path)) == {"overview.jpg": "not in a class folder"}


# ---- split folders


@pytest.mark.parametrize("name", ["valid", "val", "validation", "Val"])
def test_split_folders_give_each_photo_its_split(tmp_path: Path, name: str) -> None:
    lay(tmp_path, "Train/cat/1.jpg", "Train/dog/1.jpg", f"{name}/cat/2.jpg", "test/dog/deep/3.jpg")
    listing = listed(tmp_path)
    assert splits(listing) == {
        "Train/cat/1.jpg": "train",
        "Train/dog/1.jpg": "train",
        f"{name}/cat/2.jpg": "valid",
        "test/dog/deep/3.jpg": "test",
    }
    assert (listing.layout, listing.classes) == ("split folders", ("cat", "dog"))


def test_train_alone_is_split_laid_too(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg")
    assert listed(tmp_path).classes == ("cat", "dog")


def test_a_class_called_train_beside_bus_and_car_is_a_class(tmp_path: Path) -> None:
    lay(tmp_path, "train/steam/1.jpg", "train/2.jpg", "bus/1.jpg", "car/1.jpg")
    listing = listed(tmp_path)
    assert (listing.layout, listing.classes) == ("class folders", ("bus", "car", "train"))


def test_flat_folders_called_train_and_test_are_classes(tmp_path: Path) -> None:
    lay(tmp_path, "train/1.jpg", "test/1.jpg")
    assert listed(tmp_path).classes == ("test", "train")


def test_a_folder_of_documents_beside_the_splits_changes_nothing(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("about")
    assert listed(tmp_path).layout == "split folders"


def test_the_unlabelled_test_photos_of_a_competition_are_counted(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg", "test/2.jpg")
    listing = listed(tmp_path)
    assert (len(listing.photos), listing.unlabelled, listing.bad) == (2, 2, ())


def test_a_photo_in_a_split_but_in_no_class_is_named_as_bad(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "train/stray.jpg", "top.jpg")
    assert sorted(bad(listed(tmp_path))) == ["top.jpg", "train/stray.jpg"]


def test_splits_without_train_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "test/cat/1.jpg", "valid/dog/1.jpg")
    assert "no folder train" in refusal({"training": tmp_path}).message


# ---- channels


def test_channels_of_their_own_give_the_splits(tmp_path: Path) -> None:
    lay(tmp_path / "a", "cat/1.jpg", "dog/1.jpg", "stray.jpg")
    lay(tmp_path / "b", "cat/1.jpg")
    lay(tmp_path / "c", "dog/1.jpg", "dog/notes.txt/2.jpg")
    (tmp_path / "c" / "readme.md").write_text("about")
    listing = read({"train": tmp_path / "a", "validation": tmp_path / "b", "test": tmp_path / "c"})
    assert splits(listing) == {
        "train/cat/1.jpg": "train",
        "train/dog/1.jpg": "train",
        "validation/cat/1.jpg": "valid",
        "test/dog/1.jpg": "test",
        "test/dog/notes.txt/2.jpg": "test",
    }
    assert pairs(listing)["validation/cat/1.jpg"] == "cat"
    assert (listing.layout, listing.ignored) == ("channels", 1)
    assert list(bad(listing)) == ["train/stray.jpg"]


@pytest.mark.parametrize(
    "names", [["pictures"], ["training", "test"], ["valid"], ["train", "valid", "validation"], [], ["train", "extra"]]
)
def test_other_channels_are_refused_with_those_that_are_allowed(tmp_path: Path, names: list[str]) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg")
    hint = refusal(dict.fromkeys(names, tmp_path)).hint
    assert "training" in hint
    assert "validation" in hint


def test_a_train_channel_alone_holds_any_layout(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/dog/1.jpg")
    assert read({"train": tmp_path}).layout == "split folders"


def test_a_labels_file_does_not_go_with_several_channels(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg")
    assert "several channels" in refusal({"train": tmp_path, "test": tmp_path}, "labels.csv").message


# ---- a folder that cannot be read as data


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "does not exist" in refusal({"training": tmp_path / "nowhere"}).message


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(every_bad()["zip"])
    error = refusal({"training": tmp_path / "photos.zip"})
    assert "is a file" in error.message
    assert "Unpack" in error.hint


def test_a_single_photo_is_for_predict(tmp_path: Path) -> None:
    lay(tmp_path, "cat.jpg")
    assert "predict" in refusal({"training": tmp_path / "cat.jpg"}).hint


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "holds nothing" in refusal({"training": tmp_path}).message


def test_a_folder_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "photos.zip").write_bytes(every_bad()["zip"])
    error = refusal({"training": tmp_path})
    assert "only 1 other file" in error.message
    assert "unpacked" in error.hint


def test_photos_without_classes(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    error = refusal({"training": tmp_path})
    assert "2 photos" in error.message
    assert "data.labels" in error.hint


def test_photos_beside_a_csv_are_told_which(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    sheet(tmp_path, "image,label\n1,cat\n", name="breeds.csv")
    assert "--set data.labels=breeds.csv" in refusal({"training": tmp_path}).hint


# ---- what is listed, but no classifier can be made of


def untrainable(listing: Listing) -> UserError:
    with pytest.raises(UserError) as caught:
        refuse_untrainable(listing.photos, listing.empty)
    return caught.value


def test_one_class_only_names_the_folder_that_was_meant(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    error = untrainable(listed(tmp_path))
    assert "'photos'" in error.message
    assert f"{tmp_path / 'photos'}" in error.hint


def test_one_class_only_without_folders_below_it(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2})
    error = untrainable(listed(tmp_path))
    assert "only one class, 'cat'" in error.message
    assert "name that folder" not in error.hint


def test_a_class_that_train_does_not_have_is_named(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/wolf/1.jpg")
    error = untrainable(listed(tmp_path))
    assert "'wolf'" in error.message
    assert "test" in error.message


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "wolf" / "later").mkdir(parents=True)
    assert "'wolf'" in untrainable(listed(tmp_path)).message


def test_a_class_that_is_empty_in_test_alone_is_fine(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg")
    (tmp_path / "test" / "dog").mkdir()
    listing = listed(tmp_path)
    refuse_untrainable(listing.photos, listing.empty)
    assert listing.empty == ()
