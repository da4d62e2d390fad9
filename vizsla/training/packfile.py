"""A pack: the rows of some items of a shelf, in one file that appears whole and is never changed.

The format under `packs.py`: a head with a checksum of all that follows, the keys of the items, their rows. It is
written in one go, held against its checksum when it is opened, and read through a memory map.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np

from vizsla import files

Item = tuple[str, int]
"""(sha256 of a photo's bytes in hex, view): a view is a number below 2^48."""

PACK_BYTES: Final = 64 << 20
"""Of rows, at most."""
_ALIGN: Final = 64
_MAGIC: Final = b"vizslaP1"
_HEAD: Final = struct.Struct("<8sI32sQQ")  # magic; crc32 of all after it; digest of the shelf; bytes a row; rows
_AFTER_CRC: Final = 12
_KEY: Final = struct.Struct("<32sQ")
_CHUNK_BYTES: Final = 1 << 20
KEY_BYTES: Final = _KEY.size
HEAD_BYTES: Final = _HEAD.size + _ALIGN
"""At most, with what fills up to the rows."""


class Damaged(Exception):  # noqa: N818 - the state of a file, which its reader works around
    """A pack is not what was written."""


@dataclass(frozen=True)
class Spec:
    """What the rows of a shelf depend on beside the photo, and what one looks like.

    key: JSON values; the same key is the same numbers.
    dtype: bfloat16 is kept and handed out as its 16 bits, uint16.
    """

    key: Mapping[str, str | int]
    shape: tuple[int, ...]
    dtype: Literal["float32", "bfloat16"]

    @property
    def kept_as(self) -> np.dtype[Any]:
        """The type of the numbers on disk and in `Rows`."""
        return np.dtype("<f4" if self.dtype == "float32" else "<u2")

    @property
    def item_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * self.kept_as.itemsize

    def document(self) -> dict[str, Any]:
        return {"key": dict(self.key), "shape": list(self.shape), "dtype": self.dtype}

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the canonical JSON of all this."""
        canonical = json.dumps(self.document(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def key(item: Item) -> bytes:
    """An item as packs hold it. Raises ValueError or struct.error for what is none."""
    return _KEY.pack(bytes.fromhex(item[0]), item[1])


def _start(count: int) -> int:
    """Where the rows begin."""
    return -(-(_HEAD.size + count * _KEY.size) // _ALIGN) * _ALIGN


def packed(spec: Spec, items: Sequence[Item], rows: np.ndarray) -> tuple[bytes, memoryview]:
    """The bytes of a pack: what comes before the rows, and the rows."""
    index = b"".join(map(key, items)).ljust(_start(len(items)) - _HEAD.size, b"\0")
    head = _HEAD.pack(_MAGIC, 0, bytes.fromhex(spec.digest()), spec.item_bytes, len(items)) + index
    body = rows.reshape(-1).view(np.uint8).data
    crc = zlib.crc32(body, zlib.crc32(head[_AFTER_CRC:]))
    return _MAGIC + struct.pack("<I", crc) + head[_AFTER_CRC:], body


def write(path: Path, content: Sequence[bytes | memoryview]) -> None:
    """As files.write_atomic, for more than should be in memory twice. Raises OSError."""
    beside = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with beside.open("xb") as file:
            for part in content:
                file.write(part)
            files.sync(file)
        beside.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    files.sync_folder(path.parent)


def opened(path: Path, spec: Spec) -> tuple[list[bytes], np.ndarray]:
    """The keys of a pack and a map of its rows, once it is known to be whole. Raises Damaged, OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise Damaged("it is cut off")
        magic, crc, digest, item_bytes, count = _HEAD.unpack(head)
        if (magic, digest.hex(), item_bytes) != (_MAGIC, spec.digest(), spec.item_bytes) or count < 1:
            raise Damaged("it is no pack of this shelf")
        if os.fstat(file.fileno()).st_size != _start(count) + count * item_bytes:  # before anything so large is read
            raise Damaged("its size is wrong")
        if _crc32(file, zlib.crc32(head[_AFTER_CRC:])) != crc:
            raise Damaged("its checksum is wrong")
        file.seek(_HEAD.size)
        index = file.read(count * _KEY.size)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    rows = np.frombuffer(mapped, spec.kept_as, offset=_start(count)).reshape(count, *spec.shape)
    return [index[at : at + _KEY.size] for at in range(0, len(index), _KEY.size)], rows


def _crc32(file: BinaryIO, crc: int) -> int:
    """The checksum of the rest of a file. It is read, not mapped: a map of a file that shrinks ends the process."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    while size := file.readinto(buffer):  # type: ignore[attr-defined]
        crc = zlib.crc32(buffer[:size], crc)
    return crc
