"""A hook's records and raw tensors on disk: vizsla's formats, in the folder that `place` found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vizsla.observers.raw import RawFiles
from vizsla.records import Record, Writer
from vizsla.segments import Segments

if TYPE_CHECKING:
    import torch

    from .modes import ModeKeys
    from .place import Place


class Store:
    """Opened by its first record. An attempt's steps count from 0, so its first record says that it starts afresh."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._raw = RawFiles(place.base, place.tensors.relative_to(place.base).as_posix())
        self._writer: Writer | None = None
        self._written: dict[tuple[ModeKeys, int], int] = {}

    def write(self, record: Record) -> None:
        """Raises OSError."""
        if self._writer is None:
            self._writer = Writer(Segments(self.place.records, self.place.attempt))
            self._writer.write(Record(time.time(), "attempt", "start", value={"from_global_step": 0}))
        self._writer.write(record)

    def save(self, mode: ModeKeys, step: int, tensors: Mapping[str, torch.Tensor]) -> str:
        """Writes raw tensors that are on the CPU; returns the file as a record names it. Raises VizslaError.

        A step that tensors are saved for again, after it was written, gets a second file.
        """
        times = self._written[mode, step] = self._written.get((mode, step), 0) + 1
        return self._raw.write(mode.word if times == 1 else f"{mode.word}-{times}", step, tensors)

    def close(self) -> None:
        """Says that nothing more comes, and seals the records. Raises OSError."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with writer:
                writer.write(Record(time.time(), "attempt", "end"))
