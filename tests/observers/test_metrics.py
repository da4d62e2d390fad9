"""What a job writes down of itself: records, the epoch line that SageMaker's regexes read, progress."""

from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from vizsla import records
from vizsla.observers.metrics import Metrics, ProgressFile, epoch_line
from vizsla.records import Record, Writer
from vizsla.segments import Segments, read_log
from vizsla.training.check import CheckedPhoto
from vizsla.training.events import EpochEnd, Event, Finished, Started, Step
from vizsla.training.scores import Scores

if TYPE_CHECKING:
    from tests.conftest import Trained

# The metric definitions of the reference system, as SageMaker applies them to a log.
TEST_LOSS = re.compile(r"average test loss: ([0-9.]+);")
ACCURACY = re.compile(r"accuracy: ([0-9.]+);")
TRAIN_LOSS = re.compile(r"train loss: ([0-9.]+);")


def started(from_epoch: int = 0, from_global_step: int = 0) -> Started:
    return Started(2, 2, 20, from_epoch, from_global_step, from_step=2 * from_epoch, net=nn.Identity())


def step(number: int, global_step: int, epoch: int, loss: float = 1.5) -> Step:
    logits_BC = torch.eye(2).repeat(5, 1)
    return Step(epoch, number, global_step, number % 2, loss, 0.01, 10, logits_BC.argmax(dim=1), logits_BC)


def epoch_end(epoch: int, number: int, global_step: int, loss: float = 1.25) -> EpochEnd:
    photo = CheckedPhoto(Path("cat/1.jpg"), "cat/1.jpg", "cat", None, "0" * 64, 1000)
    right, wrong = [0.9, 0.1], [0.2, 0.8]
    valid = Scores((photo,) * 4, torch.zeros(4, dtype=torch.int64), torch.tensor([right, right, right, wrong]), loss)
    return EpochEnd(epoch, number, global_step, 1.75, valid, kept=True)


def written(folder: Path, events: list[Event], attempt: int = 1) -> list[Record]:
    """The records that are in `folder` once these events were seen."""
    with Writer(Segments(folder / "train", attempt)) as writer:
        metrics = Metrics(writer)
        for event in events:
            assert metrics(event) is None
    return records.read(folder)


def rows(found: list[Record], name: str) -> list[tuple[str | None, int | None, int | None, int | None, object]]:
    return [(r.mode, r.step, r.global_step, r.epoch, r.value) for r in found if r.name == name]


# ---- records


def test_an_attempt_opens_with_where_it_goes_on_from(tmp_path: Path) -> None:
    first, *_ = written(tmp_path, [started(from_epoch=1, from_global_step=3), step(2, 3, 2)])
    assert first.kind == "attempt"
    assert first.value == {"from_global_step": 3, "from_epoch": 1, "epochs": 2, "steps_per_epoch": 2}


def test_every_step_has_its_loss_and_its_learning_rate(tmp_path: Path) -> None:
    found = written(tmp_path, [started(), step(0, 0, 1, loss=1.5), step(1, 1, 1, loss=1.25)])
    assert rows(found, "train_loss") == [("train", 0, 0, 1, 1.5), ("train", 1, 1, 1, 1.25)]
    assert rows(found, "lr") == [("train", 0, 0, 1, 0.01), ("train", 1, 1, 1, 0.01)]


def test_every_epoch_has_its_losses_and_its_accuracy(tmp_path: Path) -> None:
    found = written(tmp_path, [started(), epoch_end(1, 1, 2), epoch_end(2, 3, 5, loss=1.0)])
    assert rows(found, "valid_loss") == [("eval", 0, 2, 1, 1.25), ("eval", 1, 5, 2, 1.0)]
    assert rows(found, "valid_accuracy") == [("eval", 0, 2, 1, 0.75), ("eval", 1, 5, 2, 0.75)]
    assert rows(found, "epoch_train_loss") == [("train", 1, 2, 1, 1.75), ("train", 3, 5, 2, 1.75)]


def test_what_was_done_again_after_a_kill_counts_once(tmp_path: Path) -> None:
    one = epoch_end(1, 1, 2)
    written(tmp_path, [started(), step(0, 0, 1), step(1, 1, 1), one, step(2, 3, 2, loss=9.0)])
    found = written(tmp_path, [started(1, 3), step(2, 3, 2, loss=1.0), step(3, 4, 2, loss=0.5)], attempt=2)
    assert [value for *_, value in rows(found, "train_loss")] == [1.5, 1.5, 1.0, 0.5]


def test_a_loss_that_is_no_number_is_still_on_record(tmp_path: Path) -> None:
    found = written(tmp_path, [started(), step(0, 0, 1, loss=math.nan), step(1, 1, 1, loss=math.inf)])
    losses = [value for *_, value in rows(found, "train_loss")]
    assert math.isnan(float(str(losses[0])))
    assert losses[1] == math.inf


