"""Ways to look at a training photo: as it is, mirrored, turned, and drawn crops and colours.

A view is made of the photo's pixels, before they are normalised, and is named by a number that says all about it: the
same photo and number are the same pixels in every run, so what a frozen network makes of them is computed once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

Pixels = npt.NDArray[np.uint8]
"""uint8 RGB, (size, size, 3)."""

AS_IT_IS: Final = 0
# The eight ways to lay a square down: 0 as it is, 1 left-right, 2 top-bottom, 3 both; from 4 on transposed first. Their
# numbers are in the keys of what is cached.
_WAYS: Final = 8
_LAID: Final[dict[str, tuple[int, ...]]] = {"none": (0,), "horizontal": (0, 1), "all": (0, 1, 2, 3, 4, 5, 6, 7)}
_VERSION: Final = 1  # of what is drawn
_LEAST_AREA, _MOST_STRETCH = 0.6, 4 / 3  # of a crop; milder than ImageNet's 0.08: few photos, small objects
_COLOUR: Final = 0.2  # brightness, contrast and saturation vary by so much

Flips = Literal["horizontal", "all", "none"]


@dataclass(frozen=True, slots=True)
class Views:
    """The views of each photo. `count` 0: another drawn one every epoch."""

    count: int = 2
    flips: Flips = "horizontal"
    seed: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """What the views are called: first the ways to lay a photo down, then drawn ones. () if each epoch draws."""
        laid = _LAID[self.flips][: self.count]
        return (*laid, *(self._drawn(place) for place in range(len(laid), self.count)))

    def pick(self, draw: np.random.Generator, photos: int) -> list[int]:
        """A view for each of so many photos; with `count` 0 one that nobody has seen yet."""
        if not self.count:
            return [_first_drawn(int(number)) for number in draw.integers(2**40, size=photos)]
        numbers = self.numbers
        return [numbers[int(place)] for place in draw.random(photos) * len(numbers)]

    def apply(self, pixels_HWC: Pixels, number: int, sha256: str) -> Pixels:
        """The pixels of view `number` of the photo whose bytes have this hash."""
        if number < _WAYS:
            return _lay(pixels_HWC, number)
        draw = np.random.default_rng([number, int(sha256[:15], 16)])
        laid = _LAID[self.flips]
        return _recoloured(_cropped(_lay(pixels_HWC, laid[draw.integers(len(laid))]), draw), draw)

    def _drawn(self, place: int) -> int:
        name = f"{_VERSION} {self.flips} {self.seed} {place}"
        return _first_drawn(int.from_bytes(hashlib.sha256(name.encode()).digest()[:5], "big"))


def _first_drawn(number: int) -> int:
    return _WAYS + number


def _lay(pixels_HWC: Pixels, turn: int) -> Pixels:
    """One of the eight symmetries of the square."""
    if turn >= 4:
        pixels_HWC = pixels_HWC.transpose(1, 0, 2)
    if turn in (1, 3, 6, 7):
        pixels_HWC = pixels_HWC[:, ::-1]
    if turn in (2, 3, 5, 7):
        pixels_HWC = pixels_HWC[::-1]
    return pixels_HWC


def _cropped(pixels_HWC: Pixels, draw: np.random.Generator) -> Pixels:
    """A part of the picture, stretched a little, at the size of the whole (Szegedy et al. 2015, with a larger part)."""
    size = pixels_HWC.shape[0]
    area, stretch = draw.uniform(_LEAST_AREA, 1), np.exp(draw.uniform(-1, 1) * np.log(_MOST_STRETCH))
    width, height = (min(size, size * float(side)) for side in (np.sqrt(area * stretch), np.sqrt(area / stretch)))
    left, top = draw.uniform(0, size - width), draw.uniform(0, size - height)
    box = (left, top, left + width, top + height)
    picture = Image.fromarray(np.ascontiguousarray(pixels_HWC))
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _recoloured(pixels_HWC: Pixels, draw: np.random.Generator) -> Pixels:
    picture = Image.fromarray(np.ascontiguousarray(pixels_HWC))
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = kind(picture).enhance(draw.uniform(1 - _COLOUR, 1 + _COLOUR))
    return np.asarray(picture)
