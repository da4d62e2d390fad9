"""What a step is for: `smd.modes.TRAIN`. Each mode counts its steps for itself; GLOBAL is where none was set."""

from __future__ import annotations

from enum import Enum


class ModeKeys(Enum):
    """The values are smdebug's."""

    TRAIN = 1
    EVAL = 2
    PREDICT = 3
    GLOBAL = 4

    @property
    def word(self) -> str:
        """As records and configuration files write it."""
        return self.name.lower()


ALLOWED_MODES = tuple(ModeKeys)


def check_mode(mode: object) -> ModeKeys:
    """Raises TypeError for what is no mode."""
    if not isinstance(mode, ModeKeys):
        raise TypeError(f"{mode!r} is no mode. Use modes.TRAIN, modes.EVAL, modes.PREDICT or modes.GLOBAL.")
    return mode
