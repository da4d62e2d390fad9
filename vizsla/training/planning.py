"""What a training would do and how long it would take, without doing it: the worker's side of `vizsla plan`.

Everything up to the features happens as in a training (`ready.py`), so what a training refuses is refused here, in the
same words. The cache keeps what was found out on the way: what photos are, how this machine does it, the exported
network. Features are only counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vizsla import cache
from vizsla.job import Launch
from vizsla.machine import cpus
from vizsla.plan import Plan, ProbePlan
from vizsla.training import execution, forecast, packs, shelves, trying
from vizsla.training.apart import Apart, take_apart
from vizsla.training.data import Photos
from vizsla.training.execution import Execution
from vizsla.training.forecast import Amounts, Forecast
from vizsla.training.packs import Item, Shelf, Spec
from vizsla.training.prepare import Divided, prepare
from vizsla.training.views import AS_IT_IS, Views
from vizsla.vision import networks

PROBE_ROWS, PROBE_L2, PROBE_APART = 256, 0.03, 0.1  # what the time of a probe is told by


@dataclass(frozen=True)
class Counted:
    """Features that are needed, in views, and what the cache has of them."""

    needed: int
    missing: int
    missing_test: int
    size_bytes: int
    """Of all that are needed."""
    kept: bool
    """Whether the trained part's are, or will be, in the cache."""
    why: str
    """Why not; "" if they are."""
    widths: tuple[int, ...] = ()
    """Numbers a photo of each kind of feature that a probe is fitted on."""


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """{"channels", "plan", "launch"} → what is trained, what is kept, how, and how long: docs/execution.md.

    Raises UserError for all that a training with these settings would refuse.
    """
    plan, launch = Plan.model_validate(request["plan"]), Launch.model_validate(request["launch"])
    channels = {name: Path(path) for name, path in request["channels"].items()}
    execution.refuse_impossible(launch.run)
    remember = launch.cache.max_gb > 0
    began = time.time()
    divided = prepare(channels, plan, None, lambda _done, _total: None, remember)
    checked_s = time.time() - began
    torch.manual_seed(plan.seed)
    net = networks.build(plan.model, len(divided.classes), plan.dropout, plan.weights, plan.image.size)
    what = take_apart(net, plan)
    start_s = running_s() - checked_s
    chosen = trying.choose(launch.run, None, what, divided, plan, cpus())
    counted = count(what, divided, plan, chosen, launch)
    speeds = trying.speeds(chosen, what, divided, plan, start_s)
    speeds = replace(speeds, probe_s=probe_seconds(counted, divided, plan))
    unchecked = 0 if remember and cache.writable(cache.root()) else sum(divided.counts.values())
    predicted = forecast.predict(amounts(divided, plan, counted, net, unchecked), speeds)
    return document(plan, divided, what, chosen, (counted, predicted))


def count(what: Apart, divided: Divided, plan: Plan, chosen: Execution, launch: Launch) -> Counted:
    """What features a training needs, and which of them the cache has; nothing is made or removed there."""
    train = divided.photos("train", chosen, Views(plan.views, plan.flips, plan.seed))
    views = train.views.numbers
    outputs = [output for output in what.outputs if output != "cut" or views]
    specs = shelves.specs(what, outputs, plan.model, train)
    wanted = _items(train, views or (AS_IT_IS,)) + _items(divided.photos("valid", chosen), (AS_IT_IS,))
    rows = len(train) * max(1, len(views)) + divided.counts["valid"]
    room = {output: packs.fits(cache.root(), spec, rows, launch.cache.max_gb) for output, spec in specs.items()}
    opened = [spec for output, spec in specs.items() if room[output]]
    scratch = any(not room[output] for output in specs if output != "cut")
    begins = what.begins_with
    kept = bool(what.loop and views and (room.get(begins) or begins != "cut"))  # what a probe sees always finds a place
    test = _items(divided.photos("test", chosen), (AS_IT_IS,)) if plan.evaluate.test and kept else []
    with ExitStack() as stack:
        there = [stack.enter_context(shelf) for spec in opened if (shelf := _shelf(spec, launch)).path.is_dir()]
        blank = scratch or len(there) < len(opened)
        missing = _missing(wanted, there, blank)
        first = [shelf for shelf in there if shelf.spec == specs.get(begins)]  # the tail needs nothing else of the test
        missing_test = _missing(test, first, not first)
    size_bytes = sum(spec.item_bytes for spec in opened) * (len(set(wanted)) + len(set(test)))
    anything = bool(specs)
    return Counted(
        len(set(wanted)) + len(set(test)) if anything else 0,
        missing if anything else 0,
        missing_test if anything else 0,
        size_bytes,
        kept,
        "" if kept else _why_not(what, views),
        tuple(spec.shape[0] for output, spec in specs.items() if output != "cut"),
    )


