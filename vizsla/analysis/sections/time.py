"""Where the time goes: what bounds the training, its phases, and how they and the machine were over the time it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from markupsafe import Markup

from vizsla.analysis import charts, page
from vizsla.analysis.charts import Chart, Spec
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.analysis.profiling.phases import Bands, Phases
from vizsla.analysis.profiling.summary import Summary
from vizsla.analysis.profiling.usage import Usage
from vizsla.analysis.sections.steps import ms
from vizsla.words import NONE, count, duration, number, percent

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "load": "the loop waits for photos",
        "forward": "the network answers",
        "backward": "gradients",
        "update": "the optimizer changes the weights",
        "observe": "metrics, debugger and rules look on",
        "evaluate": "the valid photos",
        "checkpoint": "weights are saved",
    }
)
_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "load": "#d95f4b",
        "forward": "#3f83c4",
        "backward": "#6fa8dc",
        "update": "#8a6fc4",
        "observe": "#c9a227",
        "evaluate": "#2f9e8f",
        "checkpoint": "#8b95a1",
    }
)
_OTHER: Final = "#b08968"


def section(facts: JobFacts) -> Section | None:
    """None where neither phases nor samples were recorded."""
    profile = facts.profile
    if profile.phases is None and profile.usage is None:
        return None
    parts = [page.render("time.html.j2", {"message": _message(profile), "cure": _cure(profile)})]
    if profile.phases:
        parts.append(page.table(_table(profile.phases)))
    parts.append(charts.html([_chart(profile)]))
    return Section("time", "Where the time goes", page.joined(parts))


def _message(profile: Summary) -> str:
    if profile.verdict:
        return profile.verdict.message
    if profile.phases:
        return "There were too few steps to say what bounds this training."
    return (
        "Only the machine was sampled. What the time went into can be told where the script has a hook "
        "(`vizsla.profiler.watch`, docs/profiler.md)."
    )


def _cure(profile: Summary) -> Markup | str:
    if profile.verdict is None:
        return ""
    saved = profile.verdict.seconds_saved
    said = f"{profile.verdict.cure} It would have saved about {duration(saved)} of this job." if saved >= 1 else ""
    return page.prose(said or profile.verdict.cure)


def _table(phases: Phases) -> Table:
    whole = phases.job_seconds or 1.0
    rows: list[Sequence[page.Cell]] = [_row("initialization", phases.initialization_seconds, whole, 1, _BEFORE)]
    rows += [
        _row(phase.name, phase.seconds, whole, phase.count, MEANINGS.get(phase.name, "")) for phase in phases.phases
    ]
    if phases.other_seconds > 0.005 * whole:
        rows.append(_row("other", phases.other_seconds, whole, 1, "in the loop, and in no phase"))
    rows.append(_row("finalization", phases.finalization_seconds, whole, 1, _AFTER))
    return Table(("Phase", "Time", "Share", "Times", "Each", ""), rows, numeric=frozenset({1, 2, 3, 4}))


_BEFORE: Final = "before the first step: Python, photos"
_AFTER: Final = "after the last step: bundle, test photos"


def _row(name: str, seconds: float, whole: float, times: int, meaning: str) -> Sequence[page.Cell]:
    each = ms(seconds / times) if times > 1 else NONE
    share = page.bar(seconds / whole, percent(seconds / whole, 1))
    return [name, duration(seconds), share, f"{times:,}" if times > 1 else NONE, each, meaning]


def _chart(profile: Summary) -> Chart:
    """The machine above, the phases below, on one axis of time."""
    both = profile.usage is not None and profile.phases is not None
    traces: list[Spec] = []
    if profile.usage:
        traces += _machine(profile.usage)
    if profile.phases:
        traces += _bands(profile.phases.bands, "y2" if both else "y")
    width_s = profile.usage.series.width_s if profile.usage else profile.phases.bands.width_s if profile.phases else 0.0
    percents = charts.axis("percent") | {"range": [0, 104], "ticksuffix": " %"}
    shares = charts.axis("time of the loop") | {"range": [0, 100], "ticksuffix": " %", "automargin": True}
    shares |= {"zeroline": False, "showline": True, "anchor": "x"}
    top, bottom = (percents | {"domain": [0.46, 1]}, {"yaxis2": shares | {"domain": [0, 0.36]}}) if both else ({}, {})
    return Chart(
        title=_title(profile),
        summary=f"Use of the machine and share of each phase, over {duration(width_s * _places(profile))}.",
        traces=traces,
        x=charts.axis("seconds that the job had run") | {"anchor": "y2" if both else "y"},
        y=top or (percents if profile.usage else shares),
        extra={**_LAYOUT, "shapes": _breaks(profile), **bottom},
        note=_note(profile, width_s),
        height=520 if both else 340,
        min_width=340,
    )


_LAYOUT: Final = {
    "barmode": "stack",
    "bargap": 0,
    "hovermode": "x unified",
    "legend": {"orientation": "h", "x": 0, "y": -0.16, "yanchor": "top", "font": {"size": 11}},
}


def _title(profile: Summary) -> str:
    if profile.usage and profile.phases:
        return "The machine above, the phases of the loop below"
    return "The machine" if profile.usage else "The phases of the loop"


def _places(profile: Summary) -> int:
    series = profile.usage.series.at if profile.usage else profile.phases.bands.at if profile.phases else ()
    return len(series)


def _note(profile: Summary, width_s: float) -> str:
    notes = []
    if profile.usage and profile.usage.interval_s != width_s:
        notes.append(f"each point is {number(width_s)} s: the mean, of memory the highest")
    if profile.breaks:
        notes.append(f"the dotted {'line is' if len(profile.breaks) == 1 else 'lines are'} where it was gone on with")
    return "; ".join(notes)


def _machine(usage: Usage) -> list[Spec]:
    series = usage.series
    at = [round(each, 3) for each in series.at]
    least = list(zip(at, series.least_core, strict=True))
    traces = charts.band("least to most busy core", least, series.busiest_core, charts.QUIET)
    lines = (
        ("all cores", series.cpu, charts.QUIET),
        ("the job", series.job_cpu, charts.ACCENT),
        ("memory", series.memory, charts.SECOND),
        ("GPU", series.gpu, _COLOURS["evaluate"]),
    )
    cores = count(usage.cores, "core") if usage.cores else "all cores"
    for name, values, colour in lines:
        if any(value is not None for value in values):
            shown = f"{name} (of {cores})" if name == "the job" else name
            traces.append(_line(shown, at, values, {"color": colour, "width": 2} | _DASHES.get(name, {})))
    return traces


_DASHES: Final[Mapping[str, Spec]] = MappingProxyType({"memory": {"dash": "dot"}})  # its blue is also a phase's


def _line(name: str, at: Sequence[float], values: Sequence[float | None], looks: Spec) -> Spec:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": charts.label(name),
        "x": list(at),
        "y": [None if value is None else round(value, 1) for value in charts.numbers(values)],
        "line": looks,
        "connectgaps": True,
        "hovertemplate": "%{y:.0f} %",
    }


def _bands(bands: Bands, axis: str) -> list[Spec]:
    return [
        {
            "type": "bar",
            "name": charts.label(name),
            "x": [round(each, 3) for each in bands.at],
            "y": [round(100 * share, 1) for share in shares],
            "width": bands.width_s,
            "marker": {"color": _COLOURS.get(name, _OTHER), "line": {"width": 0}},
            "yaxis": axis,
            "hovertemplate": "%{y:.0f} %",
        }
        for name, shares in bands.shares.items()
    ]


def _breaks(profile: Summary) -> list[Spec]:
    look = {"color": charts.QUIET, "width": 1, "dash": "dot"}
    return [
        {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "xref": "x", "yref": "paper", "line": look}
        for at in profile.breaks
    ]
