"""Measuring with a job's own photos and network: real engines, and nothing is changed by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.photos import write_folder
from vizsla.job import Job, RunSettings
from vizsla.plan import Plan, resolve
from vizsla.training import measuring, trying
from vizsla.training.apart import Apart, take_apart
from vizsla.training.execution import usual
from vizsla.training.measuring import measure
from vizsla.training.prepare import Divided, prepare
from vizsla.vision import networks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SETTINGS = {"model": "test_resnet", "weights": "none", "image.size": "32", "batch_size": "4"}


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZSLA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def divided(tmp_path: Path) -> Divided:
    write_folder(tmp_path / "photos", {"disc": 12, "rows": 12})
    return prepare({"training": tmp_path / "photos"}, planned(), None, lambda _done, _total: None)


def planned(**settings: str) -> Plan:
    return resolve(Job(name="j", channels={"training": "/"}, hyperparameters={**SETTINGS, **settings}))


def taken_apart(plan: Plan) -> Apart:
    torch.manual_seed(0)
    return take_apart(networks.build(plan.model, 2, plan.dropout, plan.weights, plan.image.size), plan)


@pytest.mark.parametrize("train_from", ["last", "head", "all"])
def test_a_network_and_random_numbers_are_as_they_were(divided: Divided, train_from: str) -> None:
    plan = planned(train_from=train_from)
    what = taken_apart(plan)
    net = what.whole.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    lying = [(parameter.data_ptr(), parameter.stride()) for parameter in net.parameters()]
    random = torch.get_rng_state()
    trying.choose(RunSettings(), None, what, divided, plan, 2)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert lying == [(parameter.data_ptr(), parameter.stride()) for parameter in net.parameters()]
    assert torch.equal(random, torch.get_rng_state())
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_all_engines_of_the_frozen_part_are_tried(divided: Divided, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "has_bfloat16", lambda: False)
    monkeypatch.setattr(measuring, "BUDGET_S", 60.0)  # whatever else the machine does
    plan = planned()
    chosen = trying.choose(RunSettings(), None, taken_apart(plan), divided, plan, 2)
    (line,) = [line for line in chosen.why if line.startswith("frozen part in")]
    for name in ("ONNX Runtime float32", "torch float32 channels_last", "torch float32 contiguous"):
        assert name in line
    assert set(chosen.rates) == {"frozen", "train", "read"}
    assert all(rate > 0 for rate in chosen.rates.values())


def test_where_all_is_trained_a_step_takes_the_whole_network(divided: Divided) -> None:
    plan = planned(train_from="all", method="finetune")
    what = taken_apart(plan)
    seen = []
    what.whole.register_forward_hook(lambda _net, photos, _logits: seen.append(tuple(photos[0].shape)))
    chosen = trying.choose(RunSettings(threads=1), None, what, divided, plan, 1)
    assert chosen.rates["train"] > 0
    assert (4, 3, 32, 32) in seen


def test_a_probe_alone_measures_no_training_step(divided: Divided) -> None:
    plan = planned(method="probe")
    chosen = trying.choose(RunSettings(), None, taken_apart(plan), divided, plan, 1)
    assert "train" not in chosen.rates
    assert "read" in chosen.rates


def test_precisions_are_compared_by_a_probe_on_real_photos(divided: Divided) -> None:
    plan = planned()
    seen = []

    def fit(train: trying.Sample, valid: trying.Sample) -> float:
        seen.append((train[0].shape, valid[0].shape, str(train[0].dtype), set(valid[1].tolist()) <= {0, 1}))
        return float(abs(train[0]).mean())

    work = trying.Tried(taken_apart(plan), divided, plan, fit)
    exact = usual(RunSettings(), 1)
    reduced = usual(RunSettings(precision="bfloat16"), 1)
    losses = work.losses(reduced, exact, 12)
    assert losses is not None
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]  # they were computed in different precisions
    assert seen[0] == seen[1]
    (train_shape, valid_shape, kind, known) = seen[0]
    assert (train_shape[0] + valid_shape[0], kind, known) == (12, "float32", True)


def test_what_fails_while_measuring_leaves_the_network_whole(divided: Divided) -> None:
    plan = planned()
    what = taken_apart(plan)
    before = [parameter.clone() for parameter in what.whole.parameters()]

    def interrupted() -> None:
        with trying.borrowed(what.whole):
            measure(usual(RunSettings(), 2), RunSettings(), trying.Tried(what, divided, plan, lambda *_: 0.0))
            for parameter in networks.trainable(what.whole):
                parameter.data.add_(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(torch.equal(*pair) for pair in zip(before, what.whole.parameters(), strict=True))