def probe_seconds(counted: Counted, divided: Divided, plan: Plan) -> float:
    """About what fitting the probes takes here; found by fitting small ones."""
    rows = len(divided.parts["train"]) * max(1, plan.views)
    return sum(_fit_seconds(width, rows, len(divided.classes)) for width in counted.widths)


def _fit_seconds(width: int, rows: int, num_classes: int) -> float:
    """One strength of regularisation on a part of the rows, made up, takes about as long as each row of all does.

    The further ones of a fit begin where the one before ended, and are quick.
    """
    from vizsla.training import probe

    draw, part = np.random.default_rng(0), max(num_classes, min(rows, PROBE_ROWS))
    labels_N = np.arange(part) % num_classes
    means_CD = PROBE_APART * draw.standard_normal((num_classes, width), np.float32)
    features_ND = means_CD[labels_N] + draw.standard_normal((part, width), np.float32)
    made = features_ND, labels_N
    return probe.fit(made, made, num_classes, ProbePlan(l2=PROBE_L2)).seconds * rows / part


def amounts(divided: Divided, plan: Plan, counted: Counted, net: nn.Module, unchecked: int) -> Amounts:
    """What a training has to do, for `forecast.predict`."""
    weights = sum(tensor.nbytes for tensor in net.state_dict().values())
    trained = sum(parameter.nbytes for parameter in networks.trainable(net))
    counts = divided.counts
    return Amounts(
        unchecked=unchecked,
        missing=counted.missing,
        missing_test=counted.missing_test,
        train=counts["train"],
        valid=counts["valid"],
        test=counts["test"] if plan.evaluate.test else 0,
        epochs=0 if plan.method == "probe" else plan.epochs,
        kept=counted.kept,
        probed=counted.needed > 0,
        weights_bytes=weights,
        checkpoint_bytes=2 * weights + 2 * trained,  # the network, the best of it, and two moments of each weight
    )


def document(
    plan: Plan, divided: Divided, what: Apart, chosen: Execution, found: tuple[Counted, Forecast]
) -> dict[str, Any]:
    """What `vizsla plan --json` prints."""
    counted, predicted = found
    return {
        "model": plan.model,
        "method": plan.method,
        "epochs": 0 if plan.method == "probe" else plan.epochs,
        "trained": list(what.frozen.trained),
        "frozen": list(what.frozen.frozen),
        "classes": len(divided.classes),
        "images": divided.counts,
        "features": {
            "needed": counted.needed,
            "cached": counted.needed - counted.missing - counted.missing_test,
            "bytes": counted.size_bytes,
            "kept": counted.kept,
            "why": counted.why or None,
        },
        "execution": {**chosen.facts, "why": list(chosen.why), "rates": dict(chosen.rates)},
        "forecast": predicted.document(),
    }


def running_s() -> float:
    """Seconds since this process began."""
    import psutil

    return time.time() - float(psutil.Process().create_time())


def _why_not(what: Apart, views: Sequence[int]) -> str:
    if not what.loop:
        return f"every epoch runs the whole network: {what.why}"
    if not views:
        return "every epoch runs the frozen part: views=0 draws new ones"
    return "every epoch runs the frozen part: its features do not fit (cache.max_gb)"


def _items(photos: Photos, views: Iterable[int]) -> list[Item]:
    return [(photo.sha256, view) for view in views for photo in photos.photos]


def _shelf(spec: Spec, launch: Launch) -> Shelf:
    return Shelf.open(cache.root(), spec, launch.cache.max_gb)


def _missing(items: Sequence[Item], there: Sequence[Shelf], blank: bool) -> int:
    """How many of them some shelf lacks; `blank`: one of the shelves has nothing yet."""
    if blank:
        return len(set(items))
    return len({item for shelf in there for item in shelf.missing(items)})
