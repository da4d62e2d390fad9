"""The most expensive operators of the few steps that were profiled."""

from __future__ import annotations

from collections.abc import Sequence

from vizsla.analysis import page
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.analysis.profiling.operators import Operator, Operators
from vizsla.analysis.sections.steps import ms
from vizsla.words import count, duration, percent

MOST_ROWS = 12


def section(facts: JobFacts) -> Section | None:
    """None where no operators were profiled."""
    found = facts.profile.operators
    if found is None:
        return None
    first, others = found.operators[:MOST_ROWS], found.operators[MOST_ROWS:]
    parts = [page.render("sentences.html.j2", {"sentences": _sentences(found)})]
    if first:
        parts.append(page.table(_table(found, first)))
    if others:
        values = {"title": f"{count(len(others), 'more operator')}", "html": page.table(_table(found, others))}
        parts.append(page.render("details.html.j2", values))
    links = [(path, text) for path, text in _files(found) if (facts.folder.path / path).exists()]
    if links:
        parts.append(page.render("links.html.j2", {"links": links}))
    return Section("operators", "Operators", page.joined(parts))


def _sentences(found: Operators) -> list[str]:
    at = f", from step {found.first_step}" if found.first_step is not None else ""
    return [
        f"{count(found.steps, 'step')}{at}, were profiled in {duration(found.seconds)}; the profile itself took "
        f"{duration(found.overhead_s)} more. Seconds are an operator's own, over all threads that called it. What "
        "observers worked out in between is left out.",
    ]


def _files(found: Operators) -> list[tuple[str, str]]:
    return [
        (path, text)
        for path, text in (
            (found.trace, "The trace: open it in ui.perfetto.dev, or chrome://tracing"),
            (found.python, "The Python profile: python -m pstats FILE"),
        )
        if path
    ]


def _table(found: Operators, rows: Sequence[Operator]) -> Table:
    cuda = any(each.cuda_s for each in found.operators)
    columns = ["Operator", "Time", "Share", "Calls", "Each", *(["On the GPU"] if cuda else [])]
    cells = [
        [
            each.name,
            ms(each.seconds),
            page.bar(found.share(each), percent(found.share(each), 1)),
            f"{each.calls:,}",
            ms(each.seconds / each.calls) if each.calls else "",
            *([ms(each.cuda_s)] if cuda else []),
        ]
        for each in rows
    ]
    return Table(columns, cells, numeric=frozenset(range(1, len(columns))))
