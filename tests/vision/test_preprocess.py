"""Bytes → array: one picture gives the same pixels in whatever format, mode, turn and size it comes."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests import photos
from vizsla.vision import preprocess as module
from vizsla.vision.preprocess import BadImage, Preprocessing, normalise, pixels, preprocess, sniff

if TYPE_CHECKING:
    from pathlib import Path

Pixels = npt.NDArray[np.uint8]
SPEC = Preprocessing(size=48)
CROP = Preprocessing(size=48, resize="crop")
MODES, TURNS = photos.every_mode(), photos.every_turn()


def squared(image: Image.Image, size: int = 48, box: tuple[float, float, float, float] | None = None) -> Pixels:
    """What plain Pillow makes of a whole decoded picture."""
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box))


def off(one: Pixels, other: Pixels) -> npt.NDArray[np.int64]:
    """By how many grey levels they differ, pixel by pixel."""
    return np.abs(np.subtract(one, other, dtype=np.int64))


def as_is(data: bytes, side: int = 8) -> Pixels:
    """The pixels of a square picture that already has the size asked for: nothing is interpolated."""
    return pixels(data, Preprocessing(size=side))


# ---- every format and mode


@pytest.mark.parametrize("name", MODES)
def test_the_same_picture_in_any_mode_and_format_gives_the_same_pixels(name: str) -> None:
    kind, *rest = name.split()
    grey = kind in ("grey", "greyalpha")
    expected = squared(photos.smooth().convert("L") if grey else photos.smooth()).copy()
    clear = slice(27, None) if kind in ("alpha", "greyalpha") else slice(0, 0)
    expected[:, clear] = 255

    found = pixels(MODES[name], SPEC)

    assert found.shape == (48, 48, 3)
    assert found.dtype == np.uint8
    edge = np.r_[0:21, 27:48]  # the edge of the transparent half is soft
    limit = 6 if {"P", "PA", "gif"} & set(rest) else 2  # a palette of 256 colours against compression
    assert off(found, expected)[:, edge].mean() < limit


@pytest.mark.parametrize("name", photos.black_and_white())
def test_one_bit_pictures_are_black_and_white(name: str) -> None:
    found = pixels(photos.black_and_white()[name], SPEC)

    assert not found[:, :20].any()
    assert (found[:, 28:] == 255).all()


def test_sixteen_bits_are_divided_by_257_and_rounded() -> None:
    deep = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)

    found = as_is(photos.png(deep))

    assert (found[:, :, 0] == np.rint(deep / 257)).all()


def test_32_bit_grey_is_taken_as_16_bits_and_clipped() -> None:
    deep = np.full((8, 8), 257 * 100, np.int32)
    deep[0], deep[1] = -5, 1_000_000

    found = as_is(photos.encode(Image.fromarray(deep), "TIFF"))

    assert found[:3, 0, 0].tolist() == [0, 255, 100]


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    found = as_is(photos.encode(Image.new("RGBA", (8, 8), (200, 0, 100, 128)), "PNG"))

    assert off(found, np.full((8, 8, 3), (227, 127, 177), np.uint8)).max() <= 1


@pytest.mark.parametrize(("mode", "colour"), [("LA", (100, 128)), ("RGBA", (100, 100, 100, 128))])
def test_premultiplied_transparency_is_mixed_with_white_once(mode: str, colour: tuple[int, ...]) -> None:
    data = photos.encode(Image.new(mode, (8, 8), colour), "TIFF")
    straight, premultiplied = (struct.pack("<HHII", 338, 3, 1, kind) for kind in (2, 1))  # TIFF 6.0: ExtraSamples

    found = as_is(data.replace(straight, premultiplied))

    assert off(found, np.full((8, 8, 3), 100 + 127, np.uint8)).max() <= 1


def test_colours_hidden_under_transparency_do_not_bleed_when_resized() -> None:
    image = Image.new("RGBA", (96, 96), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 48, 96))

    found = pixels(photos.encode(image, "PNG"), SPEC).astype(int)

    assert np.ptp(found, axis=2).max() <= 1  # black, white and greys between them, never red


@pytest.mark.parametrize(
    ("image", "clear"), [(Image.new("L", (8, 8), 9), 9), (Image.new("RGB", (8, 8), (9, 8, 7)), (9, 8, 7))]
)
def test_the_one_transparent_colour_of_a_png_becomes_white(image: Image.Image, clear: int) -> None:
    assert (as_is(photos.encode(image, "PNG", transparency=clear)) == 255).all()


def test_the_one_transparent_grey_of_a_16_bit_png_becomes_white() -> None:
    deep = np.full((8, 8), 1000, np.uint16)
    deep[4:] = 1001

    found = as_is(photos.png(deep, clear=(1000,)))

    assert (found[:4] == 255).all()
    assert (found[4:] == 4).all()


@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name in photos.SUFFIX for size in [(1, 1), (1, 2), (3, 1), (17, 5)]]
)
@pytest.mark.parametrize("spec", [SPEC, CROP, Preprocessing(size=1, resize="crop")])
def test_tiny_pictures_work(name: str, size: tuple[int, int], spec: Preprocessing) -> None:
    found = pixels(photos.encode(Image.new("RGB", size, (200, 100, 50)), name), spec)

    assert found.shape == (spec.size, spec.size, 3)
    assert off(found, np.full_like(found, (200, 100, 50))).max() <= 4


@pytest.mark.parametrize(("data", "name"), [(photos.encode(photos.smooth(), name), name) for name in photos.SUFFIX])
def test_the_format_is_told_by_the_first_bytes(data: bytes, name: str) -> None:
    assert sniff(data[:32]) == name


@pytest.mark.parametrize("name", ["empty", "text", "html", "svg", "pdf", "zip", "heic", "random_bytes"])
def test_other_files_are_no_known_format(name: str) -> None:
    assert sniff(photos.every_bad()[name][:32]) is None


def test_a_text_that_begins_with_bm_is_no_bitmap() -> None:
    with pytest.raises(BadImage, match="starts like text"):
        pixels(b"BMW is a maker of cars and motorcycles.", SPEC)


# ---- which way is up


@pytest.mark.parametrize("spec", [SPEC, CROP], ids=["direct", "crop"])
@pytest.mark.parametrize("orientation", TURNS)
def test_every_exif_turn_gives_the_upright_picture(orientation: int, spec: Preprocessing) -> None:
    upright = pixels(photos.encode(photos.smooth(), "PNG"), spec)

    assert off(pixels(TURNS[orientation], spec), upright).max() <= 8


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_the_turn_is_read_from_other_formats_too(name: str) -> None:
    lying = photos.smooth().transpose(Image.Transpose.ROTATE_90)

    found = pixels(photos.encode(lying, name, exif=photos.exif(6)), SPEC)

    assert off(found, squared(photos.smooth())).mean() < 4  # unturned it would be above 60


def broken_exif() -> dict[str, bytes]:
    """EXIF blocks that Pillow trips over, in several of its functions."""
    ascii_, short = 2, 3
    resolution = [(0x011A, ascii_, 1, 0), (0x0128, short, 1, 2)]
    return {
        "noise": np.random.default_rng(3).bytes(80),
        "only a head": b"II*\0",
        "cut": photos.exif(6).tobytes()[6:-9],
        "resolution is an empty text": tiff_directory(resolution),
        "ninth orientation": tiff_directory([(0x0112, short, 1, 9)]),
        "orientation is a text": tiff_directory([(0x0112, ascii_, 3, 0x363636)]),
        "a thousand entries announced": b"II*\0" + struct.pack("<IH", 8, 1000),
    }


def tiff_directory(entries: list[tuple[int, int, int, int]]) -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the EXIF block
@pytest.mark.parametrize("name", broken_exif())
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_a_broken_exif_block_does_not_make_a_good_picture_bad(fmt: str, name: str) -> None:
    exif = b"Exif\0\0" + broken_exif()[name]

    found = pixels(photos.encode(photos.smooth(), fmt, exif=exif), SPEC)

    assert (found == pixels(photos.encode(photos.smooth(), fmt), SPEC)).all()


# ---- size: limits, reduced JPEGs, crops, slivers


@pytest.mark.parametrize("name", photos.SUFFIX)
def test_one_pixel_over_the_limit_is_refused_and_the_limit_itself_is_not(name: str) -> None:
    data = photos.encode(photos.smooth((40, 30)), name)

    assert pixels(data, replace(SPEC, max_pixels=1200)).shape == (48, 48, 3)
    with pytest.raises(BadImage, match="40x30") as refused:
        pixels(data, replace(SPEC, max_pixels=1199))
    assert refused.value.code == "too_many_pixels"


def test_a_bomb_is_refused_by_what_it_declares_before_it_is_decoded() -> None:
    with pytest.raises(BadImage) as refused:
        pixels(photos.png_bomb(12_000, 9_000), SPEC)

    assert str(refused.value) == "12000x9000 is 108.0 megapixels, over the limit of 89.5"


def test_who_raises_the_limit_gets_pictures_that_pillow_warns_of() -> None:
    image = Image.new("L", (10_000, 9_000), 77)  # warnings are errors here

    found = pixels(photos.encode(image, "PNG", compress_level=1), replace(SPEC, max_pixels=100_000_000))

    assert (found == 77).all()


@pytest.mark.parametrize("resize", ["direct", "crop"])
@pytest.mark.parametrize("size", [(2000, 1500), (1801, 1203), (1203, 1801), (900, 899), (3000, 450)])
def test_a_reduced_jpeg_is_at_most_two_grey_levels_off_the_full_decode(
    size: tuple[int, int], resize: Literal["direct", "crop"]
) -> None:
    data = photos.encode(photos.smooth(size), "JPEG", quality=90)
    side = min(size) * 0.875
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    box = (left, top, left + side, top + side) if resize == "crop" else None
    full = squared(Image.open(io.BytesIO(data)), 112, box)

    assert off(pixels(data, Preprocessing(size=112, resize=resize)), full).max() <= 2


@pytest.mark.parametrize("size", [(257, 256), (256, 263), (513, 300)])
def test_the_part_of_a_pixel_at_the_edge_of_a_reduced_jpeg_does_not_stretch_it(size: tuple[int, int]) -> None:
    data = photos.encode(photos.smooth(size), "JPEG", quality=95)

    assert off(pixels(data, Preprocessing(size=16)), squared(Image.open(io.BytesIO(data)), 16)).max() <= 4


@pytest.mark.parametrize(
    ("size", "spec", "decoded"),
    [
        ((2000, 1500), Preprocessing(size=112), (500, 375)),
        ((2000, 1500), Preprocessing(size=224), (1000, 750)),
        ((1792, 1792), Preprocessing(size=112), (224, 224)),
        ((1791, 1792), Preprocessing(size=112), (448, 448)),
        ((1792, 1792), Preprocessing(size=112, resize="crop"), (448, 448)),
        ((2048, 2500), Preprocessing(size=112, resize="crop"), (256, 313)),
        ((300, 200), Preprocessing(size=112), (300, 200)),
    ],
)
def test_a_large_jpeg_is_decoded_smaller_but_at_twice_the_target_at_least(
    size: tuple[int, int], spec: Preprocessing, decoded: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = photos.encode(photos.smooth(size), "JPEG"), []

    def watch(picture: Image.Image) -> Image.Image:
        seen.append(picture.size)
        return picture.convert("RGB")

    monkeypatch.setattr(module, "_eight_bits", watch)
    pixels(data, spec)

    assert seen == [decoded]


def test_crop_takes_the_middle_and_direct_takes_everything() -> None:
    image = Image.new("RGB", (400, 200), "red")
    image.paste((0, 0, 255), (200 - 92, 100 - 92, 200 + 92, 100 + 92))  # the middle 7/8 of the height, and some more
    data = photos.encode(image, "PNG")

    assert (pixels(data, CROP) == (0, 0, 255)).all()
    assert (pixels(data, SPEC)[:, 0] == (255, 0, 0)).all()


def test_the_interpolation_asked_for_is_used() -> None:
    image = photos.picture(2, 0)
    expected = np.asarray(image.resize((48, 48), Image.Resampling.BILINEAR))

    assert (pixels(photos.encode(image, "PNG"), replace(SPEC, interpolation="bilinear")) == expected).all()
    assert (pixels(photos.encode(image, "PNG"), SPEC) != expected).any()


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
@pytest.mark.parametrize("spec", [SPEC, CROP], ids=["direct", "crop"])
def test_a_sliver_keeps_its_colours(size: tuple[int, int], spec: Preprocessing) -> None:
    found = pixels(photos.encode(Image.new("RGB", size, (200, 100, 50)), "PNG"), spec)

    assert (found == (200, 100, 50)).all()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to RLIMIT_AS")
@pytest.mark.parametrize("resize", ["direct", "crop"])
def test_a_sliver_of_ten_megapixels_needs_less_than_400_megabytes(resize: str, tmp_path: Path) -> None:
    (tmp_path / "sliver.png").write_bytes(photos.encode(Image.new("L", (1, 10_000_000), 77), "PNG"))
    program = f"""
        import pathlib, resource
        from preprocess import Preprocessing, pixels
        data = pathlib.Path("sliver.png").read_bytes()
        used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)
        print(pixels(data, Preprocessing(resize={resize!r})).min())
    """

    assert run(program, tmp_path) == "77"


# ---- many at once, on its own


def test_eight_threads_at_once_give_what_one_gives_alone() -> None:
    files = [*MODES.values(), *TURNS.values(), *MODES.values()]
    alone = [pixels(data, SPEC) for data in files]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: pixels(data, SPEC), files))

    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


def test_a_copy_of_the_file_works_without_vizsla_and_leaves_pillow_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photos.encode(photos.smooth(), "JPEG"))
    program = """
        import pathlib, sys
        from PIL import Image, ImageFile
        before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
        import preprocess
        shape = preprocess.preprocess(pathlib.Path("photo.jpg").read_bytes(), preprocess.Preprocessing()).shape
        assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before
        print(shape, sorted({name.split(".")[0] for name in sys.modules} & {"vizsla", "torch", "torchvision"}))
    """

    assert run(program, tmp_path) == "(3, 224, 224) []"


def run(program: str, folder: Path) -> str:
    """What the program prints, beside a copy of preprocess.py."""
    shutil.copy(module.__file__, folder / "preprocess.py")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        env={"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- numbers for the network, and the description of how they were made


def test_normalise_scales_each_channel_by_its_own_mean_and_std() -> None:
    spec = Preprocessing(size=2, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    pixels_HWC = np.zeros((2, 2, 3), np.uint8)
    pixels_HWC[0, 1] = 255

    found = normalise(pixels_HWC, spec)

    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found[:, 0, 1].tolist() == [1, 1, 0]
    assert found[:, 1, 0].tolist() == [0, -1, -4]


def test_preprocess_is_pixels_and_normalise_in_a_row() -> None:
    data = MODES["colour RGB jpeg"]

    assert (preprocess(data, SPEC) == normalise(pixels(data, SPEC), SPEC)).all()


def test_a_preprocessing_comes_back_from_json_as_it_was() -> None:
    spec = Preprocessing(32, "crop", "bilinear", (0.1, 0.2, 0.3), (1, 2, 3), 1000)

    again = Preprocessing.from_dict(json.loads(json.dumps(spec.to_dict())))

    assert again == spec
    assert again.digest() == spec.digest()


OTHER: dict[str, Any] = {
    "size": 225,
    "resize": "crop",
    "interpolation": "bilinear",
    "mean": (0.5, 0.5, 0.4),
    "std": (0.5, 0.5, 0.4),
    "max_pixels": 10,
}


@pytest.mark.parametrize("field", OTHER)
def test_the_digest_changes_with_every_field(field: str) -> None:
    assert replace(Preprocessing(), **{field: OTHER[field]}).digest() != Preprocessing().digest()


def test_the_digest_of_the_default_stays_what_it_was_when_bundles_were_made() -> None:
    assert Preprocessing().digest() == "1b982f41663dfcff284069f861a21567ed4630e25588d92dbfba366874075220"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sise": 224}, "sise"),
        ({"version": 2}, "version 2"),
        ({"size": "224"}, "size"),
        ({"size": 0}, "size"),
        ({"resize": "pad"}, "resize"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"mean": None}, "type"),
        ({"std": [0.5, 0.5, 0]}, "std"),
        ({"max_pixels": 0}, "max_pixels"),
    ],
)
def test_a_description_that_cannot_be_followed_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Preprocessing.from_dict(Preprocessing().to_dict() | changes)


def test_a_description_with_a_key_missing_is_refused() -> None:
    raw = Preprocessing().to_dict()
    del raw["mean"]

    with pytest.raises(ValueError, match="mean"):
        Preprocessing.from_dict(raw)
