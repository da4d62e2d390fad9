"""What a notebook shows of an estimator, a tuner or a job. Every name in it may come from a stranger's disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from vizsla.console.text import safe


def facts(title: str, rows: Mapping[str, object]) -> str:
    """A title over two columns; what is None is left out."""
    lines = [
        f"<tr><th>{cell(name)}</th><td>{cell(value)}</td></tr>" for name, value in rows.items() if value is not None
    ]
    return f"<strong>{cell(title)}</strong><table>{''.join(lines)}</table>"


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of the same columns."""
    if not rows:
        return ""
    head = "".join(f"<th>{cell(name)}</th>" for name in rows[0])
    lines = ("".join(f"<td>{cell(value)}</td>" for value in row.values()) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def cell(value: object) -> str:
    """A value as text of a page: a float in four places, lists and mappings as their parts."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{cell(name)}={cell(each)}" for name, each in value.items() if each is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return "" if value is None else escape(safe(str(value)))
