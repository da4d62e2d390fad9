"""Parallel coordinates: an axis a hyperparameter, a line a training job, coloured by how good it came out.

Drawn with ordinary lines: plotly's own kind needs WebGL and `eval`, names no job, and cannot be printed sharply.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vizsla.analysis import charts
from vizsla.analysis.charts import Chart, Spec
from vizsla.analysis.page import Section
from vizsla.analysis.sections.listing import hyperparameters
from vizsla.analysis.sweeps import SweepView, TrialView
from vizsla.words import count, number

_WIDE = 30  # ratio of the largest to the smallest value from which an axis is logarithmic
_MOST_TICKS = 6
_CLOSE = 0.07  # of an axis: ticks nearer than this would be written over each other
_CROWD = 60  # jobs from which lines are drawn thin
_AXIS_WIDTH = 100  # pixels; with less, names and values overlap
# The best third of the jobs, the middle, the rest: name, colour, width of the lines.
_THIRDS = (("best third", charts.ACCENT, 2), ("middle third", charts.QUIET, 1.5), ("last third", charts.SECOND, 1.5))


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where each job stands on one axis (0 to 1, by the job's name), what its value is, and the ticks."""

    title: str
    places: Mapping[str, float]
    values: Mapping[str, str]
    ticks: Sequence[tuple[float, str]]


def section(sweep: SweepView, trials: Sequence[TrialView]) -> Section | None:
    """None where there is nothing to compare: fewer than two jobs, or none with a value."""
    if len(trials) < 2 or all(trial.value is None for trial in trials):
        return None
    axes = _axes(sweep, trials)
    chart = Chart(
        title="Hyperparameters and objective",
        summary=f"{count(len(trials), 'job')} over {count(len(axes) - 1, 'hyperparameter')}, as parallel lines.",
        traces=_lines(sweep, trials, axes),
        x={
            "side": "top",
            "tickvals": list(range(len(axes))),
            "ticktext": [f"<b>{charts.label(axis.title)}</b>" for axis in axes],
            "range": [-0.45, len(axes) - 0.7],
            "showgrid": False,
            "showline": False,
        },
        y={"visible": False, "range": [-0.06, 1.06]},
        extra={
            "annotations": _ticks(axes),
            "shapes": [_upright(place) for place in range(len(axes))],
            "legend": {"orientation": "h", "x": 0, "y": -0.02, "yanchor": "top"},
            "margin": {"l": 8, "r": 8, "t": 56, "b": 40},
        },
        note="a line is a training job; dotted ones have no value",
        height=420,
        min_width=_AXIS_WIDTH * len(axes),
    )
    return Section("parallel", "Parallel coordinates", charts.html([chart]))


def _axes(sweep: SweepView, trials: Sequence[TrialView]) -> list[_Axis]:
    """The hyperparameters, and the objective last."""
    axes = []
    for name in hyperparameters(trials):
        given = {trial.name: trial.hyperparameters[name] for trial in trials if name in trial.hyperparameters}
        axes.append(_axis(name, given, name in sweep.linear))
    objective = {trial.name: trial.value for trial in trials if trial.value is not None}
    return [*axes, _numeric(sweep.objective_name, objective)]


def _axis(name: str, given: Mapping[str, str], linear: bool) -> _Axis:
    try:
        numbers = {trial: float(text) for trial, text in given.items()}
    except ValueError:
        return _categories(name, given)
    finite = all(map(math.isfinite, numbers.values()))
    return _numeric(name, numbers, linear) if finite else _categories(name, given)


