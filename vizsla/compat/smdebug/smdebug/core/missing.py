"""What a script is told that asks for a name smdebug had and this package does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn


def speaking(module: str, names: Iterable[str]) -> Callable[[str], NoReturn]:
    """A module's `__getattr__` whose AttributeError says what is there. names: all that is."""
    there = sorted(names)

    def missing(name: str) -> NoReturn:
        raise AttributeError(absent(module, name, there))

    return missing


def absent(owner: str, name: str, there: Iterable[str]) -> str:
    return f"vizsla's {owner} has no {name!r}. It has: {', '.join(there)}. See docs/smdebug.md."
