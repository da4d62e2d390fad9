"""`vizsla.profiler.watch`: where the time of somebody else's loop goes, told from outside of it."""

from __future__ import annotations

import copy
import logging
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import ROOT
from tests.observers.nets import Small, photos
from vizsla import debugger, profilerconfig, records
from vizsla.errors import UserError
from vizsla.job import ProfileSettings
from vizsla.observers import places
from vizsla.profiler import Watch, watch
from vizsla.records import Record

pytestmark = pytest.mark.usefixtures("one_thread")

STEP = ["load", "observe", "forward", "backward", "update", "observe"]
NONE = ProfileSettings(num_steps=0)


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (places.JOB, places.ATTEMPT, profilerconfig.VARIABLE, "RANK"):
        monkeypatch.delenv(name, raising=False)


class Loop:
    """A training as somebody writes it. `busy` is how long it sleeps, by the name of the phase."""

    def __init__(self, **busy: float) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = Small()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.busy = Counter(busy)
        self.losses: list[float] = []
        self.optimizer.register_step_pre_hook(lambda *_: time.sleep(self.busy["update"]))

    def train(self, prof: Watch | None, steps: int, then: Callable[[torch.Tensor], None] | None = None) -> None:
        self.model.train()
        for step in range(steps):
            torch.manual_seed(step)
            time.sleep(self.busy["load"])
            x, y = photos(seed=step)
            loss = nn.functional.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            time.sleep(self.busy["backward"])
            self.optimizer.step()
            self.losses.append(loss.item())
            time.sleep(self.busy["observe"])
            if then:
                then(loss)
            if prof:
                prof.step()

    def evaluate(self, batches: int) -> None:
        self.model.eval()
        with torch.no_grad():
            for seed in range(batches):
                time.sleep(self.busy["evaluate"])
                self.model(photos(seed=seed)[0])


def found(folder: Path, stream: str = "profile") -> list[Record]:
    return list(records.read(folder / "records", {stream}))


def phases(folder: Path) -> list[Record]:
    return [one for one in found(folder) if one.kind == "phase" and isinstance(one.value, float)]


def seconds(folder: Path, *names: str) -> float:
    return sum(float(str(one.value)) for one in phases(folder) if one.name in names)


def value(record: Record) -> dict[str, Any]:
    assert isinstance(record.value, dict)
    return record.value


# ---- phases


def test_each_step_has_its_phases_and_the_evaluation_is_one(tmp_path: Path) -> None:
    loop = Loop()
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        for _ in range(2):
            loop.train(prof, 2)
            loop.evaluate(3)
    trained = [(one.step, one.global_step, one.name) for one in phases(tmp_path) if one.mode == "train"]
    assert [name for step, _, name in trained if step == 0] == STEP
    assert {(step, whole) for step, whole, _ in trained} == {(0, 0), (1, 1), (2, 3), (3, 4)}
    evaluations = [one for one in phases(tmp_path) if one.name == "evaluate"]
    assert [(one.mode, one.step, one.global_step) for one in evaluations] == [("eval", 0, 2), ("eval", 1, 5)]


def test_the_phases_add_up_to_the_time_of_the_loop(tmp_path: Path) -> None:
    loop = Loop(load=0.01, evaluate=0.02)
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        begun = time.perf_counter()
        loop.train(prof, 5)
        loop.evaluate(2)
        loop.train(prof, 5)
        took = time.perf_counter() - begun
    counted = sum(float(str(one.value)) for one in phases(tmp_path) if one.mode != "global")
    assert counted == pytest.approx(took, rel=0.1)


@pytest.mark.parametrize("name", ["load", "backward", "observe", "evaluate"])
def test_where_the_loop_is_slow_that_phase_is_long(tmp_path: Path, name: str) -> None:
    loop = Loop(**{name: 0.1})
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        loop.train(prof, 3)
        loop.evaluate(3)
    others = {"load", "forward", "backward", "update", "observe", "evaluate"} - {name}
    assert seconds(tmp_path, name) >= 0.3
    assert seconds(tmp_path, *others) < seconds(tmp_path, name)


def test_a_slow_optimizer_shows_as_update(tmp_path: Path) -> None:
    loop = Loop(update=0.1)
    with watch(loop.model, loop.optimizer, out=tmp_path, settings=NONE) as prof:
        loop.train(prof, 3)
    assert seconds(tmp_path, "update") >= 0.3


def test_an_evaluation_within_a_step_is_none_of_its_phases(tmp_path: Path) -> None:
    loop = Loop()

    def evaluate(_loss: torch.Tensor) -> None:
        loop.evaluate(2)
        loop.model.train()

    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        loop.train(prof, 3, evaluate)
    assert [(one.step, one.global_step) for one in phases(tmp_path) if one.name == "evaluate"] == [
        (0, 1),
        (1, 3),
        (2, 5),
    ]
    assert [one.step for one in phases(tmp_path) if one.name == "forward"] == [0, 1, 2]


