"""Bytes of a picture file → numpy array: the one place where pixels are made, for training and for serving alike.

Comes after reading a file or a request's body, before the network. It needs numpy, Pillow and the standard library only
and imports nothing of vizsla, because a copy of this file travels in every bundle: what a model learned from and what
it is later asked about cannot drift apart. Whatever changes a pixel here raises `VERSION`.

Colour profiles are not applied. Every bad file ends as `BadImage`, whose text is a reason for a person.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1

Code = Literal["empty", "not_an_image", "truncated", "damaged", "too_many_pixels", "unsupported"]

_log = logging.getLogger(__name__)


class BadImage(ValueError):  # noqa: N818 - a kind of picture, named as reports name it
    """These bytes give no picture. `str()` is the reason for a person, `code` the kind of reason for a program."""

    def __init__(self, reason: str, code: Code) -> None:
        super().__init__(reason, code)  # both, so that it survives pickling on its way out of a worker process
        self.reason = reason
        self.code = code

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels are made; its digest goes into the bundle.

    size: side of the square that the network sees, in pixels.
    resize: "direct" squeezes the whole picture into the square; "crop" scales the shorter side to size / 0.875 and cuts
        the square out of the middle (the ImageNet way: 224 out of 256).
    mean, std: of red, green and blue on the scale from 0 to 1.
    max_pixels: width x height above which a file is refused before it is decoded. The default is where Pillow warns
        of decompression bombs.
    ValueError when a value makes no sense.
    """

    size: int = 224
    resize: Literal["direct", "crop"] = "direct"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    max_pixels: int = 89_478_485
    version: int = VERSION

    def __post_init__(self) -> None:
        checks = {
            "size": isinstance(self.size, int) and self.size >= 1,
            "resize": self.resize in ("direct", "crop"),
            "interpolation": self.interpolation in _RESAMPLING,
            "mean": len(self.mean) == 3 and all(map(math.isfinite, self.mean)),
            "std": len(self.std) == 3 and all(0 < value < math.inf for value in self.std),
            "max_pixels": isinstance(self.max_pixels, int) and self.max_pixels >= 1,
            "version": self.version == VERSION,
        }
        for name, fine in checks.items():
            if not fine:
                raise ValueError(f"preprocessing cannot have {name} = {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """Values that JSON can hold; `from_dict` gives the same Preprocessing back."""
        channels = {"mean": [float(value) for value in self.mean], "std": [float(value) for value in self.std]}
        return asdict(self) | channels

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_dict` wrote. ValueError for an unknown or missing key, another version, an impossible value.

        A missing key is an error too: a default guessed here could differ from what the model was trained with.
        """
        if raw.get("version") != VERSION:
            raise ValueError(f"preprocessing has version {raw.get('version')!r}, and this vizsla knows {VERSION} only")
        known = {field.name for field in fields(cls)}
        if odd := known.symmetric_difference(raw):
            raise ValueError(f"preprocessing has unknown or missing keys: {', '.join(sorted(map(str, odd)))}")
        try:
            return cls(**{**raw, "mean": tuple(raw["mean"]), "std": tuple(raw["std"])})
        except TypeError as error:
            raise ValueError(f"preprocessing has a value of the wrong type: {error}") from error

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the canonical JSON: equal exactly when every field is equal."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def preprocess(data: bytes, spec: Preprocessing) -> npt.NDArray[np.float32]:
    """The bytes of a picture file → what the network is given: float32, (3, size, size). Raises BadImage only."""
    return normalise(pixels(data, spec), spec)


def pixels(data: bytes, spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """The bytes of a picture file → uint8 RGB, (size, size, 3), upright, on white. Raises BadImage and nothing else.

    Of a file with several pictures (GIF, TIFF, animated WebP, a phone's multi-picture JPEG) the first one counts.
    """
    if not data:
        raise BadImage("empty file", "empty")
    name = sniff(data[:_HEAD_BYTES])
    if name is None:
        raise _not_an_image(data[:_HEAD_BYTES])
    source = _Source(data)
    try:
        return _decode(source, name, spec)
    except BadImage:
        raise
    except Exception as error:  # the border to bytes that are not ours: Pillow raises anything
        _log.debug("Pillow refused a %s", name, exc_info=error)
        raise _refusal(name, source, error) from error


def normalise(pixels_HWC: npt.NDArray[np.uint8], spec: Preprocessing) -> npt.NDArray[np.float32]:
    """uint8 (height, width, 3) → float32 (3, height, width), C-contiguous: (pixel / 255 - mean) / std."""
    mean_C11, std_C11 = (np.asarray(of, np.float32)[:, None, None] for of in (spec.mean, spec.std))
    scaled_CHW = np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1), np.float32)
    scaled_CHW /= 255
    scaled_CHW -= mean_C11
    scaled_CHW /= std_C11
    return scaled_CHW