def _numeric(name: str, values: Mapping[str, float], linear: bool = False) -> _Axis:
    """From the lowest to the highest value; logarithmic where these are far apart and were not searched linearly."""
    low, high = min(values.values()), max(values.values())
    log = not linear and low > 0 and high > _WIDE * low
    start, end = (math.log(low), math.log(high)) if log else (low, high)

    def place(value: float) -> float:
        return ((math.log(value) if log else value) - start) / (end - start) if end > start else 0.5

    wanted = sorted(set(values.values()))
    if len(wanted) > _MOST_TICKS:
        spread = [start + (end - start) * share / (_MOST_TICKS - 1) for share in range(_MOST_TICKS)]
        wanted = [float(f"{math.exp(at):.2g}" if log else f"{at:.3g}") for at in spread]
    ticks = [(place(value), number(value)) for value in wanted]
    places = {trial: place(value) for trial, value in values.items()}
    return _Axis(name, places, {trial: number(value) for trial, value in values.items()}, _apart(ticks))


def _categories(name: str, given: Mapping[str, str]) -> _Axis:
    """At equal distances, in the order of the alphabet."""
    words = sorted(set(given.values()))
    place = {word: index / (len(words) - 1) if len(words) > 1 else 0.5 for index, word in enumerate(words)}
    ticks = _apart([(place[word], charts.label(word, 14)) for word in words])
    return _Axis(name, {trial: place[word] for trial, word in given.items()}, given, ticks)


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """The ticks, without those that would be written over the one below."""
    shown: list[tuple[float, str]] = []
    for tick in ticks:
        if not shown or tick[0] - shown[-1][0] >= _CLOSE:
            shown.append(tick)
    return shown


def _lines(sweep: SweepView, trials: Sequence[TrialView], axes: Sequence[_Axis]) -> list[Spec]:
    """A trace a third of the jobs, from the last to the best, so that the best is drawn on top."""
    ranked = [trial for trial in sweep.ranked(trials) if trial.value is not None]
    size = math.ceil(len(ranked) / len(_THIRDS))
    traces = []
    if without := [trial for trial in trials if trial.value is None]:
        dotted = {"color": charts.QUIET, "width": 1.5, "dash": "dot"}
        traces.append(
            _group("no value", without, axes) | {"line": dotted, "marker": {"color": charts.QUIET, "size": 4}}
        )
    for place, (name, colour, width) in reversed(list(enumerate(_THIRDS))):
        if third := ranked[place * size : (place + 1) * size]:
            line = {"color": colour, "width": width if len(ranked) <= _CROWD else 0.8}
            looks = {"line": line, "marker": {"color": colour, "size": 5}, "opacity": 0.75}
            traces.append(_group(name, third, axes) | looks)
    if best := sweep.best_of(ranked):
        looks = {"line": {"color": charts.ACCENT, "width": 4}, "marker": {"color": charts.ACCENT, "size": 9}}
        traces.append(_group("the best", [best], axes) | looks)
    return traces


def _group(name: str, trials: Sequence[TrialView], axes: Sequence[_Axis]) -> Spec:
    """The lines of several jobs as one trace, with gaps between them and where a job has no value."""
    points = [(trial, place, axis) for trial in trials for place, axis in [*enumerate(axes), (None, None)]]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [place for _, place, _ in points],
        "y": [axis.places.get(trial.name) if axis else None for trial, _, axis in points],
        "text": [_told(trial, axis) if axis else "" for trial, _, axis in points],
        "hovertemplate": "%{text}<extra></extra>",
        "connectgaps": False,
    }


def _told(trial: TrialView, axis: _Axis) -> str:
    value = charts.label(axis.values.get(trial.name, ""))
    return f"<b>{charts.label(trial.name)}</b><br>{charts.label(axis.title)} = {value}"


def _ticks(axes: Sequence[_Axis]) -> list[Spec]:
    """The values beside each axis."""
    beside = {"xanchor": "right", "yanchor": "middle", "xshift": -6, "showarrow": False}
    return [{"x": place, "y": at, "text": text} | beside for place, axis in enumerate(axes) for at, text in axis.ticks]


def _upright(place: int) -> Spec:
    line = {"color": charts.QUIET, "width": 1}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line, "layer": "below"}
