"""The debugger on vizsla's own loop: what it records, that it changes nothing, and how it fails and resumes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.ready import splits_in
from vizsla.job import DebugSettings
from vizsla.observers.debugger import Debugger
from vizsla.observers.fanout import Fanout
from vizsla.plan import Plan
from vizsla.records import Record
from vizsla.training.checkpoint import Checkpoints
from vizsla.training.data import Photos
from vizsla.training.events import Event, See, Step, Stop
from vizsla.training.learner import Learner
from vizsla.training.loop import train
from vizsla.vision import networks

PLAN = Plan(model="test_resnet", weights="none", train_from="all", epochs=2, batch_size=8, lr=0.003, seed=7)
STEPS = 3  # an epoch: 22 photos in batches of 8


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photos, Photos]:
    return splits_in(tmp_path_factory)


class Losses:
    """An observer that keeps the loss of each step, and asks to stop after one of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.series: list[float] = []
        self._stop_after = stop_after

    def __call__(self, event: Event) -> Stop | None:
        if not isinstance(event, Step):
            return None
        self.series.append(event.loss)
        return Stop("enough") if event.step == self._stop_after else None


def run(folder: Path, splits: tuple[Photos, Photos], see: See, plan: Plan = PLAN) -> nn.Module:
    torch.manual_seed(plan.seed)
    net = networks.build(plan.model, 2, plan.dropout, plan.weights)
    learner = Learner.of(net) if plan.train_from == "all" else Learner(net, net, networks.freeze(net, plan.train_from))
    train(learner, plan, splits, Checkpoints(folder, plan.digest(), "photos"), see)
    return net


def debugged(
    folder: Path, splits: tuple[Photos, Photos], settings: DebugSettings | None = None, losses: Losses | None = None
) -> tuple[list[Record], Fanout]:
    found: list[Record] = []
    debugger = Debugger(settings or DebugSettings(), found.append)
    see = Fanout({"debugger": debugger, "losses": losses or Losses()})
    net = run(folder, splits, see)
    debugger.close()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    return found, see


def of(found: list[Record], collection: str, mode: str = "train") -> list[Record]:
    return [one for one in found if one.mode == mode and value(one)["collection"] == collection]


def value(record: Record) -> dict[str, Any]:
    assert isinstance(record.value, dict)
    return record.value


def test_a_training_is_recorded_step_by_step_and_epoch_by_epoch(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    found, _ = debugged(tmp_path, splits)
    places = {(one.mode, one.step, one.global_step, one.epoch) for one in found}
    trained = {("train", 0, 0, 1), ("train", 1, 1, 1), ("train", 2, 2, 1), ("train", 3, 4, 2), ("train", 4, 5, 2)}
    assert places == trained | {("train", 5, 6, 2), ("eval", 0, 3, 1), ("eval", 1, 7, 2)}
    for collection in ("weights", "biases", "gradients", "activation_inputs", "activation_outputs", "inputs"):
        assert of(found, collection), collection
        assert bool(of(found, collection, "eval")) == (collection.startswith("activation") or collection == "inputs")
    assert all(Record.from_line(one.to_line()) is not None for one in found)


def test_labels_and_predictions_are_those_of_the_batch_and_of_the_valid_photos(
    tmp_path: Path, splits: tuple[Photos, Photos]
) -> None:
    found, _ = debugged(tmp_path, splits)
    labels, predictions = of(found, "labels"), of(found, "predictions")
    assert [len(value(one)["indices"]) for one in labels] == [8, 8, 6, 8, 8, 6]
    assert [len(value(one)["indices"]) for one in predictions] == [8, 8, 6, 8, 8, 6]
    assert sorted(value(labels[0])["indices"] + value(labels[1])["indices"] + value(labels[2])["indices"]) == (
        [0] * 11 + [1] * 11
    )
    assert [value(one)["indices"] for one in of(found, "labels", "eval")] == [[0] * 4 + [1] * 4] * 2
    assert all(set(value(one)["indices"]) <= {0, 1} for one in of(found, "predictions", "eval"))
    assert value(labels[0]) == {"collection": "labels", "type": "", "indices": value(labels[0])["indices"]}


@pytest.mark.parametrize("train_from", ["all", "last"])
def test_the_same_losses_with_and_without_bit_for_bit(
    tmp_path: Path, splits: tuple[Photos, Photos], train_from: str
) -> None:
    plan = PLAN.model_copy(update={"train_from": train_from})
    with_it, without = Losses(), Losses()
    found: list[Record] = []
    debugger = Debugger(DebugSettings(), found.append)
    net = run(tmp_path / "with", splits, Fanout({"debugger": debugger, "losses": with_it}), plan)
    other = run(tmp_path / "without", splits, without, plan)
    assert found
    assert with_it.series == without.series
    assert all(torch.equal(one, two) for one, two in zip(net.parameters(), other.parameters(), strict=True))


def test_interrupted_and_resumed_the_same_is_recorded(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    straight, _ = debugged(tmp_path / "straight", splits)
    before, _ = debugged(tmp_path / "other", splits, losses=Losses(stop_after=STEPS + 1))
    after, _ = debugged(tmp_path / "other", splits)
    assert {one.epoch for one in after} == {2}
    kept = [one for one in before if one.epoch == 1] + after
    compared = [
        [(one.name, one.mode, one.step, one.global_step, value(one).get("mean")) for one in records]
        for records in (straight, kept)
    ]
    assert compared[0] == compared[1]


def test_it_records_what_is_asked_for(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    asked = DebugSettings(collections=("gradients", "labels"), start_step=2, end_step=4)
    found, _ = debugged(tmp_path, splits, asked)
    assert {value(one)["collection"] for one in found} == {"gradients", "labels"}
    assert {one.step for one in found if one.mode == "train"} == {2, 3}
    assert of(found, "gradients", "eval") == []


def test_when_its_records_cannot_be_written_it_leaves_and_training_goes_on(
    tmp_path: Path, splits: tuple[Photos, Photos], caplog: pytest.LogCaptureFixture
) -> None:
    losses = Losses()

    def full(_record: Record) -> None:
        raise OSError("no space left on device")

    see = Fanout({"debugger": Debugger(DebugSettings(), full), "losses": losses})
    with caplog.at_level(logging.WARNING):
        net = run(tmp_path, splits, see)
    assert len(losses.series) == 2 * STEPS
    assert "no space left" in see.switched_off["debugger"]
    assert "the debugger observer failed and is switched off" in caplog.text
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
