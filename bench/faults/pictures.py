"""What the trainings learn: made pictures of a few kinds, as tensors or as a folder. A seed has its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tests.photos import KINDS, picture

PER_SEED = 10_000  # pictures of a kind that a seed has to itself

Counts = Sequence[int]
"""How many pictures of each class; a class is a kind of picture."""


@cache
def _pixels(kind: int, number: int, side: int) -> torch.Tensor:
    """(3, side, side), 0 to 255. Cached, because the faulty training sees what the healthy one does."""
    pixels_HWC = np.asarray(picture(kind % len(KINDS), number, (side, side)), np.float32)
    return torch.from_numpy(pixels_HWC.transpose(2, 0, 1).copy())


def tensors(counts: Counts, seed: int, first: int = 0, side: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (N, 3, side, side) with pixels of 0 to 255, and their classes (N,); `first` tells two sets apart."""
    start = seed * PER_SEED + first
    shown = [(kind, start + number) for kind, count in enumerate(counts) for number in range(count)]
    return (
        torch.stack([_pixels(kind, number, side) for kind, number in shown]),
        torch.tensor([kind for kind, _ in shown]),
    )


def folder(place: Path, counts: Counts, seed: int, shuffled: bool = False, plain: float = 1.0) -> Path:
    """A folder of class folders, with the pictures of a seed, 64 pixels square.

    shuffled: labels have nothing to do with the pictures. plain: each picture is this share itself and for the rest
    one of any kind that lies over it; from 0.5 on classes can be told apart, but not all pictures.
    """
    rng = np.random.default_rng([seed, 7])
    kinds = np.repeat(np.arange(len(counts)), counts)
    labels = rng.permutation(kinds) if shuffled else kinds
    for number, (kind, label) in enumerate(zip(kinds, labels, strict=True)):
        (place / f"class-{label:02d}").mkdir(parents=True, exist_ok=True)
        image = _one(int(kind), seed * PER_SEED + number)
        if plain < 1:
            image = Image.blend(
                _one(int(rng.integers(len(counts))), seed * PER_SEED + PER_SEED // 2 + number), image, plain
            )
        image.save(place / f"class-{label:02d}" / f"{number:04d}.png")
    return place


def _one(kind: int, number: int) -> Image.Image:
    """Kinds beyond the made ones are those in another place of the colour circle: hue tells them apart."""
    image = picture(kind % len(KINDS), number, (64, 64))
    if kind < len(KINDS):
        return image
    hue, saturation, value = image.convert("HSV").split()
    low = 20 if kind < 2 * len(KINDS) else 150
    return Image.merge("HSV", (hue.point(lambda at: low + at // 8), saturation, value)).convert("RGB")
