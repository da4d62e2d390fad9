"""`vizsla.debugger.watch`: any PyTorch loop is watched, left alone, and told when to stop."""

from __future__ import annotations

import copy
import logging
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tests.conftest import ROOT
from tests.observers.nets import Small, photos
from vizsla import records, rule_configs
from vizsla.debugger import Watch, watch
from vizsla.errors import UserError
from vizsla.job import Action, DebugSettings, RuleRequest
from vizsla.records import Record

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


LossFunction = Callable[..., torch.Tensor]


class Loop:
    """Somebody's own training."""

    def __init__(self, model: nn.Module, loss_fn: LossFunction, lr: float = 0.1) -> None:
        self.model = model
        self.loss_fn = loss_fn
        self.optim = torch.optim.SGD(model.parameters(), lr=lr)
        self.losses: list[float] = []

    def train(self, dbg: Watch | None, steps: int, scale: float = 1.0) -> None:
        self.model.train()
        for step in range(steps):
            x, y = photos(seed=step)
            loss = self.loss_fn(self.model(x * scale), y)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optim.step()
            self.optim.zero_grad()  # the gradients are gone before the debugger is told
            self.losses.append(loss.item())
            if dbg:
                dbg.step(loss)
                if dbg.stop:
                    return

    def evaluate(self, batches: int) -> float:
        self.model.eval()
        with torch.no_grad():
            losses = [self.loss_fn(self.model(x), y).item() for x, y in (photos(seed=90 + n) for n in range(batches))]
        return sum(losses) / len(losses)


def value(record: Record) -> dict[str, Any]:
    assert isinstance(record.value, dict)
    return record.value


def of(found: list[Record], collection: str, mode: str = "train") -> list[Record]:
    return [
        one for one in found if one.kind == "tensor" and one.mode == mode and value(one)["collection"] == collection
    ]


# ---- what is recorded


def test_a_loop_is_recorded_in_the_layout_of_a_job(tmp_path: Path) -> None:
    loop = Loop(Small(), nn.CrossEntropyLoss())
    with watch(loop.model, loop.loss_fn, out=tmp_path / "debug") as dbg:
        loop.train(dbg, 12)
    found = records.read(tmp_path / "debug" / "records")
    losses = of(found, "losses")
    assert [(one.name, one.step, value(one)["type"]) for one in losses] == [
        ("CrossEntropyLoss_output_0", step, "CrossEntropyLoss") for step in range(12)
    ]
    assert [value(one)["value"] for one in losses] == pytest.approx(loop.losses)
    gradients = [one.step for one in found if one.name == "gradient/Small_head.weight"]
    assert gradients == [*range(10), 10]
    assert {one.step for one in of(found, "activation_outputs")} == {*range(10), 10}
    assert len(value(of(found, "labels")[0])["indices"]) == len(value(of(found, "predictions")[0])["indices"]) == 8
    assert dbg.switched_off == ""


@pytest.mark.parametrize("rules", ["overfit:patience=2", [rule_configs.overfit(patience=2)], rule_configs.overfit()])
def test_a_rule_may_be_typed_or_a_config_of_sagemakers(tmp_path: Path, rules: Any) -> None:
    with watch(Small(), rules=rules, out=tmp_path) as dbg:
        assert [each.rule for each in dbg.evaluations()] == ["Overfit"]


@pytest.mark.parametrize("rules", [7, [7], [rule_configs.overfit]])
def test_what_is_no_rule_is_refused(tmp_path: Path, rules: Any) -> None:
    with pytest.raises(UserError, match="is no rule"):
        watch(Small(), rules=rules, out=tmp_path)


def test_an_evaluation_is_one_loss_and_the_answers_of_all_its_batches(tmp_path: Path) -> None:
    loop = Loop(Small(), nn.CrossEntropyLoss())
    wanted = []
    with watch(loop.model, loop.loss_fn, out=tmp_path) as dbg:
        for _ in range(2):
            loop.train(dbg, 2)
            wanted.append(loop.evaluate(batches=3))
    found = records.read(tmp_path / "records")
    losses = of(found, "losses", "eval")
    assert [(one.name, one.step) for one in losses] == [
        ("CrossEntropyLoss_output_0", 0),
        ("CrossEntropyLoss_output_0", 1),
    ]
    assert [value(one)["value"] for one in losses] == pytest.approx(wanted)
    assert [len(value(one)["indices"]) for one in of(found, "labels", "eval")] == [24, 24]
    assert {one.name for one in of(found, "activation_outputs", "eval")} == {"act_output_0", "act_output_1"}
    order = [(one.mode, one.step) for one in found if one.kind == "tensor" and value(one)["collection"] == "losses"]
    assert order == [("train", 0), ("train", 1), ("eval", 0), ("train", 2), ("train", 3), ("eval", 1)]


