"""Where some scripts import create_trial from."""

from __future__ import annotations

from .trial import create_trial

__all__ = ["create_trial"]
