"""Small seeded pictures for every test of the project: classes to learn, every mode and turn, every bad file.

Nothing here needs a photo from outside. The same arguments give the same pixels on every run.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Mask = npt.NDArray[np.float64]

SUFFIX = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif", "GIF": ".gif"}

# ---- classes: each kind is a mask from 0 to 1 over the picture, painted with one seeded colour over another


def _disc(x: Mask, y: Mask, rng: np.random.Generator) -> Mask:
    return _inside(np.hypot(x - rng.uniform(0.35, 0.65), y - rng.uniform(0.35, 0.65)), rng.uniform(0.18, 0.32))


def _ring(x: Mask, y: Mask, rng: np.random.Generator) -> Mask:
    distance = np.hypot(x - rng.uniform(0.4, 0.6), y - rng.uniform(0.4, 0.6))
    return _inside(np.abs(distance - rng.uniform(0.25, 0.35)), 0.06)


def _rows(x: Mask, y: Mask, rng: np.random.Generator) -> Mask:
    return _wave(y, rng)


def _columns(x: Mask, y: Mask, rng: np.random.Generator) -> Mask:
    return _wave(x, rng)


def _diagonals(x: Mask, y: Mask, rng: np.random.Generator) -> Mask:
    return _wave((x + y) / np.sqrt(2), rng)


def _checker(x: Mask, y: Mask, rng: np.random.Generator) -> Mask:
    cells = rng.uniform(4, 7)
    return ((np.floor(x * cells + rng.uniform()) + np.floor(y * cells + rng.uniform())) % 2).astype(np.float64)


def _cross(x: Mask, y: Mask, rng: np.random.Generator) -> Mask:
    across, down = np.abs(x - rng.uniform(0.4, 0.6)), np.abs(y - rng.uniform(0.4, 0.6))
    return _inside(np.minimum(across, down), rng.uniform(0.05, 0.1)) * _inside(np.maximum(across, down), 0.35)


def _gradient(x: Mask, y: Mask, rng: np.random.Generator) -> Mask:
    angle = rng.uniform(0, 2 * np.pi)
    along = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    return np.asarray(along / 1.2 + 0.5).clip(0, 1)


def _wave(along: Mask, rng: np.random.Generator) -> Mask:
    wave: Mask = np.sin(2 * np.pi * (along * rng.uniform(4, 7) + rng.uniform()))
    return 0.5 + 0.5 * wave


def _inside(distance: Mask, radius: float) -> Mask:
    return np.asarray((radius - distance) * 40 + 0.5).clip(0, 1)


KINDS: tuple[Callable[[Mask, Mask, np.random.Generator], Mask], ...] = (
    _disc,
    _rows,
    _checker,
    _gradient,
    _columns,
    _cross,
    _ring,
    _diagonals,
)


def picture(kind: int, seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """An RGB picture of kind 0 to len(KINDS) - 1; the seed chooses its colours, place and noise, which tell no kind."""
    rng = np.random.default_rng([kind, seed])
    width, height = size
    y, x = np.mgrid[0:height, 0:width] / max(size)
    mask_HW1 = KINDS[kind](x + (1 - width / max(size)) / 2, y + (1 - height / max(size)) / 2, rng)[:, :, None]
    back, front = _two_colours(rng)
    noise_HWC = rng.normal(0, 12, (height, width, 3))
    pixels_HWC = back * (1 - mask_HW1) + front * mask_HW1 + noise_HWC
    return Image.fromarray(pixels_HWC.clip(0, 255).astype(np.uint8))


def _two_colours(rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Any two colours that can be told apart, either of them the lighter one."""
    back: Mask = rng.uniform(0, 255, 3)
    front = (back + rng.uniform(90, 165, 3)) % 255
    return back, front


def smooth(size: tuple[int, int] = (64, 48), seed: int = 0) -> Image.Image:
    """An RGB picture with soft colours and no fine detail or noise, for comparing pixels after lossy steps."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 236, (4, 5, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def write_folder(
    folder: Path, counts: Mapping[str, int], seed: int = 0, size: tuple[int, int] = (64, 48), fmt: str = "JPEG"
) -> list[Path]:
    """Write `counts[label]` pictures to folder/label/, one kind a label in the order given; the paths written."""
    paths = []
    for kind, (label, count) in enumerate(counts.items()):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            path = folder / label / f"{label}-{index:03d}{SUFFIX[fmt]}"
            path.write_bytes(encode(picture(kind % len(KINDS), seed * 100_000 + index, size), fmt))
            paths.append(path)
    return paths


def encode(image: Image.Image, fmt: str, **options: Any) -> bytes:
    """The bytes of a file; options as Pillow's save takes them."""
    buffer = io.BytesIO()
    image.copy().save(buffer, fmt, **options)  # a copy, because Pillow leaves a format's settings on what it saved
    return buffer.getvalue()


