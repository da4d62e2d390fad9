"""The profile of a script under its hook: asked for by SageMaker's profilerconfig.json, which `vizsla run` writes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from torch import nn

from vizsla import profilerconfig
from vizsla.observers.rhythm import Rhythm, by_training
from vizsla.observers.window import ProfileFiles, Window
from vizsla.records import Writer
from vizsla.segments import Segments

from .modes import ModeKeys
from .place import STREAM, Place, last_attempt

log = logging.getLogger("smdebug")
PROFILE = "profile"


def rhythm(place: Place, mode: Callable[[], ModeKeys], wrap: Callable[..., Callable[..., None]]) -> Rhythm | None:
    """What tells the phases of the script's steps, as the file asks for it; None where nothing is asked for.

    Of several hooks in a job the first one does it. A pass counts for the hook's mode; where none was set it is
    training or evaluation as its model says.
    """

    def mode_of(model: nn.Module) -> str:
        return by_training(model) if mode() is ModeKeys.GLOBAL else mode().word

    try:
        settings = profilerconfig.found()
    except (OSError, ValueError) as error:
        log.warning("smdebug: nothing is profiled: %s", error)
        return None
    folder = place.private / "records" / PROFILE
    if settings is None or not settings.enabled or place.stream != STREAM or last_attempt(folder) >= place.attempt:
        return None
    records = Writer(Segments(folder, place.attempt))
    files = ProfileFiles(place.base, place.attempt, (place.private / PROFILE).relative_to(place.base).as_posix())
    return Rhythm(records, Window(settings, files, records.write), mode_of=mode_of, wrap=wrap)
