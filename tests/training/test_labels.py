"""A CSV of image and label, as competitions, annotators and spreadsheets write it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.training.test_layouts import bad, lay, listed, pairs, refusal, sheet, splits

if TYPE_CHECKING:
    from pathlib import Path


def test_kaggle_ids_without_endings_find_their_photos_in_subfolders(tmp_path: Path) -> None:
    lay(tmp_path, "train/000bec18.jpg", "train/001513df.jpg", "test/unlabelled.jpg")
    sheet(tmp_path, "id,breed\n000bec18,boston_bull\n001513df,dingo\n")
    (tmp_path / "sample_submission.csv").write_text("id,dingo\n")
    listing = listed(tmp_path, "labels.csv")
    assert pairs(listing) == {"train/000bec18.jpg": "boston_bull", "train/001513df.jpg": "dingo"}
    assert listing.layout == "labels file"
    assert listing.unlabelled == 1
    assert listing.ignored == 1, "the labels file itself is not ignored, the other CSV is"


@pytest.mark.parametrize(
    "written",
    ["a/b/1.jpg", "./a/b/1.jpg", "a\\b\\1.jpg", "a/b/1", "1.jpg", "1", "photos/1.jpg", "1.png", " a/b/1.jpg "],
)
def test_a_photo_is_found_by_path_then_name_then_stem(tmp_path: Path, written: str) -> None:
    lay(tmp_path, "a/b/1.jpg", "other.jpg")
    sheet(tmp_path, f"image,label\n{written},cat\n")
    assert pairs(listed(tmp_path, "labels.csv")) == {"a/b/1.jpg": "cat"}


def test_a_photo_is_never_found_in_another_folder_than_the_one_named(tmp_path: Path) -> None:
    lay(tmp_path, "cats/1.jpg", "dogs/1.jpg", "dogs/2.jpg")
    sheet(tmp_path, "image,label\ncats/1.jpg,cat\ncats/2.jpg,cat\ndogs/1.png,dog\n")
    listing = listed(tmp_path, "labels.csv")
    assert pairs(listing) == {"cats/1.jpg": "cat", "dogs/1.jpg": "dog"}
    assert bad(listing) == {"cats/2.jpg": "no such photo (line 3)"}


def test_a_name_without_ending_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "1/any")
    sheet(tmp_path, "image,label\n1,cat\n1/any,dog\n")
    assert pairs(listed(tmp_path, "labels.csv")) == {"1.jpg": "cat", "1/any": "dog"}


def test_a_path_that_fits_wins_over_other_files_of_the_same_name(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "old/1.jpg", "1.png")
    sheet(tmp_path, "image,label\n1.jpg,cat\nold/1.jpg,dog\n1.png,fox\n")
    assert pairs(listed(tmp_path, "labels.csv")) == {"1.jpg": "cat", "old/1.jpg": "dog", "1.png": "fox"}


@pytest.mark.parametrize(
    "header",
    ["image,label", "id,breed", "File Name,Category", "label,image", "x,y,split", "index,filename,class,id", "what,of"],
)
def test_columns_are_known_by_name_or_are_the_first_two(tmp_path: Path, header: str) -> None:
    lay(tmp_path, "1.jpg")
    values = {"label": "cat", "breed": "cat", "Category": "cat", "class": "cat", "y": "cat", "of": "cat", "split": ""}
    row = ",".join(values.get(name, "1.jpg") for name in header.split(","))
    sheet(tmp_path, f"{header}\n{row}\n")
    assert pairs(listed(tmp_path, "labels.csv")) == {"1.jpg": "cat"}


@pytest.mark.parametrize("first_label", ["cat", "species"])
def test_a_file_without_header_loses_no_row(tmp_path: Path, first_label: str) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    sheet(tmp_path, f"1.jpg,{first_label}\n2.jpg,dog\n")
    assert pairs(listed(tmp_path, "labels.csv")) == {"1.jpg": first_label, "2.jpg": "dog"}


def test_a_header_is_no_row_even_where_a_photo_is_called_like_it(tmp_path: Path) -> None:
    lay(tmp_path, "image.jpg", "2.jpg")
    sheet(tmp_path, "image,label\n2,cat\n")
    assert pairs(listed(tmp_path, "labels.csv")) == {"2.jpg": "cat"}


@pytest.mark.parametrize("comma", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\r\n\n"])
def test_what_spreadsheets_write(tmp_path: Path, comma: str, start: str) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    rows = ["image|label|width", '1.jpg|"Löwe, | alt"|8', "", "2.jpg|猫|8", ""]
    sheet(tmp_path, start + "\r\n".join(rows).replace("|", comma))
    assert pairs(listed(tmp_path, "labels.csv")) == {"1.jpg": f"Löwe, {comma} alt", "2.jpg": "猫"}


def test_names_that_are_not_utf8_are_found(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    lay(tmp_path, name)
    sheet(tmp_path, f"image,label\n{name},{name}\n")
    assert pairs(listed(tmp_path, "labels.csv")) == {name: name}


def test_a_split_column_gives_the_splits(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    sheet(tmp_path, "image,label,split\n1,cat,train\n2,dog,Training\n3,cat,val\n4,dog,TEST\n")
    listing = listed(tmp_path, "labels.csv")
    assert splits(listing) == {"1.jpg": "train", "2.jpg": "train", "3.jpg": "valid", "4.jpg": "test"}


def test_an_unknown_split_is_refused_with_its_line(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    sheet(tmp_path, "image,label,split\n1,cat,train\n2,dog,fold3\n")
    assert "Line 3" in refusal({"training": tmp_path}, "labels.csv").message


# ---- rows that are left out


def test_rows_that_cannot_be_used_are_named_and_the_others_are_used(tmp_path: Path) -> None:
    lay(tmp_path, "good.jpg", "a/twin.jpg", "b/twin.jpg", "torn.jpg", "bare.jpg", "same.jpg")
    (tmp_path / "notes.txt").write_text("no photo")
    rows = "good,cat twin,cat gone.jpg,dog torn,cat torn,dog bare, ,dog same,dog same.jpg,dog notes.txt,dog"
    sheet(tmp_path, "image,label\n" + "\n".join(rows.split(" ")) + "\n")
    listing = listed(tmp_path, "labels.csv")
    assert pairs(listing) == {"good.jpg": "cat", "same.jpg": "dog"}
    assert bad(listing) == {
        "bare": "no label (line 7)",
        "gone.jpg": "no such photo (line 4)",
        "line 8": "no image is named",
        "notes.txt": "not a photo, by name or content",
        "torn.jpg": "two labels: 'cat' (line 5) and 'dog' (line 6)",
        "twin": "could be a/twin.jpg or b/twin.jpg (line 3)",
    }


def test_a_photo_in_two_splits_is_in_neither(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    sheet(tmp_path, "image,label,split\n1,cat,train\n1.jpg,cat,test\n2,dog,train\n")
    listing = listed(tmp_path, "labels.csv")
    assert bad(listing) == {"1.jpg": "two splits: line 2 and line 3"}
    assert list(pairs(listing)) == ["2.jpg"]


def test_a_row_without_split_among_rows_with_one_is_left_out(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    sheet(tmp_path, "image,label,split\n1,cat,train\n2,dog,\n")
    assert list(bad(listed(tmp_path, "labels.csv"))) == ["2"]


def test_no_row_that_finds_its_photo(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg")
    sheet(tmp_path, "image,label\nx,cat\ny,dog\n")
    error = refusal({"training": tmp_path}, "labels.csv")
    assert "None of the 2 rows" in error.message
    assert "'x'" in error.hint


# ---- paths that leave the folder


@pytest.mark.parametrize("path", ["/etc/1.jpg", "../out/1.jpg", "in/../../out/1.jpg", "..\\out\\1.jpg", "C:\\1.jpg"])
def test_a_path_that_leaves_the_folder_is_refused_with_its_line(tmp_path: Path, path: str) -> None:
    lay(tmp_path, "out/1.jpg", "data/in/1.jpg")
    sheet(tmp_path / "data", f"image,label\nin/1.jpg,cat\n{path},dog\n")
    error = refusal({"training": tmp_path / "data"}, "labels.csv")
    assert "Line 3" in error.message
    assert "outside" in error.message


@pytest.mark.parametrize("row", ["file.jpg", "folder/1.jpg"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, row: str) -> None:
    lay(tmp_path, "out/1.jpg", "data/1.jpg")
    (tmp_path / "data" / "file.jpg").symlink_to(tmp_path / "out" / "1.jpg")
    (tmp_path / "data" / "folder").symlink_to(tmp_path / "out")
    sheet(tmp_path / "data", f"image,label\n1.jpg,cat\n{row},dog\n")
    assert "outside" in refusal({"training": tmp_path / "data"}, "labels.csv").message


def test_a_link_that_stays_inside_is_fine(tmp_path: Path) -> None:
    lay(tmp_path, "store/1.jpg")
    (tmp_path / "photo.jpg").symlink_to("store/1.jpg")
    sheet(tmp_path, "image,label\nphoto.jpg,cat\n")
    assert pairs(listed(tmp_path, "labels.csv")) == {"photo.jpg": "cat"}


@pytest.mark.parametrize("name", ["/etc/passwd", "../labels.csv", "link.csv"])
def test_the_csv_has_to_lie_in_the_folder(tmp_path: Path, name: str) -> None:
    lay(tmp_path, "data/1.jpg")
    sheet(tmp_path, "image,label\n1,cat\n")
    (tmp_path / "data" / "link.csv").symlink_to(tmp_path / "labels.csv")
    assert "outside" in refusal({"training": tmp_path / "data"}, name).message


# ---- a CSV that cannot be used


def test_a_missing_csv_lists_those_that_are_there(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg")
    sheet(tmp_path, "image,label\n", name="breeds.csv")
    assert "breeds.csv" in refusal({"training": tmp_path}, "labels.csv").hint


@pytest.mark.parametrize("header", ["image", "filename,width,height,kind", "width,label,height"])
def test_columns_that_cannot_be_told_are_listed(tmp_path: Path, header: str) -> None:
    lay(tmp_path, "1.jpg")
    sheet(tmp_path, f"{header}\n{header}\n")
    error = refusal({"training": tmp_path}, "labels.csv")
    assert header.replace(",", ", ") in error.message
    assert "image and label" in error.hint


@pytest.mark.parametrize("raw", [b"", b"\n\n", "image,label\n1,cat\n".encode("utf-16"), b"a,b\n" + b"x" * 200_000])
def test_an_empty_a_utf16_and_a_hopeless_file_are_refused(tmp_path: Path, raw: bytes) -> None:
    lay(tmp_path, "1.jpg")
    (tmp_path / "labels.csv").write_bytes(raw)
    refusal({"training": tmp_path}, "labels.csv")


def test_bytes_that_no_file_name_can_hold_are_a_row_without_photo(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg")
    sheet(tmp_path, f"image,label\n1,cat\na\0b,dog\n{'long' * 1000},dog\n")
    assert len(listed(tmp_path, "labels.csv").bad) == 2
