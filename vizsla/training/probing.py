"""The probes of a job: fitted on features, put into a head to be fine-tuned from, or kept as a network of their own."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from torch import nn

from vizsla.errors import UserError
from vizsla.plan import Plan
from vizsla.training import probe
from vizsla.training.data import Photos
from vizsla.training.probe import Probe, Stages
from vizsla.training.source import Source
from vizsla.vision.pooled import load_head

log = logging.getLogger("vizsla.train")


@dataclass(frozen=True)
class Probes:
    """`last` looks at the last stage, and a head can begin with it; `best` is that, or one that looks at several."""

    last: Probe
    best: Probe


def fit(plan: Plan, source: Source, train: Photos, valid: Photos) -> Probes | None:
    """None where the network has nothing pooled, or there is no room for it."""
    last = _fit(plan, source, (train, valid), "last")
    if last is None:
        log.info("no probe: the head begins from zero")
        return None
    several = _fit(plan, source, (train, valid), "all", last.l2)
    if several is None:
        return Probes(last, last)
    return Probes(last, several if plan.probe.stages == "all" else probe.better(last, several))


def into_head(net: nn.Module, last: Probe, plan: Plan) -> bool:
    """Lets the classifier of `net` begin with a probe; False where it is not one linear layer.

    Raises UserError for that where a probe is all that is asked for.
    """
    try:
        load_head(net, last.weight_CD, last.bias_C)
    except UserError as error:
        if plan.method == "probe":
            raise
        log.info("the head begins from zero: %s", error.message)
        return False
    return True


def _fit(
    plan: Plan, source: Source, splits: tuple[Photos, Photos], stages: Stages, near: float | None = None
) -> Probe | None:
    output = "pooled" if stages == "last" else "stages"
    if not source.features or not source.has(output):
        return None
    train, valid = (source.features.split(photos, output).pooled() for photos in splits)
    fitted = probe.fit(train, valid, len(splits[0].classes), plan.probe, stages, near)
    looked_at = "the last stage" if stages == "last" else "several stages"
    scores = fitted.valid_loss, fitted.valid_accuracy, fitted.l2
    log.info("probe of %s: valid loss %.4f, accuracy %.4f, l2 %g", looked_at, *scores)
    return fitted