def test_a_real_job_has_a_loss_for_each_step_and_a_valid_loss_for_each_epoch(trained: Trained) -> None:
    folder = trained.folder / "checkpoints" / "vizsla" / "records"
    found = records.read(folder, {"train"})
    steps_per_epoch = math.ceil(trained.document["images"]["train"] / 16)
    assert found[0].kind == "attempt"
    assert [step for _, step, *_ in rows(found, "train_loss")] == list(range(3 * steps_per_epoch))
    assert len(rows(found, "lr")) == 3 * steps_per_epoch
    assert [epoch for *_, epoch, _ in rows(found, "valid_loss")] == [1, 2, 3]
    assert trained.document["metrics"]["valid_loss"] == min(
        float(str(value)) for *_, value in rows(found, "valid_loss")
    )


# ---- the epoch line


def test_the_epoch_line_is_what_the_issue_says() -> None:
    line = epoch_line(2, 3, 1.20312, 1.4903, 0.6812)
    assert line == "epoch 2/3 train loss: 1.2031; average test loss: 1.4903; accuracy: 0.6812;"


@pytest.mark.parametrize("value", [0.0, 0.00004, 1.0, 123456.789])
def test_sagemakers_regexes_find_every_number_in_the_epoch_line(value: float) -> None:
    line = epoch_line(1, 1, value, value + 1, value + 2)
    assert float(TRAIN_LOSS.findall(line)[0]) == pytest.approx(value, abs=5e-5)
    assert float(TEST_LOSS.findall(line)[0]) == pytest.approx(value + 1, abs=5e-5)
    assert float(ACCURACY.findall(line)[0]) == pytest.approx(value + 2, abs=5e-5)


def test_the_last_epoch_line_is_that_of_the_kept_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finished = Finished(epochs=2, epoch=1, train_loss=1.75, valid_loss=1.0, valid_accuracy=0.75)
    with caplog.at_level(logging.INFO):
        written(tmp_path, [started(), epoch_end(1, 1, 2, loss=1.0), epoch_end(2, 3, 5, loss=1.5), finished])
    assert TEST_LOSS.findall(caplog.text) == ["1.0000", "1.5000", "1.0000"]
    assert caplog.messages[-2] == "the weights of epoch 1 are kept"


def test_in_a_real_log_the_last_match_is_the_kept_weights_value(trained: Trained) -> None:
    log = "\n".join(read_log(trained.folder / "checkpoints" / "vizsla" / "logs", "job"))
    metrics = trained.document["metrics"]
    assert len(TEST_LOSS.findall(log)) == 4  # three epochs, and the kept one again
    assert TEST_LOSS.findall(log)[-1] == f"{metrics['valid_loss']:.4f}"
    assert TRAIN_LOSS.findall(log)[-1] == f"{metrics['train_loss']:.4f}"
    assert ACCURACY.findall(log)[-1] == f"{metrics['valid_accuracy']:.4f}"


def test_the_held_out_result_is_in_the_log_in_words_that_no_such_regex_reads(trained: Trained) -> None:
    lines = list(read_log(trained.folder / "checkpoints" / "vizsla" / "logs", "job"))
    (line,) = [line for line in lines if "held-out: " in line]
    metrics = trained.document["metrics"]
    assert f"held-out: loss {metrics['test_loss']:.4f} accuracy {metrics['test_accuracy']:.4f}" in line
    assert not any(regex.search(line) for regex in (TEST_LOSS, ACCURACY, TRAIN_LOSS))


# ---- progress


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(tmp_path: Path, clock: Clock) -> ProgressFile:
    return ProgressFile(tmp_path / "progress.json", clock)


def said(tmp_path: Path) -> tuple[str, int, int, int | None]:
    found = json.loads((tmp_path / "progress.json").read_text())
    return found["stage"], found["done"], found["total"], found["epoch"]


def test_progress_counts_the_photos_of_all_epochs(tmp_path: Path, progress: ProgressFile, clock: Clock) -> None:
    progress(started())
    for number, global_step, epoch in ((0, 0, 1), (1, 1, 1), (2, 3, 2)):
        clock.now += 1
        progress(step(number, global_step, epoch))
    assert said(tmp_path) == ("train", 30, 40, 2)


def test_progress_of_a_resumed_job_starts_where_the_checkpoint_was(tmp_path: Path, progress: ProgressFile) -> None:
    progress(started(from_epoch=1, from_global_step=3))
    progress(step(2, 3, 2))
    assert said(tmp_path) == ("train", 30, 40, 2)


def test_progress_is_not_written_more_than_four_times_a_second(
    tmp_path: Path, progress: ProgressFile, clock: Clock
) -> None:
    progress.show("check", 1, 100)
    clock.now += 0.2
    progress.show("check", 2, 100)
    assert said(tmp_path) == ("check", 1, 100, None)
    clock.now += 0.1
    progress.show("check", 3, 100)
    assert said(tmp_path) == ("check", 3, 100, None)


def test_a_new_stage_and_the_end_of_one_are_always_written(tmp_path: Path, progress: ProgressFile) -> None:
    progress.show("check", 1, 2)
    progress.show("check", 2, 2)
    assert said(tmp_path) == ("check", 2, 2, None)
    progress.show("test", 1, 2)
    assert said(tmp_path) == ("test", 1, 2, None)
