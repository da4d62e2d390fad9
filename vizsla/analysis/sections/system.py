"""How the machine was used while the job ran, from samples that were taken outside of its process."""

from __future__ import annotations

from vizsla.analysis import page
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.analysis.profiling.usage import GB, Metric, Usage
from vizsla.words import count, number


def section(facts: JobFacts) -> Section | None:
    """None where nothing was sampled."""
    usage = facts.profile.usage
    if usage is None:
        return None
    columns = ("Figure", "Unit", "Max", "p99", "p95", "p50", "Min")
    rows = [[metric.name, metric.unit, *_figures(metric)] for metric in usage.metrics]
    table = page.table(Table(columns, rows, numeric=frozenset(range(2, 7))))
    return Section(
        "system", "System", page.joined([page.render("sentences.html.j2", {"sentences": [_sentence(usage)]}), table])
    )


def _sentence(usage: Usage) -> str:
    every = f", every {number(usage.interval_s)} s" if usage.interval_s else ""
    cores = f" The machine has {count(usage.cores, 'core')}" if usage.cores else ""
    own = f", of which the job may use {usage.share}" if usage.share and usage.share != usage.cores else ""
    memory = f" and {usage.memory_bytes / GB:.1f} GB of memory" if usage.memory_bytes and cores else ""
    said = f"{count(usage.samples, 'sample')}{every}, from outside of the training."
    return f"{said}{cores}{own}{memory}." if cores else said


def _figures(metric: Metric) -> list[str]:
    return [_short(value) for value in (metric.max, metric.p99, metric.p95, metric.p50, metric.min)]


def _short(value: float) -> str:
    """Three digits at the most, none of them invented."""
    if 0 < value < 0.005:
        return "< 0.01"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
