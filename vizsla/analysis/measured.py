"""What a rule measured, step by step, against its threshold: the plot beside its verdict.

A rule says what it measured only where it finds something. So it is asked once more with a threshold that nothing can
meet: then it says so of everything, and the plot shows what the rule itself computes, never a second opinion. The
profiler's rules have none here: what they look at is drawn over the time of the job, in sections of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from vizsla.analysis import charts, rules
from vizsla.analysis.charts import Chart, Spec
from vizsla.analysis.rules import Context, Evaluation, Finding
from vizsla.errors import UserError
from vizsla.job import RuleRequest
from vizsla.records import Record
from vizsla.words import count, number

MOST_POINTS = 400  # in one curve; of those that fall together the worst is drawn
_WIDE: Final = 1000  # times its threshold: what is larger is drawn on an axis of powers
_HUGE: Final = "1e300"
_TINY: Final = "1e-300"
_MODES: Final = ("train", "global", None, "eval", "predict")  # the first that was measured is drawn

Points = list[tuple[int, float]]
Worst = Callable[[Iterable[float]], float]
_LARGEST: Final[tuple[str, Worst]] = ("largest", max)
_SMALLEST: Final[tuple[str, Worst]] = ("smallest", min)


@dataclass(frozen=True, slots=True)
class Probe:
    """How to make a rule speak, and what of it is drawn."""

    strict: Mapping[str, str]
    """Parameters under which each measurement is a finding."""
    number: str
    """Its name among the numbers of a finding."""
    limits: Sequence[str]
    """The parameters it is held against."""
    axis: str
    worst: Sequence[tuple[str, Worst]] = (_LARGEST,)
    """The lines that are drawn: of the tensors of one step, which."""
    power: bool = False
    """Whether the axis is one of powers of ten."""
    least: float = -math.inf
    """What is below is drawn there."""
    silent_is_zero: bool = True
    """Whether a measurement that even now is no finding was 0. Not where the rule measures other things too."""


def _furthest(values: Iterable[float]) -> float:
    return max(map(abs, values))


_PROBES: Mapping[str, Probe] = MappingProxyType(
    {
        "VanishingGradient": Probe(
            {"threshold": _HUGE, "patience": "1", "share_of_largest": "1"},
            "abs_mean",
            ["threshold"],
            "mean |gradient|",
            [_SMALLEST],
            power=True,
        ),
        "WeightUpdateRatio": Probe(
            {"large_threshold": "0", "small_threshold": "0"},
            "ratio",
            ["large_threshold", "small_threshold"],
            "update / weight",
            [_LARGEST, _SMALLEST],
            power=True,
        ),
        "DeadRelu": Probe({"threshold_layer": "0"}, "percent", ["threshold_layer"], "dead units of a layer (%)"),
        "SaturatedActivation": Probe(
            {"threshold_layer": "0"}, "percent", ["threshold_layer"], "saturated units of a layer (%)"
        ),
        "AllZero": Probe({"threshold": "0"}, "percent", ["threshold"], "zeros of a tensor (%)"),
        "TensorVariance": Probe(
            {"max_threshold": "0", "min_threshold": "0"},
            "variance",
            ["max_threshold", "min_threshold"],
            "variance",
            [_LARGEST, _SMALLEST],
            power=True,
        ),
        "PoorWeightInitialization": Probe(
            {"threshold": _TINY, "distribution_range": "0", "patience": "1000000"},
            "times",
            ["threshold"],
            "largest / smallest variance of activation inputs",
            power=True,
            silent_is_zero=False,
        ),
        "Overfit": Probe(
            {"ratio_threshold": "0", "patience": "1", "rise_percent": "0", "least_gap": "0"},
            "ratio",
            ["ratio_threshold"],
            "how far the validation loss is above the training loss (share)",
        ),
        "ClassImbalance": Probe(
            {"threshold_imbalance": "1", "threshold_misprediction": "1"},
            "ratio",
            ["threshold_imbalance"],
            "photos of the largest / of the smallest class",
            silent_is_zero=False,
        ),
        "CheckInputImages": Probe(
            {"threshold_mean": "0"}, "mean", ["threshold_mean"], "mean of a channel", [("furthest from 0", _furthest)]
        ),
        "Overtraining": Probe(
            {"patience_train": "1", "patience_validation": "1"},
            "since_valid",
            ["patience_validation"],
            "validations without progress",
        ),
        "LossNotDecreasing": Probe(
            {"diff_percent": "99.999", "enough_percent": "0"},
            "fall_percent",
            ["diff_percent"],
            "fall of the loss (%; rises by 100 and more at -100)",
            [_SMALLEST],
            least=-100,
        ),
    }
)

# Of rules that measure several things: what is drawn instead where the first finding is about it.
_OTHERS: Mapping[str, Sequence[Probe]] = MappingProxyType(
    {
        "PoorWeightInitialization": (
            Probe(
                {"distribution_range": _HUGE, "share_of_largest": "1", "patience": "1000000"},
                "range",
                ["distribution_range"],
                "gradient, from its 5th to its 95th percentile",
                [_SMALLEST],
                power=True,
                silent_is_zero=False,
            ),
            Probe(
                {"patience": "1"}, "steps", ["patience"], "steps without a new low of the loss", silent_is_zero=False
            ),
        ),
        "ClassImbalance": (
            Probe(
                {"threshold_misprediction": "0"},
                "misprediction",
                ["threshold_misprediction"],
                "photos of a class taken for others (share)",
                silent_is_zero=False,
            ),
        ),
    }
)


def chart(found: Evaluation, records: Iterable[Record], context: Context) -> Chart | None:
    """The measured value against its threshold; None for a rule that has no such thing, or measured nothing."""
    probe = _probe(found)
    if probe is None or not found.datapoints:
        return None
    findings = _of_one_mode([each for each in _asked(found, probe, records, context) if probe.number in each.measured])
    limits = {name: float(value) for name in probe.limits if (value := found.parameters.get(name)) is not None}
    sizes = [*limits.values(), *(finding.measured[probe.number] for finding in findings)]
    power = probe.power or _is_wide(sizes, limits.values())
    least = min((size for size in sizes if size > 0), default=1.0) / 10 if power else probe.least  # a log axis has no 0
    curves = [_curve(findings, probe.number, worst, least) for _, worst in probe.worst]
    points = sorted({at for curve in curves for at, _ in curve})
    if not points:
        return None
    drawn = [*limits.values(), *(value for curve in curves for _, value in curve)]
    unit = "epoch" if _by_epoch(findings) else "step"
    alone = len(findings) == len(points)  # one measurement at each place, so there is nothing to choose among
    names = ["measured" if alone else f"{name} of the {unit}" for name, _ in probe.worst]
    traces = [charts.line(*line) for line in zip(names, curves, _COLOURS, strict=False)]
    traces += [_limit(name, value, points) for name, value in limits.items()]
    return Chart(
        title=probe.axis,
        summary=f"{probe.axis} at {count(len(points), unit)}, and what it is held against.",
        traces=traces,
        x=charts.counting(unit, points[-1]),
        y=charts.powers(drawn) if power else {},
        height=260,
    )


def _probe(found: Evaluation) -> Probe | None:
    """What is drawn: the measurement that the first finding is about."""
    fired = found.findings[0].measured if found.findings else {}
    return next((one for one in _OTHERS.get(found.rule, ()) if one.number in fired), _PROBES.get(found.rule))


_COLOURS: Final = (charts.ACCENT, charts.SECOND)


def _asked(found: Evaluation, probe: Probe, records: Iterable[Record], context: Context) -> list[Finding]:
    """Everything the rule has to say under a threshold that nothing meets."""
    given = {name: str(value) for name, value in found.parameters.items() if value is not None}
    given |= {name: value for name, value in probe.strict.items() if name in found.parameters}
    try:
        rule = rules.make(RuleRequest(name=found.name, rule=found.rule, parameters=given), context)
    except UserError:  # its other parameters forbid such a threshold
        return []
    said: list[Finding] = []
    silent: list[Finding] = []
    for record in records:
        before = rule.datapoints
        new = list(rule.see(record))
        said += new
        if probe.silent_is_zero and rule.datapoints > before and not new:
            silent.append(rule.found(record, "", "", **{probe.number: 0.0}))
    said += rule.done(None)
    return said + silent if said else []


def _of_one_mode(findings: Sequence[Finding]) -> list[Finding]:
    """Steps count within their mode, so only those of one can share an axis."""
    return next((some for mode in _MODES if (some := [each for each in findings if each.mode == mode])), [])


def _by_epoch(findings: Sequence[Finding]) -> bool:
    """Whether it was measured once an epoch: then that is how people count it."""
    epochs = [finding.epoch for finding in findings]
    return None not in epochs and len(set(epochs)) == len(epochs)


def _is_wide(sizes: Iterable[float], limits: Iterable[float]) -> bool:
    """Whether the threshold would lie on the axis itself if that were not one of powers."""
    largest = max((size for size in sizes if math.isfinite(size)), default=0.0)
    return any(0 < limit < largest / _WIDE for limit in limits)


def _curve(findings: Sequence[Finding], name: str, worst: Worst, least: float) -> Points:
    """The worst finite value at each place, at no more than so many places. least: where all below is drawn."""
    by_epoch = _by_epoch(findings)
    values: dict[int, list[float]] = {}
    for finding in findings:
        at, value = finding.epoch if by_epoch else finding.step, finding.measured.get(name)
        if at is not None and value is not None and math.isfinite(value):
            values.setdefault(at, []).append(max(value, least))
    points = [(at, worst(found)) for at, found in sorted(values.items())]
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], worst(value for _, value in group)) for group in groups]


def _limit(name: str, value: float, points: Sequence[int]) -> Spec:
    """A threshold as a line over the whole width."""
    line = {"color": charts.QUIET, "width": 2, "dash": "dash"}
    title = f"{name} {number(value)}"
    return charts.line(title, [(points[0], value), (points[-1], value)], charts.QUIET) | {"mode": "lines", "line": line}
