"""A plan and its photos → everything the loop needs, in the order things happen.

network → cut at train_from → execution → features of the frozen part → probe → learner. A sweep does the same once
before its trials, so that they find all of it in the cache.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from vizsla.job import DebugSettings, Launch
from vizsla.machine import cpus
from vizsla.memory import give_back
from vizsla.observers.saving import Saving
from vizsla.plan import Plan
from vizsla.training import forecast, planning, probing, source, trying
from vizsla.training.apart import Apart, take_apart
from vizsla.training.data import Photos, Split, cut
from vizsla.training.execution import Execution
from vizsla.training.forecast import Speeds
from vizsla.training.learner import Learner
from vizsla.training.loop import Start
from vizsla.training.prepare import Divided
from vizsla.training.probing import Probes
from vizsla.training.shelves import Room
from vizsla.training.source import Hear, Source
from vizsla.training.views import Views
from vizsla.vision import networks
from vizsla.vision.pooled import StagePooled

log = logging.getLogger("vizsla.train")


@dataclass(frozen=True)
class Asked:
    """Photos, a plan, what belongs to the machine, and a folder for what is kept while the job runs."""

    divided: Divided
    plan: Plan
    launch: Launch
    place: Path
    share: int = field(default_factory=cpus)
    """Cores of those who will train: a sweep's trials have less than the step before them."""


@dataclass(frozen=True)
class Ready:
    """What the loop is given."""

    learner: Learner
    train: Split
    valid: Split
    probes: Probes | None
    execution: Execution
    source: Source
    test: Photos
    start: Start | None = None
    """The better probe as a learner; None where a probe is not to be kept."""

    def held_out(self, learner: Learner, hear: Hear) -> Split:
        """The test photos as what `learner` begins with; asked for when the training is over."""
        return self.source.filled(self.test, learner.begins_with, hear) or self.test


def make(asked: Asked, hear: Hear, stack: ExitStack) -> Ready:
    """Everything up to the loop. What has to stay open while the loop runs is closed with `stack`."""
    plan, divided = asked.plan, asked.divided
    torch.manual_seed(plan.seed)
    net = networks.build(plan.model, len(divided.classes), plan.dropout, plan.weights, plan.image.size)
    apart = take_apart(net, plan)
    chosen = trying.choose(asked.launch.run, asked.place / "execution.json", apart, divided, plan, asked.share)
    give_back()  # what was tried for a moment
    net.to(memory_format=chosen.layout)
    _announce(asked, apart, chosen)
    train = divided.photos("train", chosen, Views(plan.views, plan.flips, plan.seed))
    valid = divided.photos("valid", chosen)
    there = _source(asked, apart, (train, valid), hear, stack)
    give_back()
    probes = probing.fit(plan, there, train, valid)
    give_back()
    begun = probes is not None and probing.into_head(net, probes.last, plan)
    known = there.split(train, apart.begins_with, _looks(asked, len(train))) if apart.loop else None
    learner = _learner(apart, chosen, begun, alone=known is None)
    ready = Ready(
        *(learner, known or train, _known(there, learner, valid), probes, chosen, there),
        test=divided.photos("test", chosen),
    )
    return replace(ready, start=_start(ready, apart, plan, valid))


def _announce(asked: Asked, apart: Apart, chosen: Execution) -> None:
    """Says how it will be done, why, and how long that takes."""
    plan, divided = asked.plan, asked.divided
    for reason in chosen.why:
        log.info("%s", reason)
    counted = planning.count(apart, divided, plan, chosen, asked.launch)
    probe_s = planning.probe_seconds(counted, divided, plan)
    speeds = Speeds(chosen.rates.get("read"), chosen.rates.get("train"), planning.running_s(), probe_s=probe_s)
    amounts = planning.amounts(divided, plan, counted, apart.whole, unchecked=0)
    log.info("%s", forecast.line(forecast.predict(amounts, speeds)))


def _known(there: Source, learner: Learner, photos: Photos) -> Split:
    return there.split(photos, learner.begins_with) or photos


def _source(asked: Asked, apart: Apart, splits: tuple[Photos, Photos], hear: Hear, stack: ExitStack) -> Source:
    room = Room(asked.launch.cache.max_gb, asked.place)
    found, said = source.open_source(apart, splits, asked.plan.model, room, stack)
    if said or apart.why:
        log.info("%s", said or f"every epoch runs the whole network: {apart.why}")
    return source.fill(found, splits, hear)


def _learner(apart: Apart, chosen: Execution, begun: bool, alone: bool) -> Learner:
    """alone: nothing is known of the training photos, so the learner runs the frozen part itself."""
    engine = trying.engine_of(apart, (apart.begins_with,), chosen) if apart.loop and alone else None
    return Learner(
        *(apart.whole, apart.loop.tail if apart.loop else apart.whole, apart.frozen, apart.loop, engine),
        begins_with=apart.begins_with if apart.loop else "",
        bfloat16=chosen.precision == "bfloat16",
        head_begun=begun,
    )


def _start(ready: Ready, apart: Apart, plan: Plan, valid: Photos) -> Start | None:
    """The better probe, to be measured before the first epoch; None where no probe is to be kept."""
    if plan.method == "finetune" or ready.probes is None:
        return None
    best, learner = ready.probes.best, ready.learner
    if best.stages == "all":
        net = StagePooled.of(plan.model, apart.whole, apart.taps, best.weight_CD, best.bias_C)
        learner = Learner(net, net.head, ready.learner.frozen, begins_with="stages")
    elif not learner.head_begun:
        return None
    return Start(learner, _known(ready.source, learner, valid), best.train_loss)


def _looks(asked: Asked, photos: int) -> frozenset[int]:
    """The first and the last step that the debugger saves: there it sees the whole network."""
    debug: DebugSettings = asked.launch.debug
    if not debug.collections:
        return frozenset()
    total = asked.plan.epochs * len(cut(list(range(photos)), asked.plan.batch_size))
    saved = Saving(debug.save_every, total, debug.start_step, debug.end_step)
    ends = (next((step for step in way if saved(step)), None) for way in (range(total), reversed(range(total))))
    return frozenset(step for step in ends if step is not None)
