"""Photos to pictures small enough for a page: found through the job's channels, and put into the HTML as data.

The photos are not ours: whatever cannot be found, read or drawn is left out, and the page shows its name instead.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vizsla.jobdir import JobDir

if TYPE_CHECKING:
    from PIL import Image

SIDE = 160  # pixels of the longer side
MOST_PIXELS = 100_000_000  # a photo of more is not decoded for a picture of this size
_QUALITY = 75
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF")  # those that training reads; MPO opens as JPEG


def find(folder: JobDir, channels: Sequence[str], file: str) -> Path | None:
    """Where the photo lies that documents of the job call `file`; None for a name that leads out of the channels.

    As in data_report.json, a name is relative to the one channel, or begins with its channel's if there are several.
    """
    name = PurePosixPath(file)
    if name.is_absolute() or ".." in name.parts or "\0" in file:
        return None
    return folder.channel(channels[0] if len(channels) == 1 else "") / name


def data_uri(path: Path) -> str | None:
    """The photo as a small JPEG without any of its metadata, turned as its EXIF says. None if it cannot be drawn."""
    try:
        if not path.is_file():  # a pipe would be waited for without end
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow tells of damage that does not keep a photo from being drawn
            content = _jpeg(path)
    except Exception:  # noqa: BLE001 - the border to bytes that are not ours: Pillow raises anything
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _jpeg(path: Path) -> bytes:
    from PIL import Image, ImageOps

    Image.init()  # so that each of the formats is known by name
    with Image.open(path, formats=_FORMATS) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError("too many pixels")
        opened.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is decoded at an eighth of its size where that is enough
        opened.thumbnail((2 * SIDE, 2 * SIDE))
        picture = _on_white(ImageOps.exif_transpose(opened))
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=_QUALITY, optimize=True)
    return content.getvalue()


def _on_white(picture: Image.Image) -> Image.Image:
    """RGB, with white behind what is transparent, and 16 bits of grey as 8."""
    from PIL import Image

    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