def test_a_loss_that_is_a_function_is_told_with_its_answers(tmp_path: Path) -> None:
    model = Small()
    with watch(model, out=tmp_path) as dbg:
        x, y = photos()
        for training in (True, False):
            model.train(training)
            logits = model(x)
            loss = cross_entropy(logits, y)
            if training:
                loss.backward()  # type: ignore[no-untyped-call]
            dbg.step(loss, logits=logits, labels=y)
    found = records.read(tmp_path / "records")
    for mode in ("train", "eval"):
        assert [one.name for one in of(found, "losses", mode)] == ["loss"]
        assert [value(one)["indices"] for one in of(found, "labels", mode)] == [y.tolist()]
        assert len(of(found, "predictions", mode)) == 1
    assert of(found, "gradients")


def test_a_loss_may_be_a_number_or_a_loss_for_each_photo_or_none(tmp_path: Path) -> None:
    model = Small()
    with watch(model, out=tmp_path) as dbg:
        dbg.step(1.5)
        dbg.step(torch.tensor([1.0, 2.0]))
        dbg.step()
        dbg.step(math.nan)
    found = of(records.read(tmp_path / "records"), "losses")
    assert [value(one)["value"] for one in found[:2]] == [1.5, 1.5]
    assert [one.step for one in found] == [0, 1, 3]
    assert math.isnan(value(found[2])["value"])


def test_settings_say_what_is_recorded_and_how_often(tmp_path: Path) -> None:
    loop = Loop(Small(), nn.CrossEntropyLoss())
    asked = DebugSettings(collections=("weights",), save_every=3, start_step=5, end_step=20, raw=("weights",))
    with watch(loop.model, loop.loss_fn, out=tmp_path, settings=asked) as dbg:
        loop.train(dbg, 22)
    found = [one for one in records.read(tmp_path / "records") if one.kind == "tensor"]
    assert {value(one)["collection"] for one in found} == {"weights"}
    assert sorted({one.step or 0 for one in found}) == [*range(5, 15), 15, 18]
    assert (tmp_path / str(found[0].file)).is_file()


def test_a_second_run_in_the_same_folder_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for steps in (4, 2):
        loop = Loop(Small(), nn.CrossEntropyLoss())
        with watch(loop.model, loop.loss_fn, out=tmp_path) as dbg:
            loop.train(dbg, steps)
    assert [one.step for one in of(records.read(tmp_path / "records"), "losses")] == [0, 1]


# ---- rules


def test_a_fault_is_found_and_a_healthy_run_is_not_accused(tmp_path: Path) -> None:
    for name, scale, status in (("healthy", 1.0, "NoIssuesFound"), ("faulty", math.inf, "IssuesFound")):
        loop = Loop(Small(), nn.CrossEntropyLoss())
        with watch(loop.model, loop.loss_fn, rules=["exploding_tensor"], out=tmp_path / name) as dbg:
            loop.train(dbg, 3, scale)
            assert bool(dbg.findings) == (status == "IssuesFound")
        (evaluation,) = dbg.evaluations()
        assert (evaluation.rule, evaluation.status) == ("ExplodingTensor", status)
        written = [one for one in records.read(tmp_path / name / "records") if one.kind == "finding"]
        assert bool(written) == (status == "IssuesFound")
        assert len(loop.losses) == 3  # without a stop action the loop goes on


def test_a_rule_that_stops_tells_the_loop_why(tmp_path: Path) -> None:
    rule = RuleRequest(name="nan-watch", rule="ExplodingTensor", actions=(Action(name="stop"),))
    loop = Loop(Small(), nn.CrossEntropyLoss())
    with watch(loop.model, loop.loss_fn, rules=[rule], out=tmp_path) as dbg:
        assert not dbg.stop
        loop.train(dbg, 3)
        assert not dbg.stop
        loop.train(dbg, 5, math.nan)
        assert dbg.stop
        assert dbg.stop.reason.startswith("stopped by the rule nan-watch")
    assert len(loop.losses) == 4


def test_the_same_rule_twice_has_two_names(tmp_path: Path) -> None:
    with watch(Small(), rules=["overfit", "overfit:ratio_threshold=0.2"], out=tmp_path) as dbg:
        pass
    names = [one.name for one in dbg.evaluations()]
    assert len(set(names)) == 2


def test_another_run_can_be_compared_with(tmp_path: Path) -> None:
    for name in ("one", "two"):
        rules = (
            [f"similar_across_runs:other_trials={tmp_path / 'one'},collection_names=losses"] if name == "two" else []
        )
        torch.manual_seed(1)
        loop = Loop(Small(), nn.CrossEntropyLoss())
        with watch(loop.model, loop.loss_fn, rules=rules, out=tmp_path / name) as dbg:
            loop.train(dbg, 3)
    (evaluation,) = dbg.evaluations()
    assert evaluation.status == "NoIssuesFound", evaluation.reason
    assert evaluation.datapoints == 3


# ---- nothing is changed


def test_losses_are_the_same_bits_with_and_without(tmp_path: Path) -> None:
    series = []
    for look in (True, False):
        torch.manual_seed(5)
        loop = Loop(Small(), nn.CrossEntropyLoss())
        if look:
            with watch(loop.model, loop.loss_fn, rules=["overfit", "dead_relu"], out=tmp_path) as dbg:
                loop.train(dbg, 15)
        else:
            loop.train(None, 15)
        series.append((loop.losses, torch.rand(2).tolist()))
    assert series[0] == series[1]


