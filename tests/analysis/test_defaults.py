"""The rules of every `vizsla train`: quiet on trainings as they are, loud on ones that went wrong."""

from __future__ import annotations

import pytest

from tests.analysis.rules.making import epochs, labelled, tensor
from vizsla import keys
from vizsla.analysis import defaults
from vizsla.analysis.rules import evaluate, find, make
from vizsla.records import Record

# Losses of real runs, by epoch. ELPV: 2,624 photos of 2 classes, dogs: 1,000 of 120; the last stage and the head.
HEALTHY = {
    "elpv, 10 epochs": (
        [0.476, 0.389, 0.330, 0.304, 0.274, 0.265, 0.224, 0.219, 0.198, 0.186],
        [0.482, 0.394, 0.365, 0.351, 0.356, 0.333, 0.334, 0.316, 0.329, 0.332],
    ),
    "elpv, 8 epochs": (
        [0.491, 0.346, 0.323, 0.313, 0.256, 0.230, 0.208, 0.206],
        [0.425, 0.420, 0.417, 0.334, 0.348, 0.346, 0.344, 0.340],
    ),
    "elpv, 240 photos": (
        [0.683, 0.562, 0.439, 0.530, 0.426, 0.434, 0.357, 0.333],
        [0.614, 0.538, 1.367, 0.747, 0.524, 0.551, 0.434, 0.418],
    ),
    "easy photos": ([0.870, 0.067, 0.011], [0.092, 0.010, 0.006]),
    "dogs, 2 epochs, the head alone": ([4.455, 2.530], [3.442, 3.063]),
    "dogs, 8 epochs": (  # the last stage as well: learnt by heart, and right as often as ever
        [3.876, 0.551, 0.108, 0.048, 0.009, 0.006, 0.005, 0.003],
        [1.854, 1.514, 1.293, 1.254, 1.313, 1.329, 1.319, 1.317],
    ),
}
FEW_PHOTOS = (  # 20 photos of ELPV, the first 22 of 100 epochs
    [
        *(0.693, 0.655, 0.578, 0.458, 0.328, 0.191, 0.118, 0.271, 0.252, 0.227, 0.043),
        *(0.066, 0.098, 0.025, 0.037, 0.014, 0.002, 0.001, 0.019, 0.005, 0.000, 0.001),
    ],
    [
        *(0.680, 0.664, 0.679, 0.803, 1.086, 1.455, 1.920, 2.357, 2.497, 2.761, 2.987),
        *(3.201, 3.287, 3.513, 3.733, 3.906, 4.129, 4.371, 4.614, 4.850, 5.079, 5.318),
    ],
)
SHUFFLED = (  # 240 photos of ELPV with their labels shuffled, the first 12 of 30 epochs
    [0.702, 0.687, 0.625, 0.580, 0.656, 0.570, 0.537, 0.473, 0.489, 0.383, 0.411, 0.341],
    [0.703, 0.725, 0.827, 1.116, 0.899, 0.806, 0.851, 1.121, 1.025, 1.210, 1.001, 1.109],
)


def accusers(records: list[Record]) -> set[str]:
    found = [evaluate(request, records, True) for request in defaults.requests()]
    assert "Error" not in {each.status for each in found}
    return {each.rule for each in found if each.status == "IssuesFound"}


def test_the_six_rules_of_the_issue() -> None:
    assert set(defaults.PROFILE) == {
        *("VanishingGradient", "Overfit", "Overtraining"),
        *("PoorWeightInitialization", "LossNotDecreasing", "ClassImbalance"),
    }


def test_each_difference_is_one_and_has_a_reason() -> None:
    for request in defaults.requests():
        documented = find(request.rule).Parameters.model_validate({}).model_dump()
        ours = make(request).parameters.model_dump()
        for difference in defaults.PROFILE[request.rule]:
            assert ours[difference.parameter] != documented[difference.parameter]
            assert difference.reason.endswith(".")
        names = {key.name for key in keys.declared(find(request.rule).Parameters)}
        assert set(request.parameters) <= names


@pytest.mark.parametrize("run", HEALTHY)
def test_healthy_trainings_are_not_accused(run: str) -> None:
    train, valid = HEALTHY[run]
    first = 5.041 if run.startswith("dogs") else 1.099 if run.startswith("easy") else 0.693
    assert accusers(epochs(train, valid, first)) == set()


def test_twenty_photos_are_learnt_by_heart() -> None:
    assert accusers(epochs(*FEW_PHOTOS)) == {"Overfit", "Overtraining"}


def test_shuffled_labels_are_learnt_by_heart() -> None:
    assert "Overfit" in accusers(epochs(*SHUFFLED))


@pytest.mark.parametrize("train", [[0.693, 0.6929], [900.0, 400.0, 90.0], [0.7, float("nan")]])
def test_a_learning_rate_far_off_is_seen(train: list[float]) -> None:
    assert "LossNotDecreasing" in accusers(epochs(train, [0.69] * len(train)))


def test_a_head_that_starts_at_zero_is_no_fault() -> None:
    """No gradient passes it at step 0, and little in the next few."""
    head = tensor("Net_fc.weight", 0, "weights", zeros=1.0)
    steps = []
    for step in range(10):
        body = {"abs_mean": 1e-7 * step, "p5": -1e-7 * step, "p95": 1e-7 * step}
        steps += [
            tensor("act_input_0", step, "activation_inputs", variance=1.0),
            tensor("block.1.act_input_0", step, "activation_inputs", variance=900.0),
            tensor("gradient/Net_conv.weight", step, "gradients", **body),
            tensor("gradient/Net_conv.bias", step, "gradients", abs_mean=0.0, p5=0.0, p95=0.0),
            tensor("gradient/Net_fc.weight", step, "gradients", abs_mean=0.1, p5=-0.1, p95=0.1),
        ]
    losses = [0.693, 0.672, 0.649, 0.632, 0.593, 0.611, 0.549, 0.522, 0.466, 0.548]
    steps += [Record(10.0 + at, "metric", "train_loss", "train", at, value=value) for at, value in enumerate(losses)]
    assert accusers([head, *steps]) == set()


def test_layers_that_gradients_do_not_reach_are_seen() -> None:
    tower = [
        tensor(f"gradient/Net_{layer}.weight", step, "gradients", abs_mean=10.0**-layer)
        for step in range(10)
        for layer in range(10)
    ]
    assert accusers(tower) == {"VanishingGradient"}


@pytest.mark.parametrize(
    ("variances", "span"),
    [((0.0, 0.0), 0.0), ((1.0, 1e9), 1e-3)],
    ids=["zero weights", "huge weights"],
)
def test_weights_that_training_cannot_begin_with_are_seen(variances: tuple[float, float], span: float) -> None:
    records = []
    for step in range(10):
        records += [
            *(tensor(f"{at}_input_0", step, "activation_inputs", variance=each) for at, each in enumerate(variances)),
            tensor("gradient/Net_fc.weight", step, "gradients", abs_mean=0.1, p5=-span, p95=span),
            Record(float(step), "metric", "train_loss", "train", step, value=0.693 if not span else 0.693 + step),
        ]
    assert "PoorWeightInitialization" in accusers(records)


def test_rare_classes_are_seen_and_uneven_ones_let_be() -> None:
    rare = [record for step in range(10) for record in labelled([0] * 99 + [1], step=step, mode="train")]
    assert accusers(rare) == {"ClassImbalance"}
    breeds = [breed for breed in range(120) for _ in range(1 + breed % 12)]
    dogs = [record for step in range(3) for record in labelled(breeds, breeds[::-1], step=step)]
    assert accusers(dogs) == set()
