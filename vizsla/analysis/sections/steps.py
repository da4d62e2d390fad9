"""How long the training steps took, and which took much longer than the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vizsla.analysis import charts, page
from vizsla.analysis.charts import Chart, Spec
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.analysis.profiling.steps import FAR, Step, Steps
from vizsla.words import count, number, percent

MOST_POINTS = 600
MOST_MARKED = 100
MOST_ROWS = 20
_RING: Final = {"symbol": "circle-open", "size": 9, "color": charts.ACCENT, "line": {"width": 2}}


def section(facts: JobFacts) -> Section | None:
    """None where no step was timed."""
    steps = facts.profile.steps
    if steps is None:
        return None
    parts = [page.render("sentences.html.j2", {"sentences": [_sentence(steps)]}), charts.html([_chart(steps)])]
    if outliers := steps.outliers:
        values = {"title": _named(outliers), "html": page.table(_table(steps, outliers[:MOST_ROWS]))}
        parts.append(page.render("details.html.j2", values))
    return Section("steps", "Steps", page.joined(parts))


def _sentence(steps: Steps) -> str:
    times = [("median", steps.p50), ("mean", steps.mean), ("p95", steps.p95), ("p99", steps.p99)]
    said = ", ".join(f"{name} {ms(value)}" for name, value in times)
    speed = f" That is {steps.images_per_second:.1f} images a second." if steps.images_per_second else ""
    return f"{count(len(steps.steps), 'step')}: {said}, from {ms(steps.shortest)} to {ms(steps.longest)}.{speed}"


def ms(seconds: float) -> str:
    """0.0123 → "12.3 ms"; 2.5 → "2.50 s"."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{number(float(f'{1000 * seconds:.3g}'))} ms"


def _chart(steps: Steps) -> Chart:
    found = steps.steps
    size = max(1, -(-len(found) // MOST_POINTS))
    groups = [found[start : start + size] for start in range(0, len(found), size)]
    mean = [(group[-1].step, sum(step.seconds for step in group) / len(group)) for group in groups]
    traces = [_curve("mean" if size > 1 else "step", mean, charts.SECOND, 2)]
    if size > 1:
        most = [(group[-1].step, max(step.seconds for step in group)) for group in groups]
        traces.append(_curve("longest", most, charts.QUIET, 1))
    return Chart(
        title="Time of each step",
        summary=f"Milliseconds of {count(len(found), 'training step')}, with {count(len(steps.outliers), 'outlier')}.",
        traces=[*traces, *_marked(steps.outliers[:MOST_MARKED])],
        x=charts.counting("step", len(found)),
        y=charts.axis("milliseconds") | {"rangemode": "tozero"},
        note=f"each point is {size} steps: their mean, and the longest" if size > 1 else "",
    )


def _curve(name: str, points: Sequence[tuple[int, float]], colour: str, width: int) -> Spec:
    milliseconds = [(at, round(1000 * value, 3)) for at, value in points]
    return charts.line(name, milliseconds, colour) | {"mode": "lines", "line": {"color": colour, "width": width}}


def _marked(outliers: Sequence[Step]) -> list[Spec]:
    if not outliers:
        return []
    placed = sorted(outliers, key=lambda step: step.step)
    points = [(step.step, round(1000 * step.seconds, 3)) for step in placed]
    looks = {
        "mode": "markers",
        "marker": _RING,
        "text": [charts.label(step.longest) for step in placed],
        "hovertemplate": "step %{x}: %{y:.0f} ms, mostly %{text}<extra></extra>",
    }
    return [charts.line("outliers", points, charts.ACCENT) | looks]


def _named(outliers: Sequence[Step]) -> str:
    more = f", the longest {MOST_ROWS}" if len(outliers) > MOST_ROWS else ""
    return f"{count(len(outliers), 'outlier')}{more}"


def _table(steps: Steps, outliers: Sequence[Step]) -> Table:
    rows = [
        [
            str(step.step),
            ms(step.seconds),
            f"{step.seconds / steps.p50:.1f}" if steps.p50 else "",
            f"{step.longest}, {percent(step.phases[step.longest] / step.seconds, 0)}",
        ]
        for step in outliers
    ]
    columns = ("Step", "Time", "Times the median", f"Mostly (above {ms(steps.limit)}: mean and {FAR:g} deviations)")
    return Table(columns, rows, numeric=frozenset({0, 1, 2}))
