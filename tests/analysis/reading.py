"""A report as a reader gets it: parsed as HTML, never searched as text, because plotly.js is full of anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
THUMBNAIL = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]+={0,2}")
REFERENCES = ("href", "src", "srcset", "action", "data", "poster", "formaction", "background", "xlink:href")


class Page(HTMLParser):
    """What is in a page: tags, references, scripts, and the text and tables of each section."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.programs: list[str] = []
        self.figures: list[dict[str, Any]] = []
        self.texts: dict[str, str] = {"": ""}
        self.tables: dict[str, list[list[list[str]]]] = {"": []}
        self._open: list[str] = []
        self._section = ""
        self._script: dict[str, str | None] | None = None
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        """Everything that is shown, with single spaces."""
        return " ".join(" ".join(self.texts.values()).split())

    def section(self, name: str) -> str:
        return " ".join(self.texts[name].split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def references(self) -> list[str]:
        """Whatever an attribute points at."""
        return [value or "" for _, found in self.tags for name, value in found.items() if name in REFERENCES]

    def pictures(self) -> list[str]:
        """Where the pictures are: in the page itself, if all is well."""
        return [found["src"] or "" for tag, found in self.tags if tag == "img"]

    def handlers(self) -> list[str]:
        """Attributes that run a script."""
        return [name for _, found in self.tags for name in found if name.startswith("on")]

    def policy(self) -> str:
        """The Content-Security-Policy."""
        found = (dict(attributes) for tag, attributes in self.tags if tag == "meta")
        return next(str(each["content"]) for each in found if each.get("http-equiv") == "Content-Security-Policy")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = attributes["id"] or ""
            self.texts[self._section], self.tables[self._section] = "", []
        if tag == "script":
            self._script = attributes
        if tag == "table":
            self.tables[self._section].append([])
        if tag == "tr":
            self.tables[self._section][-1].append([])
        if tag in ("td", "th"):
            self.tables[self._section][-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes something else"
        if tag == "script":
            self._script = None
        if tag in ("td", "th"):
            row = self.tables[self._section][-1][-1]
            row[-1] = " ".join(row[-1].split())
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            if self._script.get("type") == "application/json":
                self.figures.append(json.loads(data))
            else:
                self.programs.append(data)
        elif "style" not in self._open:
            self.texts[self._section] += data
            if {"td", "th"} & set(self._open):
                self.tables[self._section][-1][-1][-1] += data


def fingerprint(program: str) -> str:
    """A script as a Content-Security-Policy names it."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(program.encode()).digest()).decode() + "'"


def assert_self_contained(html: str) -> None:
    """Nothing is fetched, nothing is run but what the page was made with, and it is not too large."""
    page = Page(html)
    assert [one for one in page.references() if ":" in one or one.startswith("//")] == page.pictures()
    assert not page.count("link") + page.count("iframe") + page.count("base")
    assert [one for one in page.pictures() if not THUMBNAIL.fullmatch(one)] == []
    assert page.handlers() == []
    assert page.policy().startswith("default-src 'none'")
    assert [fingerprint(program) for program in page.programs if fingerprint(program) not in page.policy()] == []
    assert len(page.programs) == (2 if page.figures else 0)  # plotly.js and ours
    assert len(html.encode()) < 6_000_000


def names_in(figure: Any) -> list[str]:
    """Every text in a figure."""
    if isinstance(figure, dict):
        return [text for value in figure.values() for text in names_in(value)]
    if isinstance(figure, list):
        return [text for value in figure for text in names_in(value)]
    return [figure] if isinstance(figure, str) else []
