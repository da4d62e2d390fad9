"""Numbers, times and names as people read them, the same in a terminal and in a report.

What surrounds the text (colours, HTML and its escaping) is the part of whoever shows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

NONE = "-"


def visible(text: str) -> str:
    """`text` with what cannot be seen, or would change how its neighbours read, shown as an escape.

    A file name may hold line breaks, bytes that are no text, marks that turn the direction of writing, and sequences
    that move a terminal's cursor.
    """
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def number(value: float | None) -> str:
    """Four significant digits: 1.438, 0.003162, 12.5, 1e-06; a dash for nothing."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    return f"{value:.4g}"


def loss(value: float | None) -> str:
    """Four decimals, as in the log; a dash for nothing."""
    return f"{value:.4f}" if value is not None and math.isfinite(value) else number(value)


def percent(share: float | None, digits: int = 2) -> str:
    """0.8244 → "82.44 %"; a dash for nothing."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """65.3 → "1 min 05 s"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def moment(iso: str) -> str:
    """An ISO 8601 moment to the minute, in UTC; what is none, as it came."""
    try:
        parsed = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{parsed.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def count(number: int, noun: str, plural: str = "") -> str:
    """1 → "1 photo"; 1200 → "1,200 photos"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"


def listed(items: Sequence[str], most: int = 6) -> str:
    """The first few, as `visible` shows them, and how many more there are."""
    more = len(items) - most
    shown = ", ".join(visible(item) for item in items[:most])
    return f"{shown} and {more} more" if more > 0 else shown