def test_several_passes_before_an_update_are_one_step(tmp_path: Path) -> None:
    loop = Loop()
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        for _ in range(2):
            for seed in range(3):
                x, y = photos(seed=seed)
                nn.functional.cross_entropy(loop.model(x), y).backward()  # type: ignore[no-untyped-call]
            loop.optimizer.step()
            prof.step()
    assert [(one.step) for one in phases(tmp_path) if one.name == "forward"] == [0, 0, 0, 1, 1, 1]
    assert [one.step for one in phases(tmp_path) if one.name == "load"] == [0, 1]


def test_the_optimizer_of_another_model_is_none_of_this_one(tmp_path: Path) -> None:
    loop, other = Loop(), Loop()
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        loop.train(prof, 2, lambda _loss: other.train(None, 1))
    assert [one.step for one in phases(tmp_path) if one.name == "update"] == [0, 1]


def test_only_the_optimizer_that_is_named_counts(tmp_path: Path) -> None:
    loop = Loop()
    second = torch.optim.SGD(loop.model.parameters(), lr=0.0)
    with watch(loop.model, loop.optimizer, out=tmp_path, settings=NONE) as prof:
        loop.train(prof, 2, lambda _loss: second.step())
    assert [one.step for one in phases(tmp_path) if one.name == "update"] == [0, 1]


def test_a_compiled_model_is_told_apart_too(tmp_path: Path) -> None:
    loop = Loop()
    loop.model = torch.compile(loop.model, backend="eager", fullgraph=True)  # type: ignore[assignment]
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        loop.train(prof, 3)
    assert [one.name for one in phases(tmp_path) if one.step == 1 and one.mode == "train"][1:] == STEP
    torch.compiler.reset()


def test_of_a_model_that_is_compiled_with_its_hooks_only_the_update_is_told(tmp_path: Path) -> None:
    loop = Loop(load=0.05)
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        loop.model = torch.compile(loop.model, backend="eager", fullgraph=True)  # type: ignore[assignment]
        begun = time.perf_counter()
        loop.train(prof, 3)
        took = time.perf_counter() - begun
    assert prof.switched_off == ""
    assert {one.name for one in phases(tmp_path) if one.mode == "train"} == {"update", "observe"}
    assert [one.step for one in phases(tmp_path) if one.name == "update"] == [0, 1, 2]
    assert seconds(tmp_path, "update", "observe") <= took - 3 * 0.05  # loading is in neither
    torch.compiler.reset()


def test_the_debugger_watches_the_same_loop(tmp_path: Path) -> None:
    loop = Loop()
    loss_fn = nn.CrossEntropyLoss()
    with (
        debugger.watch(loop.model, loss_fn, out=tmp_path / "debug") as dbg,
        watch(loop.model, out=tmp_path / "profile", settings=ProfileSettings(num_steps=3)) as prof,
    ):
        loop.train(prof, 4, dbg.step)
    assert (dbg.switched_off, prof.switched_off) == ("", "")
    assert {one.step for one in phases(tmp_path / "profile") if one.name == "forward"} == {0, 1, 2, 3}
    assert {one.kind for one in records.read(tmp_path / "debug" / "records")} == {"attempt", "tensor"}
    operators = {value(one)["operator"] for one in found(tmp_path / "profile") if one.name == "operator"}
    assert "aten::convolution_backward" in operators
    assert "aten::nanquantile" not in operators  # the debugger's


def test_the_same_losses_with_and_without_bit_for_bit(tmp_path: Path) -> None:
    loop, alone = Loop(), Loop()
    with watch(loop.model, out=tmp_path) as prof:
        loop.train(prof, 12)
    alone.train(None, 12)
    assert loop.losses == alone.losses


# ---- what else is recorded


def test_the_first_steps_are_profiled_whole(tmp_path: Path) -> None:
    loop = Loop()
    with watch(loop.model, out=tmp_path, settings=ProfileSettings(num_steps=3, python=True)) as prof:
        loop.train(prof, 5)
    (profile,) = (one for one in found(tmp_path) if one.name == "profile")
    assert (profile.step, value(profile)["steps"], profile.file) == (0, 3, "traces/1-trace.json.gz")
    (python,) = (one for one in found(tmp_path) if one.name == "python")
    assert [(tmp_path / str(one.file)).is_file() for one in (profile, python)] == [True, True]
    calls = {value(one)["operator"]: value(one)["calls"] for one in found(tmp_path) if one.name == "operator"}
    assert calls["aten::convolution_backward"] == 3 * 2


def test_how_the_loop_runs_is_on_record(tmp_path: Path) -> None:
    loop = Loop()
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        loop.train(prof, 1)
    (execution,) = (one for one in found(tmp_path) if one.name == "execution")
    assert value(execution) == {"threads": 1, "precision": "float32", "batch_size": 8}


