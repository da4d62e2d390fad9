"""The photos of a job: how many in each split, which were left out and why, and which copies make results doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from vizsla.analysis import page
from vizsla.analysis.facts import Counts, DataReport, JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.words import count, listed


def section(facts: JobFacts) -> Section | None:
    """None for a script, which reads its photos itself."""
    if facts.data is None:
        if facts.plan is None:
            return None
        absent = ["The photos have not been checked yet." if not facts.finished else "The photos were not checked."]
        return Section("photos", "Photos", page.render("sentences.html.j2", {"sentences": absent}))
    parts = [
        page.render("sentences.html.j2", {"sentences": _sentences(facts.data)}),
        _classes(facts.data),
        *_bad(facts.data),
        *_groups("The same photo under two classes", "class", facts.data.conflicts),
        *_groups("The same photo in two splits", "split", facts.data.leaks),
    ]
    return Section("photos", "Photos", page.joined(parts))


def _sentences(data: DataReport) -> list[str]:
    counts = data.counts
    said = [
        f"{count(len(data.classes), 'class', 'classes')}, read from {data.layout}: "
        f"{counts.train:,} photos to train, {counts.valid:,} to validate, {counts.test:,} held out."
    ]
    others = [
        (data.left_out, "good photo", "left out by data.fraction"),
        (data.unlabelled, "photo", "without a class, not used"),
        (data.ignored, "file", "that are no photos" if data.ignored > 1 else "that is no photo"),
        (len(data.duplicates), "group", "of files with the same bytes"),
    ]
    beside = [f"{count(number, noun)} {what}" for number, noun, what in others if number]
    return said + ([f"Besides: {', '.join(beside)}."] if beside else [])


def _classes(data: DataReport) -> Markup:
    rows: list[Sequence[str]] = [
        [label, *_numbers(data.per_class[label])] for label in data.classes if label in data.per_class
    ]
    columns = ("Class", "Train", "Valid", "Held out", "Together")
    return page.table(Table(columns, rows, numeric=frozenset((1, 2, 3, 4)), tall=len(rows) > 15))


def _numbers(counts: Counts) -> list[str]:
    each = (counts.train, counts.valid, counts.test)
    return [f"{number:,}" for number in (*each, sum(each))]


def _bad(data: DataReport) -> list[Markup]:
    if not data.bad:
        return []
    rows = [[photo.file, photo.reason] for photo in data.bad]
    title = f"Left out: {count(len(rows), 'bad photo')}"
    listing = page.table(Table(("File", "Reason"), rows, tall=len(rows) > 15))
    return [page.render("titled.html.j2", {"title": title, "html": listing})]


def _groups(title: str, key: str, groups: Sequence[Sequence[Any]]) -> list[Markup]:
    """Copies of one photo that lie where they should not: a row a group."""
    if not groups:
        return []
    rows = [[listed([_where(photo, key) for photo in group], most=4)] for group in groups]
    listing = page.table(Table(("Files",), rows, tall=len(rows) > 15))
    return [page.render("titled.html.j2", {"title": title, "html": listing})]


def _where(photo: Any, key: str) -> str:
    return f"{photo['file']} ({photo[key]})" if isinstance(photo, dict) and {"file", key} <= set(photo) else str(photo)
