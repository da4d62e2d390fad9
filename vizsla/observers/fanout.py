"""Hands each event of the loop to every observer. One that fails is switched off and named; training goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from vizsla.errors import named
from vizsla.training.events import Event, See, Stop

log = logging.getLogger("vizsla.observers")


class Fanout:
    """Observers by name. Calling it with an event returns the first Stop that an observer asked for, or None."""

    def __init__(self, observers: Mapping[str, See]) -> None:
        self._observers = dict(observers)
        self.switched_off: dict[str, str] = {}
        """Name of an observer that failed → what it failed with."""

    def __call__(self, event: Event) -> Stop | None:
        answers = [self._ask(name, event) for name in list(self._observers)]
        return next((answer for answer in answers if answer), None)

    def _ask(self, name: str, event: Event) -> Stop | None:
        try:
            return self._observers[name](event)
        except Exception as error:
            log.warning("the %s observer failed and is switched off: %s", name, named(error))
            log.debug("", exc_info=error)
            del self._observers[name]
            self.switched_off[name] = named(error)
            return None
