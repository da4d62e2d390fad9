"""Figures for plotly.js as plain JSON. Colours are mid-tones that can be told apart by the colour-blind, on white and
on black; backgrounds are clear, and `templates/charts.js` gives text and grids the colours of the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from markupsafe import Markup

from vizsla.analysis.page import joined, render
from vizsla.words import visible

ACCENT = "#cf6420"  # the one that matters: valid, the best trial
SECOND = "#3f83c4"  # what it is compared with: train, the other trials
QUIET = "#8b95a1"

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure. `traces`, `x`, `y` and `extra` (other parts of the layout) are in plotly's words.

    summary: what is to be seen, for those who cannot see it.
    min_width: pixels below which the figure scrolls in its box instead of shrinking.
    """

    title: str
    summary: str
    traces: Sequence[Spec]
    x: Spec
    y: Spec
    extra: Spec = field(default_factory=dict)
    note: str = ""
    height: int = 300
    min_width: int = 0

    def spec(self) -> Spec:
        """What plotly.js draws: data and layout."""
        several = sum(bool(trace.get("showlegend", True)) for trace in self.traces) > 1
        layout = {
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": QUIET},
            "margin": {"l": 52, "r": 16, "t": 34, "b": 44},  # above: plotly's buttons, and names of curves
            "showlegend": several,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "dragmode": False,  # a finger that scrolls the page must not zoom; the tool bar offers it
            "xaxis": _AXIS | self.x,
            "yaxis": _AXIS | self.y,
        }
        return {"data": list(self.traces), "layout": layout | self.extra}


_AXIS: Final = {
    "automargin": True,
    "zeroline": False,
    "showline": True,
    "gridcolor": "rgba(139,149,161,0.25)",
}


def html(charts: Iterable[Chart], top: bool = False) -> Markup:
    """The figures side by side where there is room, with their axes on one line or, `top`, their titles."""
    return render("charts.html.j2", {"charts": joined(_figure(chart) for chart in charts), "top": top})


def _figure(chart: Chart) -> Markup:
    return render("chart.html.j2", {"chart": chart, "spec": script_json(chart.spec())})


def script_json(doc: object) -> Markup:
    """JSON that may stand in a <script>: no name in it can end the script or open a comment."""
    text = json.dumps(doc, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704 - the three characters that mean something to HTML are gone


def label(text: str, length: int = 40) -> str:
    """A name as text for a figure: plotly.js reads some HTML there, and TeX between dollars; a name brings neither."""
    shown = visible(text)
    short = shown if len(shown) <= length else f"{shown[: length - 1]}…"
    return "".join(_ENTITIES.get(char, char) for char in short)


_ENTITIES: Final = MappingProxyType({"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"})


def numbers(values: Iterable[float | None]) -> list[float | None]:
    """Values as JSON has them: what is not finite is a gap."""
    return [value if value is not None and math.isfinite(value) else None for value in values]


def line(name: str, points: Sequence[tuple[float, float]], colour: str) -> Spec:
    """A curve with a dot at each of a few points; many are a plain line."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) <= 60 else "lines",
        "name": label(name),
        "x": [x for x, _ in points],
        "y": numbers(y for _, y in points),
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 6},
    }


def axis(title: str) -> Spec:
    """An axis and what it shows, with its unit."""
    return {"title": {"text": label(title), "standoff": 8}}


def band(name: str, low: Sequence[tuple[float, float | None]], high: Sequence[float | None], colour: str) -> list[Spec]:
    """The room between two curves over the places of the lower one, under one name in the legend."""
    edge: Spec = {"type": "scatter", "mode": "lines", "x": [x for x, _ in low], "line": {"width": 0, "color": colour}}
    edge |= {"legendgroup": name, "hoverinfo": "skip", "connectgaps": True}
    upper = {"y": numbers(high), "name": label(name), "fill": "tonexty", "fillcolor": _faint(colour)}
    return [edge | {"y": numbers(y for _, y in low), "showlegend": False}, edge | upper]


def _faint(colour: str) -> str:
    """The same colour, to be looked through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"


def powers(values: Iterable[float]) -> Spec:
    """A logarithmic axis for numbers above 0, with a few round ones named: plotly would name every digit."""
    sizes = [math.log10(value) for value in values if value > 0 and math.isfinite(value)] or [0.0]
    low, high = math.floor(min(sizes)), math.ceil(max(sizes))
    digits = (1,) if high - low > 2 else (1, 2, 5)
    stride = max(1, math.ceil((high - low) / 6))
    ticks = [digit * 10.0**power for power in range(low, high + 1, stride) for digit in digits]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def counting(title: str, most: int) -> Spec:
    """An axis of whole numbers up to `most`: a few are named one by one, for plotly would put fractions between."""
    return axis(title) | {"tickformat": "d"} | ({"dtick": 1} if most <= 12 else {})