# ---- what kind of file it is

_HEAD_BYTES = 64

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
)

_OTHERS = (
    (b"%pdf", "a PDF"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"8bps", "a Photoshop file"),
    (b"<svg", "an SVG drawing"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "XML"),
)

_PRINTABLE = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r")


def sniff(head: bytes) -> str | None:
    """The kind of picture that these first bytes (32 are enough) announce: "JPEG", "PNG", …; None when they do not."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    # "BM" alone also opens a text on BMW; the four bytes at 14 are the size of the header, which is 12 to 124
    if head.startswith(b"BM") and head[15:18] == b"\0\0\0":
        return "BMP"
    return None


def _not_an_image(head: bytes) -> BadImage:
    """The reason for bytes that announce no picture, with what they look like where that can be told."""
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
        kind = "AVIF" if head[8:12] == b"avif" else "HEIC"
        return BadImage(f"{kind} is not supported: save it as JPEG or PNG", "unsupported")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, name in _OTHERS:
        if start.startswith(magic):
            return BadImage(f"not an image (it starts like {name})", "not_an_image")
    looks = " (it starts like text)" if _PRINTABLE.issuperset(head) else ""
    return BadImage(f"not an image{looks}", "not_an_image")


# ---- decoding


class _Source(io.BytesIO):
    """The file as Pillow reads it, which notes (`ran_out`) when something was to be read that is not there.

    While `decoding` that is an error raised here, so that a cut picture is refused even where someone in this process
    has set ImageFile.LOAD_TRUNCATED_IMAGES. Pixels are read in big blocks, of which the last is short in a good file
    too; what is asked for in at most 8 bytes (the head of a PNG chunk) has to be there.
    """

    decoding = False
    ran_out = False

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        wanted = size or 0
        last_block = self.decoding and block and wanted > 8
        if len(block) < wanted and not last_block:
            self.ran_out = True
            if self.decoding:
                raise OSError("the file ends before its pixels do")
        return block


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG reader without its look for dots per inch in the EXIF block: a broken block would end it there.

    Unlike Image.open it does not follow the index of a multi-picture file: the first picture is a JPEG as it stands.
    """

    def _read_dpi_from_exif(self) -> None:
        return


