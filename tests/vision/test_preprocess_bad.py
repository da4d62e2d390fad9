"""Bytes → array: a bad file ends as BadImage with a reason for a person, and as nothing else, however it is bad."""

from __future__ import annotations

import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFile

from tests import photos
from vizsla.vision import preprocess as module
from vizsla.vision.preprocess import BadImage, Preprocessing, pixels, preprocess

SPEC = Preprocessing(size=48)
MODES, BAD = photos.every_mode(), photos.every_bad()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("empty", "empty"),
        ("text", "not_an_image"),
        ("html", "not_an_image"),
        ("svg", "not_an_image"),
        ("pdf", "not_an_image"),
        ("zip", "not_an_image"),
        ("random_bytes", "not_an_image"),
        ("heic", "unsupported"),
        ("float_tiff", "unsupported"),
        ("lab_tiff", "unsupported"),
        ("truncated_jpeg", "truncated"),
        ("truncated_png", "truncated"),
        ("truncated_webp", "truncated"),
        ("truncated_tiff", "truncated"),
        ("truncated_bmp", "truncated"),
        ("truncated_gif", "truncated"),
        ("gif_header_only", "truncated"),
        ("damaged_png", "damaged"),
        ("png_bomb", "too_many_pixels"),
    ],
)
def test_every_bad_file_is_refused_for_its_reason(name: str, code: str) -> None:
    with pytest.raises(BadImage) as refused:
        preprocess(BAD[name], SPEC)

    assert refused.value.code == code


def test_the_table_of_bad_files_is_complete() -> None:
    marks = test_every_bad_file_is_refused_for_its_reason.pytestmark  # type: ignore[attr-defined]

    assert {name for name, _ in marks[0].args[1]} == set(BAD)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "empty file"),
        ("pdf", "not an image (it starts like a PDF)"),
        ("html", "not an image (it starts like an HTML page)"),
        ("text", "not an image (it starts like text)"),
        ("truncated_jpeg", "truncated"),
        ("heic", "HEIC is not supported: save it as JPEG or PNG"),
    ],
)
def test_reasons_are_for_people(name: str, reason: str) -> None:
    with pytest.raises(BadImage) as refused:
        pixels(BAD[name], SPEC)

    assert str(refused.value) == reason


def test_what_pillow_said_goes_to_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(BadImage) as refused:
        pixels(BAD["damaged_png"], SPEC)

    (entry,) = [record for record in caplog.records if record.name == module.__name__]
    assert entry.exc_info
    assert entry.exc_info[1] is refused.value.__cause__


def test_a_bad_image_survives_the_way_out_of_a_worker_process() -> None:
    copy = pickle.loads(pickle.dumps(BadImage("empty file", "empty")))  # noqa: S301 - our own object

    assert (str(copy), copy.code) == ("empty file", "empty")


CUTS = st.tuples(st.sampled_from(sorted(MODES)), st.floats(0, 1, exclude_max=True))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about metadata that is cut
@pytest.mark.parametrize("tolerant", [False, True], ids=["as usual", "with LOAD_TRUNCATED_IMAGES"])
def test_a_cut_file_is_refused_unless_only_its_tail_was_lost(tolerant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)

    @settings(max_examples=150, deadline=None)
    @given(CUTS)
    def holds(cut: tuple[str, float]) -> None:
        whole = MODES[cut[0]]
        try:
            found = pixels(whole[: int(len(whole) * cut[1])], SPEC)
        except BadImage:
            return
        assert (found == pixels(whole, SPEC)).all()

    holds()
    assert tolerant == ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("missing", range(5, 13))
@pytest.mark.parametrize("tolerant", [False, True], ids=["as usual", "with LOAD_TRUNCATED_IMAGES"])
def test_a_png_without_its_end_mark_is_refused(missing: int, tolerant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)

    with pytest.raises(BadImage, match="truncated"):
        pixels(MODES["colour RGB png"][:-missing], SPEC)


@st.composite
def mutated_files(draw: st.DrawFn) -> bytes:
    """A real picture in which bytes were changed, cut out and put in, mostly near its head, where the meaning is."""
    data = bytearray(MODES[draw(st.sampled_from(sorted(MODES)))])
    for _ in range(draw(st.integers(1, 6))):
        reach = draw(st.sampled_from([32, 128, 700, len(data)]))
        at = draw(st.integers(0, min(reach, len(data))))
        removed = draw(st.integers(0, 4))
        data[at : at + removed] = draw(st.binary(min_size=0, max_size=4))
    return bytes(data)


@pytest.mark.filterwarnings("ignore")  # a program that is no test does not turn Pillow's warnings into errors
@settings(max_examples=400, deadline=None)
@given(mutated_files())
def test_a_mutated_file_gives_an_array_or_a_bad_image_and_nothing_else(data: bytes) -> None:
    spec = replace(SPEC, max_pixels=4_000_000)
    try:
        found = preprocess(data, spec)
    except BadImage:
        return
    assert found.shape == (3, 48, 48)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"MM\0*"]), st.binary(max_size=300))
@pytest.mark.filterwarnings("ignore")
def test_noise_behind_the_mark_of_a_format_is_refused(mark: bytes, noise: bytes) -> None:
    with pytest.raises(BadImage):
        pixels(mark + noise, replace(SPEC, max_pixels=4_000_000))
