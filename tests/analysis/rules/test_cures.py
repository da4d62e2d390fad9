"""Cures: never what is so already, and no value that cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.analysis.rules.making import PLAN, epochs, judge, saved_losses, tensor
from vizsla.analysis.rules import Context, cures


def plan(**changed: Any) -> dict[str, Any]:
    return PLAN | changed


@pytest.mark.parametrize(("lr", "lower"), [(0.01, "0.001"), (0.5, "0.05"), (1.0, "0.1"), (1000.0, "0.01")])
def test_a_lower_learning_rate_is_one_to_train_with(lr: float, lower: str) -> None:
    assert f"--set lr={lower} " in cures.lower_lr(plan(lr=lr))


@pytest.mark.parametrize(("lr", "higher"), [(1e-5, "0.0001"), (0.05, "0.1")])
def test_a_higher_learning_rate_has_a_bound(lr: float, higher: str) -> None:
    assert f"--set lr={higher} " in cures.higher_lr(plan(lr=lr))


def test_a_high_learning_rate_is_not_raised() -> None:
    assert "--set" not in cures.higher_lr(plan(lr=0.1))


def test_what_is_so_already_is_not_asked_for() -> None:
    assert "--set train_from=head" in cures.from_pretrained(plan())
    assert "--set" not in cures.from_pretrained(plan(train_from="head"))
    assert "weights=pretrained" in cures.spared(plan(weights="none"))
    assert "weights=pretrained" not in cures.spared(plan())


def test_too_little_variance_is_not_cured_by_a_lower_learning_rate() -> None:
    flat = [tensor("Net_fc.weight", 0, "weights", variance=0.0)]
    rule = "tensor_variance:collection_names=weights,min_threshold=0.1"
    found = {
        decay: judge(rule, flat, Context(settings=plan(weight_decay=decay))).findings[0].cure for decay in (0.01, 0)
    }
    assert "--set weight_decay=0.001 " in found[0.01]
    assert "--set" not in found[0]


def test_random_layers_that_are_frozen_are_named() -> None:
    still = saved_losses([1.0] * 20)
    (finding, *_) = judge("loss_not_decreasing", still, Context(settings=plan(weights="none"))).findings
    assert "--set weights=pretrained, or --set train_from=all" in finding.cure
    for settings in (plan(), plan(weights="none", train_from="all"), plan(weights="none", lr=1.0)):
        (finding, *_) = judge("loss_not_decreasing", still, Context(settings=settings)).findings
        assert "--set lr=" in finding.cure


def test_a_loss_that_falls_from_far_above_its_first_says_what_is_compared() -> None:
    rule = "loss_not_decreasing:by_epoch=true,mode=train,num_steps=1,enough_percent=10"
    (finding,) = judge(rule, epochs([2.0, 1.0], [1.0, 1.0])).findings
    assert "is 1, and the first loss recorded was 0.693: it is above that, though it fell by 50 %" in finding.message
