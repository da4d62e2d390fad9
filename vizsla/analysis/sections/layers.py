"""Heat maps: what reached each layer at each saved step, as gradients on the way back, as activations on the way on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from vizsla.analysis import charts, layers, page
from vizsla.analysis.charts import Chart, Spec
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.layers import Grid
from vizsla.analysis.page import Section
from vizsla.words import count, listed

MOST_STEPS = 120  # columns: more cannot be told apart, and a page should stay small
MOST_LAYERS = 400  # rows: the deepest of our backbones have about 160
_ROW_PX, _LEAST_PX, _MOST_PX = 12, 240, 900
_POWERS: Final = "Cividis"  # for the colour-blind as for others, and visible on white and on black
_SHARES: Final = [[0, charts.ACCENT], [0.5, "#d8cfc4"], [1, charts.SECOND]]


def section(facts: JobFacts) -> Section | None:
    """None where no tensors were saved."""
    backward = layers.gradients(facts.records)
    cut, smooth = layers.active_channels(facts.records), layers.activations(facts.records)
    drawn = [
        *_powers("Gradients", "mean |gradient|", backward),
        *_shares("Channels that are active", cut),
        *_powers("Activations", "mean |output|", smooth),
    ]
    if not drawn:
        return None
    said = [_READING, *_broken("gradient", backward), *_broken("output", smooth)]
    parts = [page.render("sentences.html.j2", {"sentences": said}), charts.html(drawn, top=True)]
    return Section("layers", "Layers", page.joined(parts))


_READING = (
    "The layers in the order of the network, the first on top; a column is a step that was saved. "
    "Gradients that grow fainter towards the top are vanishing; a layer whose channels fall silent is dying."
)


def _powers(title: str, what: str, grid: Grid) -> list[Chart]:
    """A map of powers of ten, or nothing for a grid without numbers. Zero has no power: it is drawn as the faintest."""
    found = [layers.log10(value) for row in grid.values for value in row]
    finite = [power for power in found if power is not None]
    if not finite:
        return []
    faintest = min(finite)
    looks = {
        "colorscale": _POWERS,
        "zmin": faintest,
        "zmax": max(finite),
        "hovertemplate": f"%{{y}}<br>step %{{x}}<br>{what} 10^%{{z:.1f}}<extra></extra>",
    }
    shown = Grid(
        grid.layers,
        grid.steps,
        tuple(tuple(faintest if value == 0 else layers.log10(value) for value in row) for row in grid.values),
    )
    zeros = "; 0 is drawn as the faintest" if any(value == 0 for row in grid.values for value in row) else ""
    return [_map(title, f"{what}, power of ten{zeros}", shown, looks)]


def _shares(title: str, grid: Grid) -> list[Chart]:
    if not grid.layers:
        return []
    looks = {
        "colorscale": _SHARES,
        "zmin": 0,
        "zmax": 1,
        "hovertemplate": "%{y}<br>step %{x}<br>%{z:.0%} of the channels<extra></extra>",
    }
    return [_map(title, "share of channels above 0 in at least 1 % of their outputs", grid, looks, ".0%")]


def _map(title: str, what: str, whole: Grid, looks: Spec, ticks: str = "") -> Chart:
    grid = layers.thinned(whole, MOST_STEPS)
    rows = [[None if value is None else round(value, 3) for value in row] for row in grid.values[:MOST_LAYERS]]
    names = _distinct([_short(name) for name in grid.layers[:MOST_LAYERS]])
    trace = {
        "type": "heatmap",
        "x": [str(step) for step in grid.steps],
        "y": names,
        "z": rows,
        "hoverongaps": False,
        "showlegend": False,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "xpad": 4, "tickformat": ticks},
    }
    notes = [what]
    if len(grid.steps) < len(whole.steps):
        notes.append(f"{len(grid.steps)} of {len(whole.steps):,} saved steps")
    if len(names) < len(whole.layers):
        notes.append(f"the first {len(names)} of {len(whole.layers):,} layers")
    return Chart(
        title=title,
        summary=f"{title} of {count(len(names), 'layer')} at {count(len(grid.steps), 'step')}.",
        traces=[trace | looks],
        x=charts.axis("step") | {"type": "category", "nticks": 8, "showgrid": False, "tickangle": 0},
        y={"type": "category", "autorange": "reversed", "showgrid": False, "tickfont": {"size": 10}},
        note="; ".join(notes),
        height=min(_MOST_PX, max(_LEAST_PX, _ROW_PX * len(names) + 70)),
        min_width=340,
    )


def _short(name: str) -> str:
    """The end of a long name: its beginning is what the layers have in common."""
    return charts.label(name if len(name) <= 28 else f"…{name[-27:]}")


def _distinct(names: Sequence[str]) -> list[str]:
    """Names as the rows of one axis, where two of the same would be one row."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _broken(what: str, grid: Grid) -> list[str]:
    """A sentence about the layers that had numbers which are none."""
    names = [
        name
        for name, row in zip(grid.layers, grid.values, strict=True)
        if any(value is not None and not math.isfinite(value) for value in row)
    ]
    return [f"The {what} was not finite in {listed(names)}; those cells are left empty."] if names else []