def test_the_system_is_sampled_beside_and_not_for_longer(tmp_path: Path) -> None:
    loop = Loop(load=0.1)
    with watch(loop.model, out=tmp_path, settings=ProfileSettings(num_steps=0, interval_ms=100)) as prof:
        for _ in range(600):  # its process may be slow to start
            loop.train(prof, 1)
            samples = [one for one in found(tmp_path, "system") if one.name == "sample"]
            if samples:
                break
    assert value(samples[0])["job_rss"] > 50e6  # this process, with torch in it, and no other
    assert list(tmp_path.glob("records/system/*.open")) == []


def test_loader_workers_that_outlive_it_do_not_keep_the_samples_open(tmp_path: Path) -> None:
    """They are forked, so they hold what the sampler reads its end from."""
    loop = Loop()
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
        worker.start()
        loop.train(prof, 2)
    try:
        assert worker.is_alive()
        assert list(tmp_path.glob("records/system/*.jsonl"))
        assert list(tmp_path.glob("records/system/*.open")) == []
    finally:
        worker.kill()
        worker.join()


def test_a_second_run_in_the_folder_supersedes_the_first(tmp_path: Path) -> None:
    for steps in (5, 2):
        loop = Loop()
        with watch(loop.model, out=tmp_path, settings=NONE) as prof:
            loop.train(prof, steps)
    assert [one.step for one in phases(tmp_path) if one.name == "forward"] == [0, 1]


def test_under_vizsla_run_the_jobs_folder_is_where_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(places.JOB, str(tmp_path))
    monkeypatch.setenv(places.ATTEMPT, "2")
    loop = Loop()
    with watch(loop.model, settings=ProfileSettings(num_steps=1)) as prof:
        loop.train(prof, 2)
    inside = tmp_path / "checkpoints" / "vizsla"
    assert phases(inside)
    assert (inside / "profile" / "2-trace.json.gz").is_file()
    assert not (inside / "records" / "system").exists()  # whoever watches the job does that
    with pytest.raises(UserError, match="recorded already"):
        watch(loop.model)


def test_switched_off_it_leaves_no_trace(tmp_path: Path) -> None:
    loop = Loop()
    with watch(loop.model, out=tmp_path, settings=ProfileSettings(enabled=False)) as prof:
        loop.train(prof, 2)
        assert not loop.model._forward_pre_hooks
    assert list((tmp_path / "records").iterdir()) == []


def test_of_several_workers_the_first_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    loop = Loop()
    with watch(loop.model, out=tmp_path) as prof:
        loop.train(prof, 2)
    assert list((tmp_path / "records").iterdir()) == []


# ---- what goes wrong


def test_closed_it_leaves_model_and_optimizer_alone(tmp_path: Path) -> None:
    loop = Loop()
    with watch(loop.model, out=tmp_path, settings=NONE) as prof:
        loop.train(prof, 2)
        kept = copy.deepcopy(loop.model)
    written = len(found(tmp_path))
    loop.train(prof, 2)
    kept(photos()[0])
    prof.close()
    assert len(found(tmp_path)) == written
    assert not loop.model._forward_pre_hooks
    assert not loop.model._forward_hooks


def test_a_profiler_that_cannot_write_is_switched_off_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop()
    with watch(loop.model, out=tmp_path) as prof, caplog.at_level(logging.WARNING):
        loop.train(prof, 2)

        def full(_self: object, _record: Record) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(records.Writer, "write", full)
        loop.train(prof, 3)
        assert not loop.model._forward_pre_hooks
    assert len(loop.losses) == 5
    assert "no space left" in prof.switched_off
    assert caplog.text.count("the profiler failed and is switched off") == 1


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    for out in (tmp_path / "file", tmp_path / "file" / "below", "", "\0"):
        with pytest.raises(UserError) as raised:
            watch(Small(), out=out)
        assert raised.value.hint


def test_the_debuggers_folder_is_refused(tmp_path: Path) -> None:
    with debugger.watch(Small(), out=tmp_path):
        pass
    with pytest.raises(UserError, match="another watch"):
        watch(Small(), out=tmp_path)


@pytest.mark.parametrize(("model", "optimizer"), [("net", None), (Small(), "adam")])
def test_what_is_no_model_or_optimizer_is_refused(tmp_path: Path, model: Any, optimizer: Any) -> None:
    with pytest.raises(UserError) as raised:
        watch(model, optimizer, out=tmp_path)
    assert raised.value.hint


def test_it_loads_nothing_that_photos_or_serving_need() -> None:
    unwanted = {"PIL", "timm", "torchvision", "optuna", "rich"}
    code = f"import sys, vizsla.profiler; print(sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
