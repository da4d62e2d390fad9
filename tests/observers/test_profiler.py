"""The profiler on vizsla's own loop: where the time goes, the profile of some steps, and how it fails and resumes."""

from __future__ import annotations

import gzip
import json
import logging
import pstats
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.ready import splits_in
from vizsla.job import DebugSettings, ProfileSettings
from vizsla.observers import operators
from vizsla.observers.debugger import Debugger
from vizsla.observers.fanout import Fanout
from vizsla.observers.profiler import Profiler, StopAfter
from vizsla.observers.window import ProfileFiles, Window
from vizsla.plan import Plan
from vizsla.records import Record
from vizsla.training import optim
from vizsla.training.checkpoint import Checkpoints
from vizsla.training.data import Batch, Photos
from vizsla.training.events import Event, See, Step, Stop
from vizsla.training.learner import Learner
from vizsla.training.loop import Trained, train
from vizsla.vision import networks

PLAN = Plan(model="test_resnet", weights="none", train_from="all", epochs=2, batch_size=8, lr=0.003, seed=7)
STEPS = 3  # an epoch: 22 photos in batches of 8
PARTS = ["load", "forward", "backward", "update", "observe"]
NONE = ProfileSettings(num_steps=0)

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


@dataclass
class Profiled:
    """A training in a folder, under the profiler; trained again there, it goes on from its checkpoint."""

    folder: Path
    splits: tuple[Photos, Photos]
    settings: ProfileSettings = field(default_factory=ProfileSettings)
    attempt: int = 1
    found: list[Record] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)
    others: dict[str, See] = field(default_factory=dict)
    switched_off: dict[str, str] = field(default_factory=dict)

    def train(self) -> Profiled:
        profiler = self.profiler()
        see = Fanout({**self.others, "profiler": profiler, "losses": self.losses})
        trained(self.folder, self.splits, see)
        profiler.close()
        self.switched_off = see.switched_off
        return self

    def profiler(self) -> Profiler:
        files = ProfileFiles(self.folder, self.attempt)
        return Profiler(Window(self.settings, files, self.write), self.write, {"threads": 1})

    def write(self, record: Record) -> None:
        self.found.append(record)

    def phases(self, *names: str) -> list[Record]:
        """The phases of these names, all that are a time by default."""
        timed = [one for one in self.found if one.kind == "phase" and isinstance(one.value, float)]
        return [one for one in timed if one.name in names or not names]

    def seconds(self, *names: str) -> float:
        return sum(float(str(one.value)) for one in self.phases(*names))

    def one(self, name: str) -> Record:
        (found,) = (one for one in self.found if one.name == name)
        return found

    def trace(self) -> dict[str, Any]:
        record = self.one("profile")
        assert record.file is not None
        document: dict[str, Any] = json.loads(gzip.decompress((self.folder / record.file).read_bytes()))
        return document


def trained(folder: Path, splits: tuple[Photos, Photos], see: See) -> Trained:
    torch.manual_seed(PLAN.seed)
    net = networks.build(PLAN.model, 2, PLAN.dropout, PLAN.weights)
    return train(
        Learner(net, net, networks.freeze(net, PLAN.train_from)),
        PLAN,
        splits,
        Checkpoints(folder, PLAN.digest(), "photos"),
        see,
    )


def value(record: Record) -> dict[str, Any]:
    assert isinstance(record.value, dict)
    return record.value


# ---- phases


def test_every_step_has_its_phases_and_every_epoch_its_evaluation(
    tmp_path: Path, splits: tuple[Photos, Photos]
) -> None:
    run = Profiled(tmp_path, splits, NONE).train()
    execution = run.found[0]
    assert (execution.kind, execution.name, execution.value) == ("system", "execution", {"threads": 1})
    for step in range(2 * STEPS):
        assert [one.name for one in run.phases() if one.mode == "train" and one.step == step] == PARTS
    assert [(one.mode, one.step, one.global_step, one.epoch) for one in run.phases("evaluate")] == [
        ("eval", 0, 3, 1),
        ("eval", 1, 7, 2),
    ]
    assert [(one.mode, one.step, one.epoch) for one in run.phases("checkpoint")] == [
        ("global", None, 1),
        ("global", None, 2),
    ]
    watching = [(one.mode, one.step) for one in run.phases("observe") if one.mode != "train"]
    assert watching == [("global", None), ("eval", 0), ("eval", 1)]