# ---- every mode, of smooth()


def every_mode() -> dict[str, bytes]:
    """One file of each mode that is supported, all of smooth().

    The first word of a name tells what should come out: "colour" the picture, "grey" its grey, "alpha" the picture on
    white with its right half fully transparent, "greyalpha" the same in grey.
    """
    return _colours() | _greys() | _alphas()


def _colours() -> dict[str, bytes]:
    image = smooth()
    deep = np.asarray(image).astype(np.uint16) * 257
    return {
        "colour RGB jpeg": encode(image, "JPEG", quality=95, subsampling=0),
        "colour RGB progressive jpeg": encode(image, "JPEG", quality=95, subsampling=0, progressive=True),
        "colour multi-picture jpeg": encode(
            image, "MPO", save_all=True, append_images=[_second()], quality=95, subsampling=0
        ),
        "colour CMYK jpeg": encode(image.convert("CMYK"), "JPEG", quality=95),
        "colour RGB png": encode(image, "PNG"),
        "colour P png": encode(image.quantize(256), "PNG"),
        "colour RGB16 png": png(deep),
        "colour RGB webp": encode(image, "WEBP", quality=95),
        "colour lossless webp": encode(image, "WEBP", lossless=True),
        "colour animated webp": encode(image, "WEBP", save_all=True, append_images=[_second()], lossless=True),
        "colour RGB bmp": encode(image, "BMP"),
        "colour P bmp": encode(image.quantize(256), "BMP"),
        "colour RGB tiff": encode(image, "TIFF"),
        "colour lzw tiff": encode(image, "TIFF", compression="tiff_lzw"),
        "colour CMYK tiff": encode(image.convert("CMYK"), "TIFF"),
        "colour YCbCr tiff": encode(image.convert("YCbCr"), "TIFF"),
        "colour RGB16 tiff": tiff(deep),
        "colour two-page tiff": encode(image, "TIFF", save_all=True, append_images=[_second()]),
        "colour P gif": encode(image.quantize(256), "GIF"),
        "colour animated gif": encode(
            image.quantize(256), "GIF", save_all=True, append_images=[_second().quantize(256)]
        ),
    }


def _second() -> Image.Image:
    """The second picture of a file, which must not be seen; a new one each time, as in encode."""
    return smooth().transpose(Image.Transpose.ROTATE_180)


def _greys() -> dict[str, bytes]:
    grey = smooth().convert("L")
    deep = np.asarray(grey).astype(np.uint16) * 257
    return {
        "grey L jpeg": encode(grey, "JPEG", quality=95),
        "grey L png": encode(grey, "PNG"),
        "grey I;16 png": encode(Image.fromarray(deep), "PNG"),
        "grey I;16 tiff": encode(Image.fromarray(deep), "TIFF"),
        "grey I;16B tiff": encode(Image.frombytes("I;16B", grey.size, deep.astype(">u2").tobytes()), "TIFF"),
        "grey I tiff": encode(Image.fromarray(deep.astype(np.int32)), "TIFF"),
        "grey L bmp": encode(grey, "BMP"),
        "grey L gif": encode(grey, "GIF"),
    }


def _alphas() -> dict[str, bytes]:
    clear_from = smooth().width // 2
    opacity = np.full((smooth().height, smooth().width), 255, np.uint8)
    opacity[:, clear_from:] = 0
    alpha = Image.fromarray(opacity)
    colour, grey = smooth(), smooth().convert("L")
    colour.putalpha(alpha)
    grey.putalpha(alpha)
    palette = _palette_with_a_hole(opacity == 0)
    return {
        "alpha RGBA png": encode(colour, "PNG"),
        "alpha RGBA16 png": png(np.asarray(colour).astype(np.uint16) * 257),
        "alpha RGBA webp": encode(colour, "WEBP", lossless=True),
        "alpha RGBA tiff": encode(colour, "TIFF"),
        "alpha P png": encode(palette, "PNG", transparency=255),
        "alpha P gif": encode(palette, "GIF", transparency=255),
        "alpha PA tiff": encode(colour.convert("PA"), "TIFF"),
        "greyalpha LA png": encode(grey, "PNG"),
        "greyalpha LA tiff": encode(grey, "TIFF"),
    }