def test_afterwards_no_hook_is_left_even_if_the_loop_failed(tmp_path: Path) -> None:
    loss_fn = nn.CrossEntropyLoss()
    loop = Loop(Small(), loss_fn)
    dbg = watch(loop.model, loop.loss_fn, out=tmp_path)
    with pytest.raises(RuntimeError), dbg:
        _one_good_and_one_bad_step(loop, dbg)
    for module in (*loop.model.modules(), *loss_fn.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert list(tmp_path.glob("records/*/*.open")) == []
    dbg.close()
    dbg.step(1.0)


def test_a_model_may_be_copied_and_pickled_while_it_is_watched(tmp_path: Path) -> None:
    loop = Loop(Small(), nn.CrossEntropyLoss())
    with watch(loop.model, loop.loss_fn, out=tmp_path) as dbg:
        loop.train(dbg, 1)
        average = copy.deepcopy((loop.model, loop.loss_fn))
        pickled = pickle.loads(pickle.dumps(loop.model))  # noqa: S301 - our own
        for model in (average[0], pickled):
            average[1](model(photos()[0]), photos()[1])
        loop.train(dbg, 1)
    found = records.read(tmp_path / "records")
    assert [one.step for one in found if one.name == "Small_input_0"] == [0, 1]
    assert dbg.switched_off == ""


def _one_good_and_one_bad_step(loop: Loop, dbg: Watch) -> None:
    loop.train(dbg, 1)
    loop.model(torch.zeros(1, 1, 8, 8))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_compiled_model_is_watched(tmp_path: Path) -> None:
    model = Small()
    loop = Loop(torch.compile(model, backend="aot_eager"), nn.CrossEntropyLoss())  # type: ignore[arg-type]
    with watch(loop.model, loop.loss_fn, out=tmp_path) as dbg:
        loop.train(dbg, 13)
        loop.evaluate(2)
    found = records.read(tmp_path / "records")
    assert dbg.switched_off == ""
    assert {one.step for one in of(found, "activation_outputs")} == {*range(10), 10}
    assert {one.step for one in of(found, "gradients")} == {*range(10), 10}
    assert len(of(found, "activation_outputs", "eval")) == 2


def test_scaled_and_clipped_gradients_are_recorded_as_the_optimizer_gets_them(tmp_path: Path) -> None:
    model = Small()
    optim = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = photos()
    with watch(model, out=tmp_path) as dbg:
        loss = cross_entropy(model(x), y) * 1024
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.div_(1024)
        nn.utils.clip_grad_value_(model.parameters(), 1e-3)
        optim.step()
        dbg.step(loss)
    found = of(records.read(tmp_path / "records"), "gradients")
    assert max(value(one)["max"] for one in found) == pytest.approx(1e-3)


# ---- what goes wrong


def test_a_debugger_that_cannot_write_is_switched_off_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop(Small(), nn.CrossEntropyLoss())
    with watch(loop.model, loop.loss_fn, "exploding_tensor", tmp_path) as dbg, caplog.at_level(logging.WARNING):
        loop.train(dbg, 2)

        def full(_self: object, _record: Record) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(records.Writer, "write", full)
        loop.train(dbg, 3)
    assert len(loop.losses) == 5
    assert "no space left" in dbg.switched_off
    assert caplog.text.count("the debugger failed and is switched off") == 1
    assert len(loop.model._forward_pre_hooks) == 0
    (rule,) = dbg.evaluations()
    assert rule.status == "Error"
    assert "no space left" in rule.reason
    assert list(tmp_path.glob("records/*/*.open")) == []


def test_a_debugger_that_fails_says_so_on_record_and_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise UserError("No such layer.", "Name another.")

    loop = Loop(Small(), nn.CrossEntropyLoss())
    with watch(loop.model, loop.loss_fn, "exploding_tensor", tmp_path) as dbg:
        monkeypatch.setattr(dbg, "_train_step", fails)
        loop.train(dbg, 1)
    assert dbg.switched_off == "No such layer. Name another"
    marks = [(one.name, one.value) for one in records.read(tmp_path / "records") if one.kind == "attempt"]
    assert marks[1:] == [("switched_off", {"debugger": dbg.switched_off}), ("end", None)]


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    for out in (tmp_path / "file", tmp_path / "file" / "below", "", "\0"):
        with pytest.raises(UserError) as raised:
            watch(Small(), out=out)
        assert raised.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="may not be written"):
        watch(Small(), out=tmp_path / "debug")


@pytest.mark.parametrize("rule", ["overfitt", "overfit:ratio=1", "overfit:patience=soon"])
def test_a_rule_that_cannot_be_is_refused(tmp_path: Path, rule: str) -> None:
    model = Small()
    with pytest.raises(UserError, match=r"[Oo]verfit"):
        watch(model, rules=[rule], out=tmp_path)
    assert not model._forward_pre_hooks


def test_it_loads_nothing_that_photos_or_serving_need() -> None:
    unwanted = {"PIL", "timm", "torchvision", "optuna", "rich"}
    code = f"import sys, vizsla.debugger; print(sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
