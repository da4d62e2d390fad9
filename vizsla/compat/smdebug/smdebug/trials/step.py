"""Whether a step of a trial can be had."""

from __future__ import annotations

from enum import Enum


class StepState(Enum):
    """AVAILABLE: saved. UNAVAILABLE: passed without saving, or never reached. NOT_YET_AVAILABLE: it lies ahead."""

    UNAVAILABLE = 0
    AVAILABLE = 1
    NOT_YET_AVAILABLE = 2