def _palette_with_a_hole(hole_HW: npt.NDArray[np.bool_]) -> Image.Image:
    """smooth() in at most 255 colours, with index 255 where the hole is."""
    image = smooth().quantize(255)
    holed = Image.fromarray(np.where(hole_HW, 255, np.asarray(image)).astype(np.uint8))
    result = holed.convert("P")
    colours = image.getpalette() or []
    result.putpalette(colours[: 255 * 3] + [0] * (768 - min(len(colours), 255 * 3)))
    return result


def black_and_white() -> dict[str, bytes]:
    """Files of mode 1: left half black, right half white."""
    columns = np.arange(64) >= 32
    image = Image.fromarray(np.tile(columns, (48, 1)))
    return {"1 png": encode(image, "PNG"), "1 bmp": encode(image, "BMP"), "1 tiff": encode(image, "TIFF")}


def every_turn() -> dict[int, bytes]:
    """JPEGs with EXIF orientation 1 to 8, all of them smooth() once they are held upright."""
    lay_down = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    files = {}
    for orientation in range(1, 9):
        stored = smooth().transpose(lay_down[orientation]) if orientation > 1 else smooth()
        files[orientation] = encode(stored, "JPEG", quality=95, subsampling=0, exif=exif(orientation))
    return files


def exif(orientation: int) -> Image.Exif:
    """An EXIF block that says how the camera was held."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block


# ---- every way of being bad


def every_bad() -> dict[str, bytes]:
    """Files that are no picture, or one that must be refused; the name says why, with underscores for spaces."""
    jpeg, png_file = encode(smooth(), "JPEG"), encode(smooth(), "PNG")
    return {
        "empty": b"",
        "text": b"this is a shopping list, whatever its name says\n",
        "html": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>',
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
        "zip": _zip(),
        "heic": struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(64),
        "random_bytes": np.random.default_rng(7).bytes(2000),
        "truncated_jpeg": jpeg[: len(jpeg) // 2],
        "truncated_png": png_file[: len(png_file) // 2],
        "truncated_webp": encode(smooth(), "WEBP")[:-20],
        "truncated_tiff": encode(smooth(), "TIFF")[:-500],
        "truncated_bmp": encode(smooth(), "BMP")[:-500],
        "truncated_gif": encode(smooth(), "GIF")[:-500],
        "gif_header_only": b"GIF89a" + struct.pack("<HHBBB", 64, 48, 0, 0, 0),
        "damaged_png": _with_flipped_byte(png_file, len(png_file) // 2),
        "png_bomb": png_bomb(60_000, 60_000),
        "float_tiff": encode(Image.fromarray(np.zeros((48, 64), np.float32)), "TIFF"),
        "lab_tiff": encode(Image.frombytes("LAB", (8, 8), bytes(192)), "TIFF"),
    }


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat.jpg", encode(smooth(), "JPEG"))
    return buffer.getvalue()


def _with_flipped_byte(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it is this large."""
    return _png(width, height, struct.pack("BB", 8, 0), zlib.compress(bytes(1000)))


# ---- files that Pillow does not write


def png(deep_HWC: npt.NDArray[np.uint16], clear: tuple[int, ...] = ()) -> bytes:
    """A PNG of 16 bits a channel: grey (HW), RGB or RGBA (HWC); `clear` is the one colour that is transparent."""
    height, width = deep_HWC.shape[:2]
    colour_type = 0 if deep_HWC.ndim == 2 else {3: 2, 4: 6}[deep_HWC.shape[2]]
    rows = deep_HWC.astype(">u2").reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    transparent = struct.pack(f">{len(clear)}H", *clear)
    return _png(width, height, struct.pack("BB", 16, colour_type), zlib.compress(body), transparent)


def _png(width: int, height: int, depth_and_type: bytes, body: bytes, transparent: bytes = b"") -> bytes:
    header = struct.pack(">II", width, height) + depth_and_type + bytes(3)
    chunks = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", body), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
        if content or kind == b"IEND"
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(deep_HWC: npt.NDArray[np.uint16]) -> bytes:
    """An uncompressed little-endian TIFF of 16 bits a channel, RGB."""
    height, width, _ = deep_HWC.shape
    body = deep_HWC.astype("<u2").tobytes()
    bits_at = 8 + len(body)
    short, long = 3, 4
    entries = [  # tag, type, count, value: TIFF 6.0, section 6
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, 3, bits_at),  # three values do not fit in the entry
        (259, short, 1, 1),  # no compression
        (262, short, 1, 2),  # RGB
        (273, long, 1, 8),  # the pixels follow the header
        (277, short, 1, 3),
        (278, long, 1, height),
        (279, long, 1, len(body)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", bits_at + 6) + body + struct.pack("<HHH", 16, 16, 16) + directory
