"""Text for a terminal: columns."""

from __future__ import annotations

from vizsla.console.text import columns


def test_the_second_column_is_aligned() -> None:
    assert columns([("job", "dogs"), ("classes", "2")]) == "  job      dogs\n  classes  2"


def test_a_table_of_nothing_is_nothing() -> None:
    assert columns([]) == ""
