"""Where smdebug has StepState."""

from __future__ import annotations

from ..trials.step import StepState

__all__ = ["StepState"]
