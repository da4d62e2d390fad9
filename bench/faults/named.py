"""One fault for each rule, under the documented defaults, and the healthy training that differs in nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from bench.faults.loop import Training, conv_net, tower, train
from vizsla.analysis.rules import Evaluation, parse

OTHER = "{other}"  # in a rule: the folder of another run
STALL_S = 3.0

USUAL = Training()


@dataclass(frozen=True)
class Case:
    """A rule, as a user types it, and two trainings."""

    rule: str
    fault: str
    """What is wrong with the faulty one, for a person."""
    faulty: Training
    healthy: Training = USUAL


def judge(training: Training, cases: Sequence[Case], seed: int, place: Path) -> list[Evaluation]:
    """Trains once, in the empty folder `place`, under the rules of all `cases`: how each of them came out."""
    rules = {case.rule: case.rule for case in cases}
    for case in cases:
        if OTHER in case.rule:  # what the training is compared with has no fault
            train(case.healthy, seed, [], place / "other")
            rules[case.rule] = case.rule.replace(OTHER, str(place / "other"))
    found = train(training, seed, list(rules.values()), place / "run")
    return [found[parse(rules[case.rule]).rule] for case in cases]


def _scaled(net: nn.Module, factor: float) -> None:
    """Every weight that is no scale of a norm, times a factor."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)


def _dead(net: nn.Module) -> None:
    """The last norm's biases so low that nothing gets above zero."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    nn.init.constant_(norms[-1].bias, -10.0)


def _saturated(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.constant_(module.bias, 50.0)


def _zero(net: nn.Module) -> None:
    _scaled(net, 0.0)


def _huge(net: nn.Module) -> None:
    _scaled(net, 100.0)


PLAIN = Training(net=partial(conv_net, norm=False), lr=0.05, sgd=True)
TANH = Training(net=partial(conv_net, activation=nn.Tanh, norm=False))
BY_HEART = Training(kinds=(5, 5, 5, 5), epochs=100, true_labels=False)
EVERY_EPOCH = Training(epochs=16)
ONCE = replace(EVERY_EPOCH, validated=False)

CASES = (
    Case(
        "vanishing_gradient",
        "a tower of 12 sigmoids, no norms (healthy: of ReLUs, with norms)",
        Training(net=partial(tower, activation=nn.Sigmoid, norm=False), epochs=2),
        Training(net=partial(tower, activation=nn.ReLU, norm=True), epochs=2),
    ),
    Case("exploding_tensor", "a learning rate of 1000, no norms, SGD", replace(PLAIN, lr=1e3), PLAIN),
    Case("exploding_tensor", "one pixel of one picture is no number", replace(USUAL, broken_pixel=True)),
    Case("overfit", "20 pictures, labels at random, 100 epochs", BY_HEART),
    Case("overtraining", "20 pictures, labels at random, 100 epochs", BY_HEART),
    Case("poor_weight_initialization", "all weights zero", replace(USUAL, begin=_zero)),
    Case("poor_weight_initialization", "weights 100 times too large, no norms", replace(PLAIN, begin=_huge), PLAIN),
    Case("loss_not_decreasing", "a learning rate of 1000", replace(USUAL, lr=1e3)),
    Case("loss_not_decreasing", "a learning rate of 1e-9", replace(USUAL, lr=1e-9)),
    Case("weight_update_ratio", "a learning rate of 1000", replace(USUAL, lr=1e3)),
    Case("weight_update_ratio", "a learning rate of 1e-12", replace(USUAL, lr=1e-12)),
    Case("dead_relu", "biases of -10 before the last ReLU", replace(USUAL, begin=_dead)),
    Case("saturated_activation", "biases of 50 before tanh", replace(TANH, begin=_saturated), TANH),
    Case("all_zero:collection_names=weights", "all weights zero", replace(USUAL, begin=_zero)),
    Case(
        "unchanged_tensor:collection_names=weights",
        "the optimizer was not given the first layer",
        replace(USUAL, forgotten="0."),
    ),
    Case(
        "tensor_variance:collection_names=weights,max_threshold=10",
        "weights 100 times too large",
        replace(USUAL, begin=_huge),
    ),
    Case("class_imbalance", "classes of 297 and 3 pictures", Training(kinds=(297, 3)), Training(kinds=(150, 150))),
    Case("confusion", "two classes show the same", replace(EVERY_EPOCH, look_alike=True), EVERY_EPOCH),
    Case("confusion", "the same, validated once, at the end", replace(ONCE, look_alike=True), ONCE),
    Case("check_input_images", "pixels of 0 to 255", replace(USUAL, normalised=False)),
    Case(
        f"similar_across_runs:other_trials={OTHER}",
        "the pictures come in another order",
        replace(USUAL, other_order=True),
    ),
    Case(
        f"stalled_training_rule:threshold={STALL_S - 1:g}",
        f"the loop stands still for {STALL_S:g} s",
        replace(USUAL, pause_s=STALL_S),
    ),
)
