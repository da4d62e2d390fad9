"""HTML: sections, tables and the page around them, in one file that opens offline.

Everything that is put into a template is escaped; only what a template made is taken as it is. On top of that the page
tells the browser to run no script but the two it came with, named by their hashes, and to fetch nothing.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vizsla.words import visible

_TEMPLATES = Path(__file__).parent / "templates"
CHART_MARK = '<figure class="chart"'  # names are escaped, so only a chart brings this into a page

_TYPED = re.compile(r"(`[^`]+`|--[a-z]+ [\w.]+=[^\s,;()]*[^\s,;().:])")

Cell = str | Markup


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page. `id` is what a link to it ends with: letters and dashes."""

    id: str
    title: str
    html: Markup


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the top of a page, and a few words about it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """What a page opens with."""

    kind: str
    name: str
    status: str
    facts: Sequence[str] = ()
    """Short facts for the line below the name."""
    tiles: Sequence[Tile] = ()
    notes: Sequence[str] = ()
    """What went wrong or is missing; each may be several lines long."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column titles."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = field(default_factory=frozenset)
    """Places of the columns that hold numbers, which are set to the right."""
    best: int | None = None
    """Place of the row that stands out."""
    tall: bool = False
    """Whether it scrolls in a box of its own, for tables that can have hundreds of rows."""


def render(template: str, values: Mapping[str, Any]) -> Markup:
    """A template filled with `values`; whatever is not Markup is escaped."""
    return Markup(_environment().get_template(template).render(values))  # noqa: S704 - autoescape has seen every value


def table(content: Table) -> Markup:
    """A table that scrolls sideways in its own box."""
    return render("table.html.j2", {"table": content})


def bar(share: float, text: str) -> Markup:
    """A table cell with a bar of `share` (0 to 1) and what it stands for."""
    return render("bar.html.j2", {"share": min(1.0, max(0.0, share)), "text": text})


def prose(text: str) -> Markup:
    """A sentence in which what is typed (between backticks, or a `--set key=value`) looks like it."""
    parts = _TYPED.split(text)  # text and what is typed take turns
    return render("prose.html.j2", {"parts": [part.strip("`") if odd % 2 else part for odd, part in enumerate(parts)]})


def joined(parts: Iterable[Markup]) -> Markup:
    """One piece of HTML after the other."""
    return Markup("\n").join(parts)


def page(head: Head, sections: Sequence[Section]) -> str:
    """The whole HTML file. Plotly's 5 MB are in it once, and only where there is a chart."""
    drawn = any(CHART_MARK in section.html for section in sections)
    scripts = [_plotly(), (_TEMPLATES / "charts.js").read_text()] if drawn else []
    values = {
        "head": head,
        "sections": sections,
        "scripts": [Markup(script) for script in scripts],  # noqa: S704 - plotly's and ours, nothing of a user's
        "hashes": [_hash(script) for script in scripts],
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": version("vizsla"),
    }
    return str(render("page.html.j2", values))  # plain text: Markup would escape what a caller adds to it


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _hash(script: str) -> str:
    """As Content-Security-Policy names an inline script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: object) -> object:
    """What an expression in a template becomes: text without what cannot be seen."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
