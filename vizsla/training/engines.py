"""What runs the frozen part of a network: torch or ONNX Runtime, behind one call.

Between `vision/halves.py`, which says what is to be run, and `features.py`, which keeps what comes out. `execution.py`
says which engine a machine takes. An engine runs batches of one size only, the last one filled up: so what it makes of
a photo depends on nothing but the photo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from vizsla import cache
from vizsla.training.exported import INPUT, Exported
from vizsla.vision.halves import Extractor

# Of photos in the network at once. Chosen for memory: EfficientNet-Lite0 at 224 pixels leaves a process with 0.6 to 0.8
# GB of anonymous memory, and with 1.1 to 1.2 at 32. Whether 8, 16 or 32 is faster did not show on a busy machine, where
# runs of one and the same differed by more.
BATCH: Final = 8

Array = npt.NDArray[Any]


class How(Protocol):
    """What an engine has to know of an Execution."""

    @property
    def threads(self) -> int: ...

    @property
    def layout(self) -> Any: ...

    @property
    def precision(self) -> Literal["float32", "bfloat16"]: ...


@dataclass(frozen=True)
class Engine:
    """Photos (N, 3, S, S), float32 → an array of N rows for each of `outputs`; bfloat16 comes as its bits, uint16."""

    name: Literal["torch", "onnxruntime"]
    precision: Literal["float32", "bfloat16"]
    outputs: tuple[str, ...]
    version: str
    run: Callable[[Array], tuple[Array, ...]]
    """For one batch of `batch` photos."""
    batch: int = BATCH

    def __call__(self, x_BCHW: Array) -> tuple[Array, ...]:
        parts = [self._part(x_BCHW[at : at + self.batch]) for at in range(0, len(x_BCHW), self.batch)]
        return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]

    def _part(self, x_BCHW: Array) -> tuple[Array, ...]:
        photos, filled = len(x_BCHW), x_BCHW
        if photos < self.batch:
            filled = np.zeros((self.batch, *x_BCHW.shape[1:]), np.float32)
            filled[:photos] = x_BCHW
        return tuple(rows[:photos] for rows in self.run(np.ascontiguousarray(filled)))


def torch_engine(extractor: Extractor, how: How, batch: int = BATCH) -> Engine:
    """torch, in the memory format and precision that `how` says."""
    reduced = how.precision == "bfloat16"

    def run(x_BCHW: Array) -> tuple[Array, ...]:
        images = torch.from_numpy(x_BCHW).contiguous(memory_format=how.layout)
        with _threads(how.threads), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            return tuple(_bits(rows) if reduced else rows.float().contiguous().numpy() for rows in extractor(images))

    return Engine("torch", how.precision, extractor.outputs, f"torch {version('torch')}", run, batch)


def onnx_engine(
    extractor: Extractor, how: How, root: Path | None = None, batch: int = BATCH, max_gb: float = 10.0
) -> Engine:
    """ONNX Runtime, in float32; the exported network is kept in the cache at `root`, by default the user's.

    Raises VizslaError where it is not installed, or cannot run the network.
    """
    session = Exported(extractor, how.threads).session(root or cache.root(), max_gb)

    def run(x_BCHW: Array) -> tuple[Array, ...]:
        return tuple(session.run(list(extractor.outputs), {INPUT: x_BCHW}))

    return Engine("onnxruntime", "float32", extractor.outputs, f"onnxruntime {version('onnxruntime')}", run, batch)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _bits(rows: torch.Tensor) -> Array:
    found: Array = rows.to(torch.bfloat16).contiguous().view(torch.int16).numpy().view(np.uint16)
    return found