def test_the_phases_add_up_to_the_time_of_the_loop(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    run = Profiled(tmp_path, splits, NONE).train()
    first, last = run.phases()[0], max(run.phases(), key=lambda one: one.t)
    took = last.t + float(str(last.value)) - first.t
    assert run.seconds() == pytest.approx(took, rel=0.05)


def test_a_slow_loader_shows_as_load(
    tmp_path: Path, splits: tuple[Photos, Photos], monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = Photos.shuffled

    def slow(photos: Photos, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        for batch in shuffled(photos, batch_size, seed, epoch):
            time.sleep(0.2)
            yield batch

    monkeypatch.setattr(Photos, "shuffled", slow)
    run = Profiled(tmp_path, splits, NONE).train()
    assert run.seconds("load") > 2 * STEPS * 0.2
    assert run.seconds("load") > run.seconds("forward", "backward", "update")


def test_a_slow_optimizer_shows_as_update(
    tmp_path: Path, splits: tuple[Photos, Photos], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = optim.prepare

    def slow(net: nn.Module, plan: Plan, steps: int, head_begun: bool) -> Any:
        optimizer, schedule = prepare(net, plan, steps, head_begun)
        optimizer.register_step_post_hook(lambda *_: time.sleep(0.2))
        return optimizer, schedule

    monkeypatch.setattr(optim, "prepare", slow)
    run = Profiled(tmp_path, splits, NONE).train()
    assert run.seconds("update") > 2 * STEPS * 0.2
    assert run.seconds("update") > run.seconds("forward", "backward", "load")


def test_what_observers_take_shows_as_observe_of_the_step_they_saw(
    tmp_path: Path, splits: tuple[Photos, Photos]
) -> None:
    def slow(event: Event) -> None:
        if isinstance(event, Step) and event.step == 1:
            time.sleep(0.3)

    run = Profiled(tmp_path, splits, NONE, others={"slow": slow}).train()
    longest = max(run.phases("observe"), key=lambda one: float(str(one.value)))
    assert (longest.mode, longest.step) == ("train", 1)


@pytest.mark.parametrize("python", [False, True])
def test_the_same_losses_with_and_without_bit_for_bit(
    tmp_path: Path, splits: tuple[Photos, Photos], python: bool
) -> None:
    run = Profiled(tmp_path / "with", splits, ProfileSettings(num_steps=4, python=python)).train()
    without = Losses()
    trained(tmp_path / "without", splits, without)
    assert run.one("profile")
    assert run.losses.series == without.series
    assert len(without.series) == 2 * STEPS


# ---- the profile of some steps


def test_the_trace_has_the_operators_and_the_phases_of_its_steps(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    run = Profiled(tmp_path, splits, ProfileSettings(start_step=1, num_steps=2)).train()
    record = run.one("profile")
    assert (record.step, record.global_step, record.mode) == (1, 1, "train")
    assert run.phases("update")[0].t < record.t < run.phases("forward")[1].t  # when it began
    assert record.file == "checkpoints/vizsla/profile/1-trace.json.gz"
    assert (value(record)["steps"], value(record)["overhead_s"] > 0) == (2, True)
    events = run.trace()["traceEvents"]
    phases = [event for event in events if event.get("cat") == "phase"]
    assert [(one["name"], one["args"]["step"]) for one in phases] == [
        (name, step) for step in (1, 2) for name in ("observe", *PARTS[:4])
    ]
    convolutions = [one["ts"] for one in events if one["name"] == "aten::conv2d"]
    forward = [(one["ts"], one["ts"] + one["dur"]) for one in phases if one["name"] == "forward"]
    assert convolutions
    assert all(any(start <= at <= end for start, end in forward) for at in convolutions)


def test_the_operators_are_those_of_the_profiled_steps_the_dearest_first(
    tmp_path: Path, splits: tuple[Photos, Photos]
) -> None:
    run = Profiled(tmp_path, splits, ProfileSettings(num_steps=3)).train()
    table = [value(one) for one in run.found if one.name == "operator"]
    calls = {one["operator"]: one["calls"] for one in table}
    own = [one["cpu_s"] for one in table]
    assert 10 < len(table) <= 50
    assert own == sorted(own, reverse=True)
    assert calls["aten::convolution_backward"] % 3 == 0  # as often in each step
    assert all(one["cuda_s"] == 0.0 for one in table)
    assert sum(own) <= value(run.one("profile"))["seconds"]


def test_what_the_debugger_computes_is_none_of_the_operators(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    settings = ProfileSettings(num_steps=3)
    alone = Profiled(tmp_path / "alone", splits, settings).train()
    debugger = Debugger(DebugSettings(), lambda _record: None)
    both = Profiled(tmp_path / "both", splits, settings, others={"debugger": debugger}).train()
    debugger.close()
    calls = [
        {value(one)["operator"]: value(one)["calls"] for one in run.found if one.name == "operator"}
        for run in (alone, both)
    ]
    assert "aten::nanquantile" not in calls[1]
    shared = set(calls[0]) & set(calls[1])
    assert {name: calls[0][name] for name in shared} == {name: calls[1][name] for name in shared}


def test_pythons_profile_is_one_that_pstats_reads(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    run = Profiled(tmp_path, splits, ProfileSettings(num_steps=2, python=True)).train()
    file = run.one("python").file
    assert file == "checkpoints/vizsla/profile/1-python.pstats"
    called = {name for _, _, name in pstats.Stats(str(tmp_path / file)).stats}  # type: ignore[attr-defined]
    assert "cross_entropy" in called


def test_without_steps_there_is_no_profile(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    run = Profiled(tmp_path, splits, NONE).train()
    assert run.phases("load")
    assert [one for one in run.found if one.name in ("profile", "operator", "python")] == []
    assert not (tmp_path / "checkpoints" / "vizsla" / "profile").exists()


def test_a_training_that_ends_within_the_steps_keeps_what_was_seen(
    tmp_path: Path, splits: tuple[Photos, Photos]
) -> None:
    run = Profiled(tmp_path, splits, ProfileSettings(start_step=4, num_steps=100)).train()
    assert value(run.one("profile"))["steps"] == 2


def test_a_training_that_is_stopped_within_the_steps_keeps_what_was_seen(
    tmp_path: Path, splits: tuple[Photos, Photos]
) -> None:
    run = Profiled(tmp_path, splits, losses=Losses(stop_after=1)).train()
    assert value(run.one("profile"))["steps"] == 2
    assert run.trace()["traceEvents"]


def test_a_training_that_never_gets_there_has_no_profile(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    run = Profiled(tmp_path, splits, ProfileSettings(start_step=100)).train()
    assert [one for one in run.found if one.name == "profile"] == []
    assert run.switched_off == {}


def test_resumed_the_steps_that_are_still_to_come_are_profiled(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    settings = ProfileSettings(start_step=STEPS + 1, num_steps=1)
    Profiled(tmp_path, splits, settings, losses=Losses(stop_after=STEPS)).train()
    run = Profiled(tmp_path, splits, settings, attempt=2).train()
    assert run.one("profile").step == STEPS + 1
    assert run.one("profile").file == "checkpoints/vizsla/profile/2-trace.json.gz"


def test_resumed_the_first_steps_are_not_profiled_again(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    first = Profiled(tmp_path, splits, ProfileSettings(num_steps=1), losses=Losses(stop_after=STEPS)).train()
    again = Profiled(tmp_path, splits, ProfileSettings(num_steps=1), attempt=2).train()
    assert first.one("profile").step == 0
    assert [one for one in again.found if one.name == "profile"] == []
    assert {one.step for one in again.phases("load")} == {3, 4, 5}


def test_the_loop_is_asked_to_end_after_so_many_steps(tmp_path: Path, splits: tuple[Photos, Photos]) -> None:
    run = Profiled(tmp_path, splits, NONE, others={"stop_after": StopAfter(2)}).train()
    assert len(run.losses.series) == 2


# ---- what goes wrong


def test_a_disk_that_refuses_records_switches_it_off_and_training_goes_on(
    tmp_path: Path, splits: tuple[Photos, Photos], caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Profiled):
        def write(self, record: Record) -> None:
            if record.step == 1:
                raise OSError("no space left on device")
            super().write(record)

    with caplog.at_level(logging.WARNING):
        run = Full(tmp_path, splits).train()
    assert len(run.losses.series) == 2 * STEPS
    assert "no space left" in run.switched_off["profiler"]
    assert not operators.is_profiled()


def test_a_disk_that_refuses_the_trace_switches_it_off_and_training_goes_on(
    tmp_path: Path, splits: tuple[Photos, Photos]
) -> None:
    (tmp_path / "checkpoints").write_text("no folder")
    run = Profiled(tmp_path / "checkpoints" / "below", splits, ProfileSettings(num_steps=1))
    see = Fanout({"profiler": run.profiler(), "losses": run.losses})
    trained(tmp_path / "elsewhere", splits, see)
    assert len(run.losses.series) == 2 * STEPS
    assert "cannot be written" in see.switched_off["profiler"]


def test_a_profile_that_cannot_be_written_at_the_end_is_named(
    tmp_path: Path, splits: tuple[Photos, Photos], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    run = Profiled(tmp_path / "file", splits, losses=Losses(stop_after=1))
    profiler = run.profiler()
    trained(tmp_path / "elsewhere", splits, Fanout({"profiler": profiler, "losses": run.losses}))
    with caplog.at_level(logging.WARNING):
        profiler.close()
    assert "the profile of the last steps could not be kept" in caplog.text


def test_somebody_elses_profiler_is_left_alone(
    tmp_path: Path, splits: tuple[Photos, Photos], caplog: pytest.LogCaptureFixture
) -> None:
    with torch.autograd.profiler.profile(use_kineto=True) as theirs, caplog.at_level(logging.WARNING):
        run = Profiled(tmp_path, splits).train()
    assert {one.key for one in theirs.key_averages()} >= {"aten::conv2d"}
    assert [one for one in run.found if one.name == "profile"] == []
    assert len(run.phases("forward")) == 2 * STEPS
    assert "another torch.profiler is at work" in caplog.text