# Used directly and not through Image.open, which adds a limit of its own, global to the process, to max_pixels.
_READERS: Mapping[str, type[ImageFile.ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

# Of the source pixels that a target pixel covers, all beyond 8 a side are averaged in blocks first. That keeps the work
# and the memory for a picture of 1 x 80,000,000 pixels small, and no picture under 16 times the target's side sees it.
_REDUCING_GAP = 8.0


def _decode(source: _Source, name: str, spec: Preprocessing) -> npt.NDArray[np.uint8]:
    picture = _READERS[name](source)
    _check_size(picture.size, spec.max_pixels)
    drafted = _draft(picture, spec)
    source.decoding = True
    picture.load()
    extent = drafted or picture.size
    how = _RESAMPLING[spec.interpolation]
    square = _eight_bits(picture).resize((spec.size, spec.size), how, _box(extent, spec), _REDUCING_GAP)
    turn = _turn(picture)  # applied to the square: the box is symmetric, and there is less to turn
    return np.array(_on_white(square if turn is None else square.transpose(turn)))


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        reason = f"{width}x{height} is {width * height / 1e6:.1f} megapixels, over the limit of {max_pixels / 1e6:.1f}"
        raise BadImage(reason, "too_many_pixels")


def _draft(picture: ImageFile.ImageFile, spec: Preprocessing) -> tuple[float, float] | None:
    """Have libjpeg decode at 1/2, 1/4 or 1/8, and never under twice of what is needed: at most 2 grey levels off.

    Returns the width and height that the reduced picture really covers: its last column and row may stand for a part
    of a pixel only. None where the picture is decoded as it is.
    """
    if not isinstance(picture, _Jpeg):
        return None
    side = 2 * _scaled_side(spec)
    reduced = picture.draft(None, (side, side))
    return reduced[1][2:] if reduced else None


def _scaled_side(spec: Preprocessing) -> int:
    """To how many pixels the shorter side is scaled."""
    return spec.size if spec.resize == "direct" else round(spec.size / 0.875)


def _box(extent: tuple[float, float], spec: Preprocessing) -> tuple[float, float, float, float]:
    """The part of the picture that becomes the square: left, top, right, bottom."""
    width, height = extent
    if spec.resize == "direct":
        return 0, 0, width, height
    side = min(extent) * spec.size / _scaled_side(spec)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


# ---- every mode → 8-bit grey, RGB or RGBA → RGB

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr"})
_DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})

# 16 bits → 8: value / 257, rounded, so that 65535 becomes 255
_SHALLOWER = ((np.arange(65536) + 128) // 257).astype(np.uint8)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """The picture as L, RGB, or RGBA where it has transparency. BadImage where a mode has no agreed way to RGB."""
    if picture.mode in _DEEP_MODES:
        return _from_deep_grey(picture)
    if picture.mode not in _EIGHT_BIT_MODES:
        raise BadImage(f"pixels of kind {picture.mode} are not supported: save it as 8-bit RGB", "unsupported")
    if picture.mode == "La":  # Pillow has no direct way from here to RGBA
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _from_deep_grey(picture: Image.Image) -> Image.Image:
    """16-bit grey, or 32-bit taken as 16-bit (where nearly all such files keep their values) and clipped."""
    deep_HW = np.asarray(picture)
    grey_HW = _SHALLOWER[deep_HW if picture.mode != "I" else deep_HW.clip(0, 65535)]
    clear = picture.info.get("transparency")  # a PNG may name one grey that is transparent
    if clear is not None:
        grey_HW[deep_HW == clear] = 255
    return Image.fromarray(grey_HW)


def _on_white(picture: Image.Image) -> Image.Image:
    """RGB, with white where the picture is transparent.

    Done on the small square: Pillow weighs colours by alpha as it resizes, so this equals doing it first, and is fast.
    """
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


# ---- which way is up

_ORIENTATION_TAG = 0x0112  # EXIF 2.32, 4.6.4 A

_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """What makes the picture upright, by its EXIF block; nothing where that cannot be read: the pixels are good still.

    A TIFF is upright already: its reader turns it as it loads.
    """
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION_TAG, 1))
    except Exception as error:  # noqa: BLE001 - the same border as in pixels(): a parser of bytes that are not ours
        _log.debug("an EXIF block could not be read", exc_info=error)
        return None


# ---- what went wrong


def _refusal(name: str, source: _Source, error: Exception) -> BadImage:
    """The reason for a person, when the reader of this kind of file gave up."""
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return BadImage("more pixels than Pillow decodes", "too_many_pixels")
    if isinstance(error, MemoryError):
        return BadImage("not enough memory to decode it", "too_many_pixels")
    if source.ran_out or _webp_is_cut(name, source):
        return BadImage("truncated", "truncated")
    if isinstance(error, NotImplementedError):
        return BadImage(f"a kind of {name} that cannot be decoded", "unsupported")
    return BadImage(f"damaged {name}", "damaged")


def _webp_is_cut(name: str, source: _Source) -> bool:
    """A WebP says how long it is (RIFF: the size at byte 4 counts what follows byte 8), and is read in one go."""
    data = source.getvalue()
    return name == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data)
