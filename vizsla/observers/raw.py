"""Whole tensors of saved steps, where somebody asked for them: one safetensors file a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vizsla.files import write_atomic


@dataclass(frozen=True, slots=True)
class RawFiles:
    """root: the folder that a record's `file` is relative to. folder: where the files are, from there, with `/`."""

    root: Path
    folder: str = "checkpoints/vizsla/tensors"

    def write(self, mode: str, step: int, named: Mapping[str, torch.Tensor]) -> str:
        """Writes the tensors of one step, on the CPU and contiguous, and gives the file as a record names it.

        Raises VizslaError as `files.write_atomic` does.
        """
        from safetensors.torch import save

        file = f"{self.folder}/{mode}/{step:09d}.safetensors"
        write_atomic(self.root / file, save(dict(named)))
        return file
