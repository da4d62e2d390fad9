"""What is kept in the user's cache for later runs, and clearing it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vizsla import cache
from vizsla.cache import Entry
from vizsla.job import CacheSettings

_TELLING = ("model", "after", "cut", "output", "engine", "precision", "machine")
_TELLING_CHARS = 48  # a longer value is a hash: it tells two entries apart, and tells a person nothing


def listed() -> dict[str, Any]:
    """What is kept, kind by kind and the most recently used first, its sum, and what may be kept in all.

    The allowance is that of the default of cache.max_gb: a training may be given another.
    """
    root, max_gb = cache.root(), CacheSettings().max_gb
    kinds = list(cache.SUFFIX_OF)
    entries = sorted(cache.entries(root), key=lambda entry: (kinds.index(entry.kind), -entry.used, entry.name))
    return {
        "path": str(root),
        "entries": [_row(entry) for entry in entries],
        "size_bytes": sum(entry.size_bytes for entry in entries),
        "allowance_bytes": cache.allowance(root, max_gb),
        "max_gb": max_gb,
    }


def clear(kind: str | None = None) -> dict[str, Any]:
    """Removes what nobody uses, of one kind or of all; says what is gone, how much that was, and what was kept."""
    done = cache.clear(cache.root(), kind)
    return {
        "removed": [_row(entry) for entry in done.entries],
        "freed_bytes": done.size_bytes,
        "kept": [_row(entry) for entry in done.kept],
    }


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "what": _what(entry),
        "size_bytes": entry.size_bytes,
        "used": datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds"),
        "in_use": entry.in_use,
        "path": str(entry.path),
    }


def _what(entry: Entry) -> str:
    """The entry in the words of what it says of itself; the beginning of its name where it says nothing."""
    if entry.kind == "photos":
        return "hashes and verdicts of photos"
    told = entry.about.get("key", entry.about)
    values = [told.get(name) for name in _TELLING] if isinstance(told, dict) else []
    words = [value for value in values if isinstance(value, str) and 0 < len(value) <= _TELLING_CHARS]
    return ", ".join(words) or entry.name[:12]
