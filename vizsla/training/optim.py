"""What moves the weights: which parameters learn how fast, the optimizer, and the schedule of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vizsla.plan import Plan
from vizsla.vision import networks

# plan.lr is the head's, which starts from nothing. Pretrained stages are nearly right and move this much slower:
# bench/README.md has the trials it was chosen by.
PRETRAINED_LR = 0.05
WARM_UP = 0.1  # share of all steps in which the learning rate rises from nothing to plan.lr


def prepare(net: nn.Module, plan: Plan, steps_per_epoch: int, head_begun: bool = False) -> tuple[Optimizer, LambdaLR]:
    """Optimizer and schedule for what is trained in `net`; biases and norms are not decayed.

    head_begun: the head begins with a probe, so it is as nearly right as pretrained stages are.
    """
    head_lr, body_lr = (plan.lr * (PRETRAINED_LR if right else 1.0) for right in (head_begun, pretrained(plan)))
    optimizer = _optimizer(plan, _groups(net, plan, (head_lr, body_lr)))
    return optimizer, LambdaLR(optimizer, schedule(plan, plan.epochs * steps_per_epoch))


def pretrained(plan: Plan) -> bool:
    """Whether the stages before the head have learned anything yet."""
    return plan.weights != "none"


def schedule(plan: Plan, total_steps: int) -> Callable[[int], float]:
    """Step, from 0 → share of the learning rate: a linear warm-up, then cosine to 0 or constant."""
    warm_steps = math.ceil(WARM_UP * total_steps)

    def share(step: int) -> float:
        if step < warm_steps:
            return (step + 1) / (warm_steps + 1)
        if plan.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_steps) / max(1, total_steps - warm_steps))))

    return share


def _groups(net: nn.Module, plan: Plan, lrs: tuple[float, float]) -> list[dict[str, Any]]:
    """lrs: of the head, and of all before it."""
    head = {id(parameter) for parameter in networks.head_parameters(net)}
    groups: list[dict[str, Any]] = []
    for is_head, lr in zip((True, False), lrs, strict=True):
        mine = [parameter for parameter in networks.trainable(net) if (id(parameter) in head) == is_head]
        groups.append({"params": [p for p in mine if p.ndim > 1], "lr": lr, "weight_decay": plan.weight_decay})
        groups.append({"params": [p for p in mine if p.ndim <= 1], "lr": lr, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _optimizer(plan: Plan, groups: list[dict[str, Any]]) -> Optimizer:
    match plan.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, lr=plan.lr, momentum=0.9, nesterov=True)
        case "adam":
            return torch.optim.Adam(groups, lr=plan.lr)
        case "adamw":
            return torch.optim.AdamW(groups, lr=plan.lr)
