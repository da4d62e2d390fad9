"""The checkpoint: everything comes back, it is whole at any kill, and it never runs code."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vizsla.errors import UserError, VizslaError
from vizsla.training.checkpoint import FILE, Best, Checkpoints, Parts, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")


def parts(seed: int) -> Parts:
    """A network of one layer with its optimizer and schedule, different for each seed."""
    torch.manual_seed(seed)
    net = nn.Linear(3, 2)
    optim = torch.optim.AdamW(net.parameters(), lr=0.1)
    return Parts(net, optim, LambdaLR(optim, lambda step: 0.5**step))


def step(these: Parts) -> None:
    """One step of training on random photos."""
    these.optim.zero_grad()
    these.net(torch.rand(4, 3)).sum().backward()
    these.optim.step()
    these.schedule.step()


def values(these: Parts) -> list[list[float]]:
    return [parameter.detach().flatten().tolist() for parameter in these.net.parameters()]


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path, plan="a plan", data="some photos")


@pytest.fixture
def trained(checkpoints: Checkpoints) -> Parts:
    """Parts after three steps, saved."""
    these = parts(seed=1)
    for _ in range(3):
        step(these)
    best = Best()
    best.keep(these.net, 1, 0.9, (0.8, 0.6))
    checkpoints.save(Progress(epoch=2, step=3, global_step=5, epochs_without_gain=1), best, these)
    return these


# ---- what comes back


def test_without_a_checkpoint_training_starts_fresh(checkpoints: Checkpoints) -> None:
    these = parts(seed=1)
    before = values(these)
    assert checkpoints.restore(these) == (Progress(), Best())
    assert values(these) == before


def test_progress_and_the_best_epoch_come_back(checkpoints: Checkpoints, trained: Parts) -> None:
    progress, best = checkpoints.restore(parts(seed=2))
    assert progress == Progress(epoch=2, step=3, global_step=5, epochs_without_gain=1)
    assert (best.epoch, best.train_loss, best.valid_loss, best.valid_accuracy) == (1, 0.9, 0.8, 0.6)
    assert torch.equal(best.weights["weight"], trained.net.state_dict()["weight"])


def test_what_follows_is_what_would_have_followed(checkpoints: Checkpoints, trained: Parts) -> None:
    """Weights, the optimizer's memory, the schedule and the random numbers all come back, or these would differ."""
    for _ in range(2):
        step(trained)
    resumed = parts(seed=2)
    checkpoints.restore(resumed)
    for _ in range(2):
        step(resumed)
    assert values(resumed) == values(trained)
    assert resumed.schedule.get_last_lr() == trained.schedule.get_last_lr()


# ---- the best epoch


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ([0.9, 0.8, 0.7], [True, True, True]),
        ([0.9, 0.9, 1.0, 0.8], [True, False, False, True]),
        ([0.9, NAN, 0.8], [True, False, True]),
        ([NAN, NAN, 0.8, NAN], [True, True, True, False]),
    ],
)
def test_an_epoch_is_kept_when_its_valid_loss_is_lower_than_any_before(losses: list[float], kept: list[bool]) -> None:
    best, net = Best(), nn.Linear(3, 2)
    assert [best.keep(net, epoch, 1.0, (loss, 0.5)) for epoch, loss in enumerate(losses, start=1)] == kept
    assert best.epoch == max(epoch for epoch, was in enumerate(kept, start=1) if was)


def test_kept_weights_do_not_move_on_with_the_training() -> None:
    these, best = parts(seed=1), Best()
    before = these.net.state_dict()["weight"].clone()
    best.keep(these.net, 1, 0.9, (0.8, 0.6))
    step(these)
    assert torch.equal(best.weights["weight"], before)
    assert not torch.equal(these.net.state_dict()["weight"], before)


# ---- kills, full disks, other plans and photos


def test_a_save_that_does_not_come_to_its_end_leaves_the_one_before(
    checkpoints: Checkpoints, trained: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_paths: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = values(trained)
    step(trained)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(VizslaError, match="The disk is full"):
        checkpoints.save(Progress(epoch=3), Best(), trained)
    resumed = parts(seed=2)
    progress, _ = checkpoints.restore(resumed)
    assert (progress.epoch, values(resumed)) == (2, before)
    assert [path.name for path in checkpoints.folder.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("plan", "data", "message"),
    [("another plan", "some photos", "belongs to another plan"), ("a plan", "others", "photos are not the ones")],
)
@pytest.mark.usefixtures("trained")
def test_another_plan_or_other_photos_are_refused_before_anything_changes(
    checkpoints: Checkpoints, plan: str, data: str, message: str
) -> None:
    these = parts(seed=2)
    before = values(these)
    with pytest.raises(UserError, match=message) as raised:
        Checkpoints(checkpoints.folder, plan, data).restore(these)
    assert "train anew" in raised.value.hint
    assert values(these) == before


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(half, id="half of it"),
        pytest.param(lambda _data: b"", id="nothing"),
        pytest.param(lambda _data: b"hello\n", id="a text"),
        pytest.param(lambda data: data[-40:], id="its end"),
        pytest.param(lambda _data: pickle.dumps({"epoch": 1}, protocol=2), id="something else"),
        pytest.param(lambda _data: pickle.dumps([1, 2], protocol=2), id="a list"),
        pytest.param(lambda _data: pickle.dumps([1, 2], protocol=2)[:-1] + b"h\x07.", id="a damaged list"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_a_damaged_checkpoint_is_named_with_the_cure(
    checkpoints: Checkpoints, damage: Callable[[bytes], bytes]
) -> None:
    file = checkpoints.folder / FILE
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=r"last\.pt cannot be read") as raised:
        checkpoints.restore(parts(seed=2))
    assert raised.value.hint == "Delete it to start over."


# ---- nothing in it runs


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def save_pickle(content: object, file: IO[bytes]) -> None:
    pickle.dump(content, file, protocol=2)  # the one that torch writes


@pytest.mark.parametrize("save", [torch.save, save_pickle])
def test_a_checkpoint_that_holds_code_is_refused_and_the_code_does_not_run(
    checkpoints: Checkpoints, tmp_path: Path, save: Callable[[object, IO[bytes]], None]
) -> None:
    trace, file = tmp_path / "it ran", checkpoints.folder / FILE
    with file.open("wb") as opened:
        save({"plan": "a plan", "data": "some photos", "progress": Malicious(trace)}, opened)
    with pytest.raises(UserError, match="cannot be read"):
        checkpoints.restore(parts(seed=2))
    assert not trace.exists()
    with contextlib.suppress(RuntimeError):  # a bare pickle has run by the time torch finds that it is not torch's
        torch.load(file, weights_only=False)
    assert trace.exists(), "the file was harmless, so this test proved nothing"
