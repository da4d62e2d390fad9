"""Photos in a page: small, upright, without what a camera wrote into them, and never a reason to fail."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.analysis.jobs import begun
from tests.photos import encode, every_bad, every_mode, every_turn, picture, png_bomb, smooth
from vizsla.analysis import thumbnails


def drawn(data: bytes, place: Path) -> Image.Image | None:
    """What the page shows of a photo of these bytes."""
    (place / "photo").write_bytes(data)
    uri = thumbnails.data_uri(place / "photo")
    return (
        None if uri is None else Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    )


@pytest.mark.parametrize("name", every_mode())
def test_whatever_training_reads_is_drawn(tmp_path: Path, name: str) -> None:
    shown = drawn(every_mode()[name], tmp_path)
    assert shown is not None
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "RGB", smooth().size)
    wanted = smooth().convert("L" if name.startswith("grey") else "RGB").convert("RGB")
    at = (20, 10)  # row, column: in the half that is never transparent
    assert np.abs(np.asarray(shown)[at].astype(int) - np.asarray(wanted)[at]).max() < 24


def test_a_large_photo_becomes_a_small_picture(tmp_path: Path) -> None:
    shown = drawn(encode(picture(0, 1, (1600, 1200)), "JPEG"), tmp_path)
    assert shown is not None
    assert shown.size == (160, 120)


@pytest.mark.parametrize("turn", every_turn())
def test_a_photo_stands_upright(tmp_path: Path, turn: int) -> None:
    upright, shown = drawn(every_turn()[1], tmp_path), drawn(every_turn()[turn], tmp_path)
    assert upright is not None
    assert shown is not None
    assert shown.size == upright.size


def test_what_a_camera_wrote_into_a_photo_stays_out_of_the_page(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    shown = drawn(encode(picture(0, 1), "JPEG", exif=exif), tmp_path)
    assert shown is not None
    assert dict(shown.getexif()) == {}


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    shown = drawn(encode(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "PNG"), tmp_path)
    assert shown is not None
    assert shown.getpixel((10, 10)) == (255, 255, 255)


@pytest.mark.parametrize("name", every_bad())
def test_a_bad_photo_is_no_reason_to_fail(tmp_path: Path, name: str) -> None:
    (tmp_path / "photo").write_bytes(every_bad()[name])
    thumbnails.data_uri(tmp_path / "photo")


def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(png_bomb(20_000, 20_000))
    assert thumbnails.data_uri(tmp_path / "photo") is None


def test_what_is_no_file_is_not_drawn(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    assert [thumbnails.data_uri(tmp_path / name) for name in ("pipe", "gone", "")] == [None, None, None]


def test_a_photo_is_found_in_the_one_channel(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert thumbnails.find(folder, ["training"], "disc/1.jpg") == folder.channel("training") / "disc" / "1.jpg"


def test_a_photo_of_several_channels_names_its_own(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    found = thumbnails.find(folder, ["train", "test"], "test/disc/1.jpg")
    assert found == folder.channel("test") / "disc" / "1.jpg"


@pytest.mark.parametrize("file", ["../secret.jpg", "/etc/secret.jpg", "disc/../../secret.jpg", "a\0b"])
def test_a_name_that_leads_elsewhere_is_not_followed(tmp_path: Path, file: str) -> None:
    assert thumbnails.find(begun(tmp_path), ["training"], file) is None
