"""The held-out result: accuracy with its interval, each class, and what was taken for what."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from vizsla.analysis import page
from vizsla.analysis.facts import ClassScore, Evaluation, JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.analysis.sections import confused
from vizsla.words import NONE, count, loss, percent

MOST_CLASSES = 16  # in a matrix: one of more classes does not fit on a page, and most of it is zeros
MOST_PAIRS = 30


def section(facts: JobFacts) -> Section | None:
    """None for a script, which has no such result."""
    if facts.evaluation:
        html = _result(facts, facts.evaluation)
    elif facts.plan is None:
        return None
    else:
        html = page.render("sentences.html.j2", {"sentences": [_absent(facts)]})
    return Section("held-out", "Held-out result", html)


def _absent(facts: JobFacts) -> str:
    if facts.plan and not facts.plan.evaluate.test:
        return "The held-out photos were left alone, as asked (evaluate.test=false)."
    if facts.data and not facts.data.counts.test:
        return "No photos are held out, so there is no result on photos that took no part in training."
    if not facts.finished:
        return "The held-out photos are asked once, when training has ended."
    return "The job ended before the held-out photos were asked."


def _result(facts: JobFacts, found: Evaluation) -> Markup:
    low, high = found.accuracy_95
    sentence = (
        f"{percent(found.accuracy)} of {count(found.images, 'photo')} that took no part in training were named right. "
        f"The 95 % interval (Wilson 1927) goes from {percent(low)} to {percent(high)}. Loss {loss(found.loss)}."
    )
    values = {
        "sentence": sentence,
        "classes": _classes(found),
        "confusion": _confusion(found),
        "side_by_side": len(found.classes) <= 6,  # a wider matrix needs the whole page
        "photos": confused.photos(facts, found),
    }
    return page.render("heldout.html.j2", values)


def _classes(found: Evaluation) -> Markup:
    worst_first = sorted(found.per_class, key=lambda row: (row.accuracy is None, row.accuracy, row.label))
    return page.table(
        Table(
            columns=("Class", "Photos", "Named right", "Precision"),
            rows=[_class_row(row) for row in worst_first],
            numeric=frozenset((1, 2, 3)),
            tall=len(worst_first) > 15,
        )
    )


def _class_row(row: ClassScore) -> list[page.Cell]:
    shown = NONE if row.accuracy is None else page.bar(row.accuracy, percent(row.accuracy, 1))
    return [row.label, str(row.images), shown, percent(row.precision, 1)]


class _Pair(NamedTuple):
    """Photos of one class that were taken for another."""

    photos: int
    label: str
    taken_for: str
    share: float


def _confusion(found: Evaluation) -> Markup:
    if len(found.classes) <= MOST_CLASSES:
        return page.render("confusion.html.j2", {"rows": _matrix(found), "classes": found.classes})
    pairs = _pairs(found)
    shown = [[pair.label, pair.taken_for, str(pair.photos), percent(pair.share, 1)] for pair in pairs[:MOST_PAIRS]]
    columns = ("The photo shows", "The answer was", "Photos", "Of the class")
    listing = page.table(Table(columns, shown, numeric=frozenset((2, 3)), tall=len(shown) > 15))
    return page.render("pairs.html.j2", {"shown": len(shown), "all": len(pairs), "table": listing})


def _pairs(found: Evaluation) -> list[_Pair]:
    """Confused pairs, the most often confused first."""
    pairs = [
        _Pair(photos, found.classes[row], found.classes[column], photos / sum(counts))
        for row, counts in enumerate(found.confusion)
        for column, photos in enumerate(counts)
        if photos and row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair.photos, -pair.share, pair.label, pair.taken_for))


def _matrix(found: Evaluation) -> list[dict[str, object]]:
    """Rows of cells: the number of photos, and their share of the row, which is how dark the cell is."""
    return [
        {
            "label": found.classes[row],
            "cells": [
                {"photos": photos, "share": photos / (sum(counts) or 1), "right": row == column}
                for column, photos in enumerate(counts)
            ],
        }
        for row, counts in enumerate(found.confusion)
    ]
