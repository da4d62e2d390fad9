"""Text for a terminal: names that came from disk can hold escape sequences, line breaks and bytes that are no text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def safe(text: str) -> str:
    """`text` with everything that could move the cursor, change colours or fail to print shown as an escape."""
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def percent(share: float | None) -> str:
    """0.8244 → "82.44 %"; nothing → "-"."""
    return "-" if share is None else f"{100 * share:.2f} %"


def duration(seconds: float) -> str:
    """65.3 → "1 min 05 s"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def listed(names: Sequence[str], most: int = 6) -> str:
    """The first few names, safe to print, and how many more there are."""
    more = len(names) - most
    shown = ", ".join(safe(name) for name in names[:most])
    return f"{shown} and {more} more" if more > 0 else shown


def columns(rows: Iterable[tuple[str, str]], indent: str = "  ") -> str:
    """Two columns, the second aligned."""
    table = list(rows)
    width = max((len(left) for left, _ in table), default=0)
    return "\n".join(f"{indent}{left:<{width}}  {right}" for left, right in table)
