"""What is recorded of a network that is trained, and that looking at it changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.observers.nets import Small, Watched, Wordy, photos
from vizsla.job import COLLECTIONS, DebugSettings
from vizsla.observers import visit
from vizsla.observers.inspector import Inspector
from vizsla.observers.raw import RawFiles
from vizsla.observers.visit import At

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.manual_seed(3)
    yield
    torch.compiler.set_stance("default")  # most tests leave their inspector open


def live_hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


# ---- what is there


def test_everything_of_a_step_is_recorded_under_smdebugs_names() -> None:
    watched = Watched(Small())
    watched.step(*photos())
    layers = ("stem", "body", "norm", "head")
    assert watched.names("weights") == {f"Small_{layer}.weight" for layer in layers}
    assert watched.names("biases") == {f"Small_{layer}.bias" for layer in layers}
    assert watched.names("gradients") == {
        f"gradient/Small_{layer}.{end}" for layer in layers for end in ("weight", "bias")
    }
    assert watched.names("activation_inputs") == {"act_input_0", "act_input_1"}  # one module, used twice
    assert watched.names("activation_outputs") == {"act_output_0", "act_output_1"}
    assert watched.names("inputs") == {"Small_input_0"}
    record = watched.records[0]
    assert (record.kind, record.mode, record.step, record.global_step, record.epoch) == ("tensor", "train", 0, 0, 1)


def test_weights_are_those_before_the_update_and_gradients_those_of_the_step() -> None:
    model = Small()
    before = model.head.weight.detach().numpy().copy()
    watched = Watched(model)
    watched.step(*photos())
    after = model.head.weight.detach().numpy()
    (weight,) = watched.named("Small_head.weight")
    (gradient,) = watched.named("gradient/Small_head.weight")
    assert weight["abs_mean"] == pytest.approx(np.abs(before).mean(), rel=1e-5)
    assert gradient["abs_mean"] == pytest.approx(np.abs((before - after) / 0.1).mean(), rel=1e-3)
    assert weight["p5"] == pytest.approx(np.percentile(before, 5), rel=1e-4)


def test_from_the_second_saved_step_on_weights_say_how_far_they_moved() -> None:
    model = Small()
    watched = Watched(model, every=1)
    first = model.head.weight.detach().numpy().copy()
    watched.step(*photos())
    second = model.head.weight.detach().numpy().copy()
    watched.step(*photos())
    early, late = watched.named("Small_head.weight")
    assert "change_abs_mean" not in early
    assert late["previous_step"] == 0
    assert late["change_abs_mean"] == pytest.approx(np.abs(second - first).mean(), rel=1e-4)
    assert late["previous_abs_mean"] == pytest.approx(np.abs(first).mean(), rel=1e-5)
    assert late["needed_rtol"] > 0


def test_the_input_of_an_activation_that_overwrites_it_is_the_input() -> None:
    model = Small(nn.ReLU(inplace=True))
    watched = Watched(model)
    watched.step(*photos())
    given, out = watched.named("act_input_0")[0], watched.named("act_output_0")[0]
    assert given["min"] < 0 == out["min"]
    assert out["type"] == "ReLU"
    assert len(out["active"]) == 4
    assert np.mean(out["active"]) == pytest.approx(1 - out["zeros"], abs=1e-6)


@pytest.mark.parametrize(
    ("module", "kind", "key"),
    [
        (nn.ReLU6(), "ReLU6", "active"),
        (nn.Hardtanh(0.0, 2.0), "Hardtanh", "active"),
        (nn.SiLU(), "SiLU", ""),
        (nn.GELU(), "GELU", ""),
        (nn.Tanh(), "Tanh", "cdf:0"),
        (nn.Sigmoid(), "Sigmoid", "cdf:9.4999"),
        (type("Mine", (nn.Tanh,), {})(), "Tanh", "cdf:-23"),
        (type("Swish", (nn.Module,), {"forward": lambda _self, x: x * x.sigmoid()})(), "Swish", ""),
    ],
)
def test_activations_are_known_by_their_type(module: nn.Module, kind: str, key: str) -> None:
    watched = Watched(Small(module))
    watched.step(*photos())
    given, out = watched.named("act_input_0")[0], watched.named("act_output_0")[0]
    assert given["type"] == out["type"] == kind
    assert ("active" in out) == (key == "active")
    assert ("cdf:0" in given) == key.startswith("cdf")


@pytest.mark.parametrize("module", [nn.Hardtanh(), nn.Identity(), nn.Softmax(dim=1)])
def test_what_is_no_such_activation_is_left_alone(module: nn.Module) -> None:
    watched = Watched(Small(module))
    watched.step(*photos())
    assert watched.names("activation_outputs") == set()


def test_the_channels_of_the_photos_are_told_apart() -> None:
    x, y = photos()
    x[:, 1] += 5
    watched = Watched(Small())
    watched.step(x, y)
    (value,) = watched.named("Small_input_0")
    assert value["samples"] == 8
    assert value["channel_mean"] == pytest.approx(x.mean((0, 2, 3)).tolist(), rel=1e-4)
    assert value["channel_variance"] == pytest.approx(x.var((0, 2, 3), correction=0).tolist(), rel=1e-3)


def test_of_a_large_activation_a_part_is_looked_at_and_said_so() -> None:
    watched = Watched(Small())
    watched.step(*photos(count=16, size=96))
    (value,) = watched.named("act_output_0")
    assert value["size"] == 16 * 4 * 94 * 94
    assert value["sampled"] < 1 << 19


def test_dicts_tuples_and_keywords_are_looked_into() -> None:
    watched = Watched(Wordy(), DebugSettings(include="^part$"))
    answer = watched.model(features=torch.ones(4, 5), scale=2.0)
    answer["logits"].sum().backward()
    watched.inspector.end_step(At(0))
    assert watched.names("inputs") == {"Wordy_input_0"}
    assert watched.names("activation_outputs") == {"part_output_0", "part_output_1", "part_output_2"}
    assert watched.named("part_output_1")[0]["mean"] == 2
    assert watched.named("part_output_0")[0]["type"] == "Part"
    assert watched.named("gradient/Wordy_part.line.bias")[0]["mean"] == 4  # read at the end: no optimizer stepped


def test_a_numbers_that_is_none_is_counted() -> None:
    x, y = photos()
    x[0, 0, 0, 0] = math.nan
    watched = Watched(Small())
    watched.step(x, y)
    assert watched.named("Small_input_0")[0]["nan"] == 1
    assert watched.named("gradient/Small_head.weight")[0]["nan"] == 3 * 8


def test_bfloat16_is_looked_at() -> None:
    model = Small().to(torch.bfloat16)
    watched = Watched(model)
    x, y = photos()
    watched.step(x.bfloat16(), y)
    watched.step(x.bfloat16(), y)
    assert watched.inspector.error is None
    assert watched.named("gradient/Small_head.weight")[1]["abs_mean"] > 0
    assert len(watched.named("Small_stem.weight")) == 2


# ---- what is not there


def test_what_is_frozen_is_looked_at_once() -> None:
    model = Small()
    for part in (model.stem, model.body):
        part.requires_grad_(False)
    watched = Watched(nn.Sequential(model.stem, nn.ReLU(), nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 3)))
    for _ in range(3):
        watched.step(*photos())
    assert len(watched.named("Sequential_0.weight")) == 1
    assert len(watched.named("1_output_0")) == 1
    assert len(watched.named("Sequential_3.weight")) == len(watched.named("4_output_0")) == 3
    assert watched.named("gradient/Sequential_0.weight") == []


def test_only_saved_steps_are_recorded_and_nothing_is_hooked_at_others() -> None:
    model = Small()
    watched = Watched(model, every=5)
    hooks = []
    model.drop.register_forward_pre_hook(lambda _module, _args: hooks.append(live_hooks(watched.model)))
    for _ in range(16):
        watched.step(*photos())
    assert [record.step for record in watched.records if record.name == "Small_input_0"] == [*range(10), 10, 15]
    assert hooks[11] == hooks[14] == 2  # this test's, and the one that sees a pass begin
    assert hooks[10] == hooks[15] > 2


@pytest.mark.parametrize(
    "collection", [name for name in COLLECTIONS if name not in ("losses", "labels", "predictions")]
)
def test_only_the_collections_that_are_wanted_are_recorded(collection: str) -> None:
    watched = Watched(Small(), DebugSettings(collections=(collection,)))
    watched.step(*photos())
    assert watched.records
    assert all(record.name in watched.names(collection) for record in watched.records)


def test_only_the_first_pass_of_a_step_is_looked_at() -> None:
    watched = Watched(Small())
    watched.model(photos()[0])
    watched.step(*photos())
    assert watched.names("activation_outputs") == {"act_output_0", "act_output_1"}
    assert len(watched.named("Small_input_0")) == 1


# ---- evaluations


def test_the_first_pass_of_an_evaluation_is_looked_at() -> None:
    watched = Watched(Small())
    watched.step(*photos())
    watched.model.eval()
    with torch.inference_mode():
        for seed in range(3):
            watched.model(photos(count=4 + seed, seed=seed)[0])
    many = torch.arange(5000) % 3
    watched.inspector.end_evaluation(At(0, 5, 1), (many, many.flip(0)))
    (value,) = watched.named("Small_input_0", "eval")
    assert value["samples"] == 4
    assert len(watched.named("act_output_1", "eval")) == 1
    assert watched.named("gradient/Small_head.weight", "eval") == watched.named("Small_head.weight", "eval") == []
    for name, wanted in (("labels", many), ("predictions", many.flip(0))):
        first, second = (value["indices"] for value in watched.named(name, "eval"))
        assert len(first) == 4096
        assert first + second == wanted.tolist()


def test_an_evaluation_that_is_not_due_leaves_nothing() -> None:
    watched = Watched(Small(), every=7)
    watched.inspector.expect(0, 12)
    watched.model.eval()
    watched.model(photos()[0])
    watched.inspector.end_evaluation(At(12), (torch.zeros(3), torch.zeros(3)))
    assert watched.records == []


# ---- nothing is changed


class Plain:
    """The same training, with nobody looking."""

    def end_step(self, at: At) -> None:
        pass

    def expect(self, step: int, evaluation: int) -> None:
        pass


def trained(look: bool, make: Callable[[], nn.Module]) -> tuple[list[float], torch.Tensor]:
    torch.manual_seed(11)
    watched = Watched(make(), every=2)
    if not look:
        watched.inspector.close()
        watched.inspector = Plain()  # type: ignore[assignment]
    for step in range(14):
        watched.step(*photos(seed=step))
    return watched.losses, torch.rand(3)


@pytest.mark.parametrize("activation", [nn.ReLU(inplace=True), nn.SiLU(inplace=True), nn.Sigmoid(), nn.GELU()])
def test_losses_and_random_numbers_are_the_same_bits_with_and_without(activation: nn.Module) -> None:
    with_it, without = (trained(look, lambda: Small(activation)) for look in (True, False))
    assert with_it[0] == without[0]
    assert torch.equal(with_it[1], without[1])


def test_a_closed_inspector_leaves_no_hook() -> None:
    watched = Watched(Small())
    watched.step(*photos())
    watched.inspector.close()
    assert live_hooks(watched.model) == 0
    count = len(watched.records)
    watched.step(*photos())
    assert len(watched.records) == count


def test_a_pass_that_fails_leaves_no_hook_on_the_activations() -> None:
    watched = Watched(Small())
    with pytest.raises(RuntimeError):
        watched.model(torch.zeros(1, 1, 8, 8))
    assert live_hooks(watched.model) == 1
    watched.inspector.end_step(At(0))
    watched.inspector.expect(0, 0)
    watched.step(*photos())
    assert watched.inspector.error is None


@pytest.mark.parametrize("place", ["before", "after", "gradients", "inputs"])
def test_looking_that_fails_ends_the_looking_and_not_the_training(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise ZeroDivisionError("no such number")

    monkeypatch.setattr(visit.Visit, place, broken)
    watched = Watched(Small())
    for _ in range(3):
        watched.step(*photos())
    assert len(watched.losses) == 3
    assert isinstance(watched.inspector.error, ZeroDivisionError)
    assert live_hooks(watched.model) == 0


# ---- compiled


def in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="aot_eager")
    return model


@pytest.mark.parametrize("compiled", [lambda model: torch.compile(model, backend="aot_eager"), in_place])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_compiled_model_is_looked_at_on_saved_steps_and_runs_compiled_on_others(
    compiled: Callable[[nn.Module], nn.Module],
) -> None:
    ran_eagerly = []

    class Noting(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not torch.compiler.is_compiling():
                ran_eagerly.append(len(watched.losses))
            return super().forward(x)

    watched = Watched(compiled(Noting()), every=5)
    for _ in range(16):
        watched.step(*photos())
    watched.inspector.close()
    assert watched.inspector.error is None
    assert [record.step for record in watched.records if record.name == "act_output_1"] == [*range(10), 10, 15]
    assert ran_eagerly == [*range(10), 10, 15]
    assert watched.names("weights", 15) == {f"Noting_{layer}.weight" for layer in ("stem", "body", "norm", "head")}
    assert len(watched.named("gradient/Noting_stem.weight")) == 12


# ---- whole tensors


def test_whole_tensors_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    model = Small()
    watched = Watched(model, DebugSettings(raw=("gradients", "activation_inputs")), raw=RawFiles(tmp_path, "tensors"))
    watched.step(*photos())
    record = next(record for record in watched.records if record.name == "gradient/Small_head.weight")
    assert record.file == "tensors/train/000000000.safetensors"
    found = load_file(tmp_path / record.file)
    assert torch.equal(found["gradient/Small_head.weight"], model.head.weight.grad)  # type: ignore[arg-type]
    assert found["act_input_0"].min() < 0
    assert "Small_head.weight" not in found
    assert next(record for record in watched.records if record.name == "Small_head.weight").file is None


def test_without_a_place_for_them_whole_tensors_are_not_kept() -> None:
    watched = Watched(Small(), DebugSettings(raw=("gradients",)))
    watched.step(*photos())
    assert all(record.file is None for record in watched.records)


# ---- one transfer


def test_the_numbers_of_a_step_come_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lists: list[torch.Tensor] = []
    tolist = torch.Tensor.tolist

    def noted(self: torch.Tensor) -> Any:
        lists.append(self)
        return tolist(self)

    monkeypatch.setattr(torch.Tensor, "tolist", noted)
    watched = Watched(Small())
    watched.step(*photos())
    watched.step(*photos())
    assert len(lists) == 2
    assert isinstance(watched.inspector, Inspector)
