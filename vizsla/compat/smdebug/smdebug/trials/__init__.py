"""Reading what a hook saved: `create_trial(path)`."""

from __future__ import annotations

from ..core.missing import speaking
from .trial import Trial, create_trial

__all__ = ["Trial", "create_trial"]
__getattr__ = speaking(__name__, __all__)
