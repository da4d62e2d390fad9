"""Text for a terminal: the words that every face shares, under the names that fit here, and columns."""

from __future__ import annotations

from collections.abc import Iterable

from vizsla.words import duration, listed, percent
from vizsla.words import visible as safe  # what cannot be seen is what could move the cursor or change colours

__all__ = ["columns", "duration", "listed", "percent", "safe"]


def columns(rows: Iterable[tuple[str, str]], indent: str = "  ") -> str:
    """Two columns, the second aligned."""
    table = list(rows)
    width = max((len(left) for left, _ in table), default=0)
    return "\n".join(f"{indent}{left:<{width}}  {right}" for left, right in table)
