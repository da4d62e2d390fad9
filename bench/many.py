"""Folders of as many photos as a measurement wants, from the real ones: resized, and told apart by a comment.

Equal bytes are computed once, so every file has its own. The pixels may repeat: decoding and computing take as long.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from bench.photos import DOGS

QUALITY = 90
START, COMMENT = b"\xff\xd8", b"\xff\xfe"  # JPEG's markers


def write(folder: Path, count: int, pixels: int, originals: int) -> None:
    """`count` JPEGs of so many `pixels` in folders of breeds, of the first `originals` photos in turn.

    A photo that is smaller is enlarged. Where some are written already, those stay and the rest is added.
    """
    for number, (path, encoded) in enumerate(_encoded(pixels, min(originals, count))):
        place = folder / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        for copy in range(math.ceil((count - number) / originals)):
            file = place / f"{path.stem}-{copy}.jpg"
            if not file.exists():
                file.write_bytes(commented(encoded, f"{number}-{copy}"))


def commented(jpeg: bytes, text: str) -> bytes:
    """The same picture with a comment: other bytes, the same pixels."""
    if not jpeg.startswith(START):
        raise ValueError("only a JPEG can be given a comment so")
    body = text.encode()
    return START + COMMENT + (len(body) + 2).to_bytes(2, "big") + body + jpeg[len(START) :]


def _encoded(pixels: int, originals: int) -> Iterator[tuple[Path, bytes]]:
    paths = sorted(DOGS.glob("*/*.jpg"), key=lambda path: (_rank(path), path.parent.name))
    if not paths:
        raise FileNotFoundError(f"there are no photos at {DOGS}")
    for path in paths[:originals]:
        with Image.open(path) as photo:
            scale = math.sqrt(pixels / (photo.width * photo.height))
            sides = (round(photo.width * scale), round(photo.height * scale))
            file = io.BytesIO()
            photo.convert("RGB").resize(sides).save(file, "JPEG", quality=QUALITY)
        yield path, file.getvalue()


def _rank(path: Path) -> int:
    """Its place in its folder: the first photo of every breed comes before the second of any."""
    return sorted(path.parent.iterdir()).index(path)
