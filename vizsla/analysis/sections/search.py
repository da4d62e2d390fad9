"""How a search went: the objective of each trial and the best so far, each trial's curve, what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from vizsla.analysis import charts, page
from vizsla.analysis.charts import Chart, Spec
from vizsla.analysis.page import Cell, Section, Table
from vizsla.analysis.sweeps import SweepView, TrialView
from vizsla.words import count, number, percent

_WIDE = 20  # ratio of the largest to the smallest objective above which an axis is logarithmic
_STAIRS: Final = {"color": charts.ACCENT, "width": 2, "shape": "hv"}


def section(sweep: SweepView, trials: Sequence[TrialView]) -> Section | None:
    """None while no trial has shown a value."""
    drawn = []
    if any(trial.value is not None for trial in trials):
        drawn.append(_history(sweep, trials))
    if any(trial.curve for trial in trials):
        drawn.append(_curves(sweep, trials))
    if not drawn:
        return None
    parts = [charts.html(drawn)]
    if sweep.importance:
        listing = page.table(_importance(sweep.importance))
        parts.append(page.render("titled.html.j2", {"title": "Importance of each hyperparameter", "html": listing}))
    return Section("search", "The search", page.joined(parts))


def _history(sweep: SweepView, trials: Sequence[TrialView]) -> Chart:
    found = [
        (trial, trial.value) for trial in sorted(trials, key=lambda trial: trial.number) if trial.value is not None
    ]
    values = [value for _, value in found]
    markers = {
        "color": charts.SECOND,
        "size": 9 if len(found) <= 100 else 6,
        "symbol": [_symbol(trial) for trial, _ in found],
        "line": {"color": charts.SECOND, "width": 2},
    }
    points = [(trial.number, value) for trial, value in found]
    told = [_told(trial) for trial, _ in found]
    traces = [
        charts.line("training job", points, charts.SECOND)
        | {"mode": "markers", "marker": markers, "text": told, "hovertemplate": "%{text}<extra></extra>"},
        charts.line("best so far", _best_so_far(sweep, points), charts.ACCENT)
        | {"mode": "lines", "line": _STAIRS, "hoverinfo": "skip"},
        *_baseline(sweep, points),
    ]
    without = len(trials) - len(found)
    return Chart(
        title="Optimisation history",
        summary=f"The objective of {count(len(found), 'training job')}, and the best so far.",
        traces=traces,
        x=charts.counting("training job", len(trials)) | {"range": [0.5, max(trial.number for trial in trials) + 0.5]},
        y=charts.axis(sweep.objective_name) | {"type": _scale(values)},
        note=f"open circles ended early{f'; {without} without a value' if without else ''}",
        height=320,
    )


def _symbol(trial: TrialView) -> str:
    return "circle" if trial.status == "Completed" else "circle-open"


def _told(trial: TrialView) -> str:
    """What is shown where the pointer rests: a line each for the name, the value and the hyperparameters."""
    given = [f"{charts.label(name)} = {charts.label(value)}" for name, value in trial.hyperparameters.items()]
    return "<br>".join([f"<b>{charts.label(trial.name)}</b>", f"{trial.status}: {number(trial.value)}", *given])


def _best_so_far(sweep: SweepView, points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    better = max if sweep.direction == "maximize" else min
    best: list[tuple[int, float]] = []
    for place, value in points:
        best.append((place, better(value, best[-1][1]) if best else value))
    return best


def _baseline(sweep: SweepView, points: Sequence[tuple[int, float]]) -> list[Spec]:
    if sweep.baseline is None:
        return []
    ends = [(points[0][0], sweep.baseline), (points[-1][0], sweep.baseline)]
    dotted = {"color": charts.QUIET, "width": 2, "dash": "dot"}
    return [charts.line("before tuning", ends, charts.QUIET) | {"mode": "lines", "line": dotted}]


def _scale(values: Sequence[float]) -> str:
    """A training that diverged must not press the others flat."""
    return "log" if values and min(values) > 0 and max(values) > _WIDE * min(values) else "linear"


def _curves(sweep: SweepView, trials: Sequence[TrialView]) -> Chart:
    others = [trial for trial in trials if trial.name != sweep.best]
    best = sweep.best_of(trials)
    traces = [_others(others)]
    if best and best.curve:
        traces.append(charts.line(f"{best.name} (best)", list(enumerate(best.curve, 1)), charts.ACCENT))
    values = [value for trial in trials for value in charts.numbers(trial.curve) if value is not None]
    return Chart(
        title="Each training job's curve",
        summary=f"The objective after each epoch of {count(len(trials), 'training job')}.",
        traces=traces,
        x=charts.counting("epoch", max(len(trial.curve) for trial in trials)),
        y=charts.axis(sweep.objective_name) | {"type": _scale(values)},
        height=320,
    )


def _others(trials: Sequence[TrialView]) -> Spec:
    """The curves of many trials as one trace with gaps between them, which draws a thousand as fast as ten."""
    xs: list[int | None] = []
    ys: list[float | None] = []
    told: list[str] = []
    for trial in trials:
        size = len(trial.curve)
        xs += [*range(1, size + 1), None]
        ys += [*charts.numbers(trial.curve), None]
        told += [charts.label(trial.name)] * (size + 1)
    return charts.line("the others", [], charts.SECOND) | {
        "x": xs,
        "y": ys,
        "text": told,
        "hovertemplate": "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>",
        "mode": "lines+markers",
        "opacity": 0.55,
        "line": {"color": charts.SECOND, "width": 1.5},
        "marker": {"color": charts.SECOND, "size": 5},
    }


def _importance(importance: Mapping[str, float]) -> Table:
    ranked = sorted(importance.items(), key=lambda item: (-item[1], item[0]))
    rows: list[Sequence[Cell]] = [[name, page.bar(share, percent(share, 0))] for name, share in ranked]
    return Table(("Hyperparameter", "Importance"), rows, numeric=frozenset((1,)))
