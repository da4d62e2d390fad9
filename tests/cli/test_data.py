"""`vizsla data`: what is in a folder, before anything is trained; and known data sets as folders of photos."""

from __future__ import annotations

import errno
import os
import sys
from collections import Counter
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Ended, run_vizsla
from tests.photos import encode, picture, write_folder

if TYPE_CHECKING:
    from tests.cli.conftest import Here
    from tests.conftest import Trained

NO_ELPV = "the elpv-dataset package is not installed: pip install 'vizsla[demo]'"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty photos of one class and ten of another, a torn one, a copy, and a text."""
    folder = tmp_path / "photos"
    write_folder(folder, {"disc": 20, "rows": 10})
    (folder / "rows" / "torn.jpg").write_bytes(encode(picture(1, 0), "JPEG")[:200])
    (folder / "disc" / "copy.jpg").write_bytes((folder / "disc" / "disc-003.jpg").read_bytes())
    (folder / "notes.txt").write_text("taken in May")
    return folder


# ---- check


def checked(here: Here, *arguments: str | Path) -> dict[str, Any]:
    ended = here("data", "check", *arguments, "--json")
    assert ended.code == 0, ended.err
    return dict(ended.document)


def test_check_says_what_is_there_and_what_is_bad(here: Here, photos: Path) -> None:
    document = checked(here, photos)
    assert (document["layout"], document["classes"]) == ("class folders", ["disc", "rows"])
    assert document["bad"] == [{"file": "rows/torn.jpg", "reason": "truncated"}]
    assert document["duplicates"] == [["disc/copy.jpg", "disc/disc-003.jpg"]]
    assert document["ignored"] == 1
    assert document["problem"] is None


def test_check_splits_as_a_training_would(here: Here, trained: Trained) -> None:
    images = trained.document["images"]
    document = checked(here, trained.photos)
    assert document["counts"] == {split: images[split] for split in ("train", "valid", "test")}
    assert document["bad"] == images["bad"]


def test_check_takes_the_settings_of_a_training(here: Here, photos: Path) -> None:
    document = checked(here, photos, "--set", "data.split=0.5,0.5,0", "--set", "data.fraction=0.5")
    assert document["counts"]["test"] == 0
    assert document["left_out"] > 0


def test_a_person_sees_counts_and_each_bad_photo_with_its_reason(here: Here, photos: Path) -> None:
    ended = here("data", "check", photos)
    assert (ended.code, ended.err) == (0, "")
    text = " ".join(ended.out.split())
    assert "classes 2: disc, rows" in text
    assert "photos 31 good, 1 bad, 1 other files" in text
    assert "smallest rows, 10 photos" in text
    assert "largest disc, 21 photos" in text
    assert "rows/torn.jpg truncated" in text


def test_check_writes_nothing(here: Here, photos: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    checked(here, photos)
    assert sorted(tmp_path.rglob("*")) == before


def test_of_what_could_not_be_trained_the_report_is_still_given(here: Here, photos: Path) -> None:
    for index in range(5):
        (photos / "disc" / f"disc-00{index}.jpg").write_bytes(b"")
    ended = here("data", "check", photos, "--json")
    assert ended.code == 2
    assert len(ended.document["bad"]) == 6
    assert "6 of 32 photos are bad" in ended.document["problem"]["message"]
    assert ended.document["problem"]["message"] in ended.err
    assert ended.document["problem"]["hint"] in ended.err


def test_one_class_is_reported_and_refused(here: Here, tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", {"disc": 5})
    ended = here("data", "check", "photos")
    assert ended.code == 2
    assert "1: disc" in ended.out
    assert "There is only one class, 'disc'." in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("place", "words"), [("nowhere", "no folder nowhere"), ("empty", "no photos in")])
def test_where_there_is_nothing_to_report_there_is_only_the_error(
    here: Here, tmp_path: Path, place: str, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    ended = here("data", "check", place)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


def test_hostile_names_are_printed_without_a_control_character(here: Here, tmp_path: Path) -> None:
    names = ("two\nlines", "\x1b[31mred", os.fsdecode(b"caf\xe9"))
    write_folder(tmp_path / "photos", dict.fromkeys(names, 8))
    (tmp_path / "photos" / names[0] / "\x1b[2Jtorn.jpg").write_bytes(b"")
    ended = here("data", "check", "photos")
    assert ended.code == 0
    assert all(char.isprintable() for char in (ended.out + ended.err).replace("\n", ""))
    assert r"two\nlines/\x1b[2Jtorn.jpg" in ended.out
    assert checked(here, "photos")["classes"] == sorted(names)


# ---- import


@pytest.fixture(scope="module")
def elpv() -> dict[Path, str]:
    """What the package itself says: its photos, in its order, and the class of each."""
    if find_spec("elpv_dataset") is None:
        pytest.skip(NO_ELPV)
    data = Path(str(files("elpv_dataset"))) / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text().splitlines()]
    return {data / file: "defective" if float(share) > 0.5 else "functional" for file, share, _type in rows}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, elpv: dict[Path, str]) -> tuple[Path, Ended]:
    """The folder that `data import` made of them, and what it said."""
    assert len(elpv) == 2624
    place = tmp_path_factory.mktemp("import")
    return place / "cells", run_vizsla("data", "import", "elpv", "cells", "--json", cwd=place)


def test_elpv_is_written_whole_by_its_defect_probability(imported: tuple[Path, Ended], elpv: dict[Path, str]) -> None:
    folder, ended = imported
    assert ended.code == 0, ended.err
    counts = Counter(elpv.values())
    assert ended.document == {"dataset": "elpv", "folder": str(folder), "counts": dict(counts)}
    assert {path.name: len(list(path.glob("*.png"))) for path in folder.iterdir()} == counts


def test_the_pixels_are_those_of_the_package(imported: tuple[Path, Ended], elpv: dict[Path, str]) -> None:
    for number, (original, kind) in list(enumerate(elpv.items(), start=1))[::400]:
        with Image.open(original) as photo, Image.open(imported[0] / kind / f"cell{number:04d}.png") as written:
            assert np.array_equal(np.asarray(photo), np.asarray(written))


@pytest.mark.usefixtures("elpv")
def test_a_folder_that_is_there_is_never_written_into(here: Here, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    ended = here("data", "import", "elpv", "mine")
    assert (ended.code, ended.out) == (2, "")
    assert "mine exists already" in ended.err
    assert list((tmp_path / "mine").iterdir()) == []


def test_without_the_package_the_message_says_how_to_get_it(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)  # how Python marks what cannot be imported
    ended = here("data", "import", "elpv", "cells")
    assert (ended.code, ended.out) == (2, "")
    assert "elpv-dataset is not installed" in ended.err
    assert 'pip install "vizsla[demo]"' in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("elpv")
def test_an_import_that_breaks_off_leaves_no_folder(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_image: Image.Image, path: Path, **_options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("elpv_dataset.utils.load_dataset", lambda: (np.zeros((9, 8, 8), np.uint8), [0.0] * 9, []))
    monkeypatch.setattr(Image.Image, "save", full)
    ended = here("data", "import", "elpv", "cells")
    assert (ended.code, ended.out) == (1, "")
    assert "No space left on device" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_nobody_knows_is_refused(here: Here) -> None:
    ended = here("data", "import", "imagenet", "cells")
    assert (ended.code, ended.out) == (2, "")
    assert "elpv" in ended.err
