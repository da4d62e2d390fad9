"""Learning curves: losses and accuracy by epoch with the kept epoch marked, training loss and learning rate by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from vizsla.analysis import charts, page
from vizsla.analysis.charts import Chart, Spec
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.analysis.series import Curve, Extra, Series, thinned
from vizsla.words import NONE, count, listed, loss, number, percent

MOST_POINTS = 1500  # in one curve: more cannot be told apart on a screen, and a page should stay small
_DASHED: Final = {"color": charts.SECOND, "width": 2, "dash": "dash"}
_SHARES: Final = {"minallowed": -0.02, "maxallowed": 1.02}  # of equal values plotly would draw as much above them
_RING: Final = {"symbol": "circle-open", "size": 15, "color": charts.ACCENT, "line": {"width": 2.5}}


def section(facts: JobFacts) -> Section:
    """The figures, and below them the numbers they were drawn from."""
    drawn = _charts(facts)
    parts = [page.render("sentences.html.j2", {"sentences": _sentences(facts)})]
    if drawn:
        parts.append(charts.html(drawn))
    if facts.series.finished_epochs:
        parts.append(page.render("details.html.j2", {"title": "The figures by epoch", "html": _table(facts)}))
    return Section("curves", "Learning curves", page.joined(parts))


def _charts(facts: JobFacts) -> list[Chart]:
    series, kept = facts.series, facts.kept_epoch
    found = []
    if series.finished_epochs:
        found.append(_loss(series, kept))
    if series.epochs["valid_accuracy"]:
        found.append(_accuracy(series, kept))
    if series.steps["train_loss"]:
        found.append(_by_step("Training loss by step", "train loss", series.steps["train_loss"]))
    if series.steps["lr"]:
        found.append(_by_step("Learning rate by step", "learning rate", series.steps["lr"]))
    return found + [_extra(name, extra) for name, extra in series.extras.items()]


def _loss(series: Series, kept: int | None) -> Chart:
    valid = series.epochs["valid_loss"]
    traces = [
        charts.line("train loss", series.epochs["train_loss"], charts.SECOND) | {"line": _DASHED},
        charts.line("valid loss", valid, charts.ACCENT),
        *_marked(valid, kept),
    ]
    return Chart(
        title="Loss by epoch",
        summary=f"Train and valid loss after each of {count(len(valid), 'epoch')}.",
        traces=traces,
        x=charts.counting("epoch", len(valid)),
        y=charts.axis("mean cross entropy (nats)"),
        extra={"hovermode": "x unified"},
    )


def _accuracy(series: Series, kept: int | None) -> Chart:
    curve = series.epochs["valid_accuracy"]
    return Chart(
        title="Valid accuracy by epoch",
        summary=f"Share of valid photos named right after each of {count(len(curve), 'epoch')}.",
        traces=[charts.line("valid accuracy", curve, charts.ACCENT), *_marked(curve, kept)],
        x=charts.counting("epoch", len(curve)),
        y=charts.axis("valid photos named right") | {"tickformat": ".0%", "autorangeoptions": _SHARES},
        extra={"hovermode": "x unified"},
    )


def _marked(curve: Curve, kept: int | None) -> list[Spec]:
    points = [point for point in curve if point.at == kept]
    looks = {"mode": "markers", "marker": _RING, "hoverinfo": "skip"}
    return [charts.line("kept epoch", points, charts.ACCENT) | looks] if points else []


def _by_step(title: str, name: str, curve: Curve) -> Chart:
    points, size = thinned(curve, MOST_POINTS)
    return Chart(
        title=title,
        summary=f"The {name} over {count(len(curve), 'step')}.",
        traces=[charts.line(name, points, charts.SECOND)],
        x=charts.counting("step", len(curve)),
        y=charts.axis(name),
        note=f"each point is the mean of {size} steps" if size > 1 else "",
    )


def _extra(name: str, extra: Extra) -> Chart:
    points, size = thinned(extra.curve, MOST_POINTS)
    return Chart(
        title=name,
        summary=f"{name}, {count(len(extra.curve), 'value')}.",
        traces=[charts.line(name, points, charts.ACCENT)],
        x=charts.counting("number of the value" if extra.by == "value" else extra.by, len(extra.curve)),
        y=charts.axis(""),
        note=f"each point is the mean of {size} values" if size > 1 else "",
    )


def _sentences(facts: JobFacts) -> list[str]:
    said = [_epochs(facts)]
    for word, curve in facts.series.epochs.items():
        broken = [str(point.at) for point in curve if not math.isfinite(point.value)]
        if broken:
            noun = "epoch" if len(broken) == 1 else "epochs"
            said.append(f"The {word.replace('_', ' ')} was not a finite number in {noun} {listed(broken)}.")
    return said


def _epochs(facts: JobFacts) -> str:
    done, planned, kept = facts.series.finished_epochs, facts.series.planned_epochs, facts.kept_epoch
    if not done and facts.series.extras:
        return "These are the metrics and losses that the script recorded."
    if not done:
        return (
            "No epoch has been finished yet." if not facts.finished else "No epoch was finished: there are no curves."
        )
    said = f"{done} of {count(planned, 'epoch')} finished." if planned else f"{count(done, 'epoch')} finished."
    if kept is None:
        return said
    if kept == 0:
        return f"{said} The probe (epoch 0, the head alone) is kept: no epoch has a lower valid loss."
    if facts.manifest:
        return f"{said} The weights of epoch {kept} are kept: its valid loss is the lowest."
    return f"{said} Epoch {kept} has the lowest valid loss{'' if facts.finished else ' so far'}."


def _table(facts: JobFacts) -> Markup:
    names = ("train_loss", "valid_loss", "valid_accuracy")
    by_epoch = {name: dict(facts.series.epochs[name]) for name in names}
    epochs = sorted(set().union(*by_epoch.values()))
    rows: Sequence[Sequence[str]] = [
        [
            str(epoch),
            loss(by_epoch["train_loss"].get(epoch)),
            loss(by_epoch["valid_loss"].get(epoch)),
            _share(by_epoch["valid_accuracy"].get(epoch)),
        ]
        for epoch in epochs
    ]
    best = epochs.index(facts.kept_epoch) if facts.kept_epoch in epochs else None
    columns = ("Epoch", "Train loss", "Valid loss", "Valid accuracy")
    return page.table(Table(columns, rows, numeric=frozenset(range(4)), best=best, tall=len(rows) > 15))


def _share(value: float | None) -> str:
    if value is None:
        return NONE
    return percent(value) if math.isfinite(value) else number(value)
