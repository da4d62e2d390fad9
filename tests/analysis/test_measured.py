"""The plot beside a verdict: it shows what the rule measured, and passes the threshold where something is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.analysis.tensors import gradients, relu_outputs, tensor
from vizsla.analysis import measured, rules
from vizsla.analysis.charts import Chart
from vizsla.analysis.rules import Context
from vizsla.records import Record


def loss(mode: str, epoch: int, value: float) -> Record:
    name = "epoch_train_loss" if mode == "train" else "valid_loss"
    return Record(t=epoch, kind="metric", name=name, mode=mode, step=epoch - 1, epoch=epoch, value=value)


def losses(pairs: Sequence[tuple[float, float]]) -> list[Record]:
    """(train, valid) of each epoch."""
    both = enumerate(pairs, 1)
    return [
        loss(mode, epoch, value) for epoch, pair in both for mode, value in zip(("train", "eval"), pair, strict=True)
    ]


def weights(ratios: Sequence[float]) -> list[Record]:
    """A tensor that moves by so much of itself at each step."""
    return [
        tensor("Net_a.weight", step, "weights", change_abs_mean=ratio, previous_abs_mean=1.0, variance=ratio)
        for step, ratio in enumerate(ratios)
    ]


def labels(batches: Sequence[Sequence[int]]) -> list[Record]:
    return [tensor("labels", step, "labels", indices=list(batch)) for step, batch in enumerate(batches)]


EDGES = (-23.0, -16.99999, -9.4999, -5.0, 0.0, 5.0, 9.4999, 16.99999, 23.0)


def tanh_inputs(saturated: Sequence[int]) -> list[Record]:
    """Of four units so many have all their inputs far above the limit, step by step."""
    found = []
    for step, count in enumerate(saturated):
        shares: dict[str, Any] = {f"cdf:{edge:g}": [0.0] * count + [float(edge >= 0)] * (4 - count) for edge in EDGES}
        found.append(tensor("act_input_0", step, "activation_inputs", **shares, type="Tanh"))
    return found


# A rule, records under which it finds something at some places, the number that is drawn there, and its threshold.
CASES: dict[str, tuple[list[Record], float]] = {
    "vanishing_gradient": (gradients({"Net_a.weight": [1e-3, 1e-8, 1e-9]}, steps=(0, 10, 20)), 1e-7),
    "dead_relu": (relu_outputs({"act": [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]}, steps=(0, 1, 2)), 50),
    "saturated_activation": (tanh_inputs([0, 1, 3, 4]), 50),
    "weight_update_ratio": (weights([1e-3, 100.0, 1e-3]), 10),
    "tensor_variance:collection_names=weights,max_threshold=0.5": (weights([0.1, 0.7, 0.2]), 0.5),
    "all_zero:collection_names=weights,threshold=90": (
        [tensor("Net_a.weight", step, "weights", zeros=share) for step, share in enumerate((0.2, 0.9, 1.0))],
        90,
    ),
    "overfit": (losses([(1.0, 1.05), (0.5, 0.9), (0.2, 1.2)]), 0.1),
    "overtraining:patience_train=1,patience_validation=2,by_epoch=true": (
        losses([(1.0, 1.0), (1.0, 1.1), (1.0, 1.2), (1.0, 1.3)]),
        2,
    ),
    "loss_not_decreasing:by_epoch=true,num_steps=1,mode=eval": (losses([(1.0, 1.0), (0.9, 0.5), (0.8, 0.6)]), 0.1),
    "poor_weight_initialization": (
        [
            tensor(f"act{place}_input_0", step, "activation_inputs", type="ReLU", variance=variance)
            for step, pair in enumerate(((1.0, 2.0), (1.0, 30.0)))
            for place, variance in enumerate(pair)
        ],
        10,
    ),
    "class_imbalance:samples=4": (labels([[0, 0, 0, 1], [0] * 60, [0, 0, 0, 1]]), 10),
    "check_input_images:threshold_samples=8": (
        [
            tensor("Net_input_0", step, "inputs", channel_mean=[mean, 0.0], channel_variance=[1.0, 1.0], samples=8)
            for step, mean in enumerate((0.1, 0.9))
        ],
        0.2,
    ),
}


def drawn(asked: str, records: Sequence[Record]) -> tuple[rules.Evaluation, Chart | None]:
    found = rules.evaluate(rules.parse(asked), records, finished=True)
    return found, measured.chart(found, records, Context())


def points(trace: dict[str, Any]) -> dict[int, float]:
    return dict(zip(trace["x"], trace["y"], strict=True))


@pytest.mark.parametrize("asked", CASES)
def test_the_plot_shows_what_the_rule_measured(asked: str) -> None:
    records, threshold = CASES[asked]
    found, chart = drawn(asked, records)
    assert found.status == "IssuesFound"
    assert chart is not None
    curve = points(chart.traces[0])
    for finding in found.findings:
        at = finding.epoch if finding.epoch is not None else finding.step
        assert at in curve
        assert pytest.approx(curve[at]) in finding.measured.values()
    assert [threshold, threshold] in [trace["y"] for trace in chart.traces[1:]]


@pytest.mark.parametrize("asked", CASES)
def test_where_the_rule_finds_nothing_the_plot_goes_on(asked: str) -> None:
    records, _ = CASES[asked]
    found, chart = drawn(asked, records)
    assert chart is not None
    accused = {finding.epoch if finding.epoch is not None else finding.step for finding in found.findings}
    assert set(points(chart.traces[0])) > accused


@pytest.mark.parametrize("asked", CASES)
def test_plotly_knows_every_property_of_the_plot(asked: str) -> None:
    from plotly.graph_objects import Figure

    _, chart = drawn(asked, CASES[asked][0])
    assert chart is not None
    Figure(chart.spec())


def test_what_else_a_rule_measures_is_not_drawn_as_zero() -> None:
    records = [one for one in CASES["poor_weight_initialization"][0] if one.step]
    records.insert(0, Record(t=1.0, kind="metric", name="train_loss", mode="train", step=0, value=1.0))
    _, chart = drawn("poor_weight_initialization", records)
    assert chart is not None
    assert list(points(chart.traces[0])) == [1]


def spans(values: Sequence[float]) -> list[Record]:
    """A gradient whose percentiles are so far apart, step by step."""
    return [
        tensor("gradient/Net_a.weight", step, "gradients", abs_mean=1e-3, p5=0.0, p95=value)
        for step, value in enumerate(values)
    ]


def answers(wrong: Sequence[int]) -> list[Record]:
    """Of four photos so many are taken for another class, step by step."""
    found = []
    for step, count in enumerate(wrong):
        found.append(tensor("labels", step, "labels", indices=[0] * 4))
        found.append(tensor("predictions", step, "predictions", indices=[1] * count + [0] * (4 - count)))
    return found


def train_losses(values: Sequence[float]) -> list[Record]:
    return [tensor("loss_output_0", step, "losses", value=value) for step, value in enumerate(values)]


@pytest.mark.parametrize(
    ("asked", "records", "expected", "limit"),
    [
        ("poor_weight_initialization", spans([0.1, 1e-5]), {0: 0.1, 1: 1e-5}, 0.001),
        ("poor_weight_initialization:patience=2", train_losses([1.0, 1.0, 1.0]), {1: 1, 2: 2}, 2),
        ("class_imbalance:samples=4", answers([0, 1, 4]), {1: 0.25, 2: 1.0}, 0.7),
    ],
)
def test_of_what_a_rule_measures_that_is_drawn_which_it_accuses(
    asked: str, records: list[Record], expected: dict[int, float], limit: float
) -> None:
    found, chart = drawn(asked, [*CASES["poor_weight_initialization"][0][:2], *records])
    assert found.status == "IssuesFound"
    assert chart is not None
    assert points(chart.traces[0]) == expected
    assert chart.traces[-1]["y"] == [limit, limit]


def test_of_many_tensors_the_worst_of_each_step_is_drawn() -> None:
    rows = {"Net_a.weight": [1e-3, 1e-4], "Net_b.weight": [1e-5, 1e-2]}
    _, chart = drawn("vanishing_gradient", gradients(rows, steps=(0, 1)))
    assert chart is not None
    assert points(chart.traces[0]) == {0: 1e-5, 1: 1e-4}


def test_zero_has_its_place_on_an_axis_of_powers() -> None:
    _, chart = drawn("weight_update_ratio", weights([1e-3, 0.0]))
    assert chart is not None
    assert points(chart.traces[1])[1] == pytest.approx(1e-9)
    assert chart.y["type"] == "log"


def test_what_is_far_above_its_threshold_has_an_axis_of_powers() -> None:
    _, usual = drawn("overfit", losses([(1.0, 1.2), (1.0, 50.0)]))
    _, far = drawn("overfit", losses([(1.0, 0.5), (1.0, 1.2), (1.0, 5e4)]))
    assert usual is not None
    assert far is not None
    assert (usual.y, far.y["type"]) == ({}, "log")
    assert points(far.traces[0])[1] == pytest.approx(0.01)  # below the training loss: at the foot


def test_a_loss_that_exploded_does_not_press_the_others_flat() -> None:
    _, chart = drawn("loss_not_decreasing:by_epoch=true,num_steps=1", losses([(1.0, 1.0), (1.0, 0.5), (1.0, 5e5)]))
    assert chart is not None
    assert points(chart.traces[0]) == {2: 50, 3: -100}


def test_a_long_training_is_drawn_by_its_worst_steps() -> None:
    values = [1e-3] * 5000
    values[1234] = 1e-12
    _, chart = drawn("vanishing_gradient", gradients({"Net_a.weight": values}, steps=range(5000)))
    assert chart is not None
    curve = points(chart.traces[0])
    assert len(curve) <= measured.MOST_POINTS
    assert min(curve.values()) == 1e-12


@pytest.mark.parametrize("asked", ["exploding_tensor", "dead_relu", "stalled_training_rule"])
def test_a_rule_that_measured_nothing_that_could_be_drawn_has_no_plot(asked: str) -> None:
    assert drawn(asked, losses([(1.0, 1.0)]))[1] is None
