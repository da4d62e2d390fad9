"""The loop: the same bits every time, interrupted or not; what is frozen stays; the best epoch is what is kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import torch

from tests.training.ready import splits_in
from vizsla.errors import UserError
from vizsla.observers.fanout import Fanout
from vizsla.plan import Plan
from vizsla.training.checkpoint import FILE, Checkpoints
from vizsla.training.data import Photos
from vizsla.training.events import EpochEnd, Event, Finished, See, Started, Step, Stop
from vizsla.training.learner import Learner
from vizsla.training.loop import Trained, train
from vizsla.training.scores import evaluate
from vizsla.vision import networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import nn

    from vizsla.training.data import Batch

PLAN = Plan(
    model="test_resnet", weights="none", train_from="all", epochs=3, batch_size=8, lr=0.003, dropout=0.5, seed=7
)
STEPS = 3  # an epoch: 22 photos in batches of 8
# With the head alone trained, and hardly at all, no valid loss after the first is lower.
IDLE = {"train_from": "head", "lr": 1e-30, "epochs": 8}


def replaced(**changes: object) -> Plan:
    """PLAN with these changes, checked like any other plan."""
    return Plan.model_validate({**PLAN.model_dump(), **changes})


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photos, Photos]:
    return splits_in(tmp_path_factory)


class Seen:
    """An observer that keeps every event, and asks to stop where `when` says so."""

    def __init__(self, when: Callable[[Event], bool] = lambda _event: False) -> None:
        self.events: list[Event] = []
        self._when = when

    def __call__(self, event: Event) -> Stop | None:
        self.events.append(event)
        return Stop("enough") if self._when(event) else None

    @property
    def steps(self) -> list[Step]:
        return [event for event in self.events if isinstance(event, Step)]

    @property
    def epochs(self) -> list[EpochEnd]:
        return [event for event in self.events if isinstance(event, EpochEnd)]

    @property
    def series(self) -> list[tuple[int, int, float, float]]:
        """What the records of a job hold: epoch, step, loss and learning rate of each step."""
        return [(event.epoch, event.global_step, event.loss, event.lr) for event in self.steps]


@dataclass(frozen=True)
class Run:
    """One training in a folder of its own; run again there, it goes on from its checkpoint, as a new process would."""

    folder: Path
    splits: tuple[Photos, Photos]

    def __call__(self, plan: Plan, see: See) -> tuple[nn.Module, Trained]:
        net = fresh(plan)
        torch.rand(5)  # a new process has other random numbers at this point, unless the checkpoint brings them back
        learner = Learner(net, net, networks.freeze(net, plan.train_from))
        trained = train(learner, plan, self.splits, Checkpoints(self.folder, plan.digest(), "photos"), see)
        return net, trained


def fresh(plan: Plan) -> nn.Module:
    torch.manual_seed(plan.seed)
    return networks.build(plan.model, 2, plan.dropout, plan.weights)


@pytest.fixture
def run(tmp_path: Path, splits: tuple[Photos, Photos]) -> Run:
    return Run(tmp_path / "one", splits)


@pytest.fixture
def other(tmp_path: Path, splits: tuple[Photos, Photos]) -> Run:
    return Run(tmp_path / "other", splits)


def same(net: nn.Module, other: nn.Module) -> bool:
    """Whether all weights and statistics are equal, bit for bit."""
    state, others = net.state_dict(), other.state_dict()
    return state.keys() == others.keys() and all(torch.equal(state[name], others[name]) for name in state)


# ---- what is told


def test_events_tell_the_whole_course_in_order(run: Run) -> None:
    seen = Seen()
    net, _ = run(replaced(epochs=2), seen)
    kinds = [type(event) for event in seen.events]
    assert kinds == [Started, *[Step] * STEPS, EpochEnd, *[Step] * STEPS, EpochEnd, Finished]
    assert seen.events[0] == Started(2, STEPS, 22, from_epoch=0, from_global_step=0, from_step=0, net=net)
    assert [event.epoch for event in seen.steps] == [1, 1, 1, 2, 2, 2]
    assert [event.step for event in seen.steps] == [0, 1, 2, 3, 4, 5]
    assert [event.step_in_epoch for event in seen.steps] == [0, 1, 2, 0, 1, 2]
    # One evaluation step comes between the epochs.
    assert [event.global_step for event in seen.steps] == [0, 1, 2, 4, 5, 6]
    assert [(event.step, event.global_step) for event in seen.epochs] == [(2, 3), (5, 7)]
    assert sum(event.images for event in seen.steps) == 2 * 22


def test_the_train_loss_of_an_epoch_is_the_mean_over_its_photos(run: Run) -> None:
    seen = Seen()
    run(replaced(epochs=1), seen)
    mean = sum(event.loss * event.images for event in seen.steps) / 22
    assert seen.epochs[0].train_loss == pytest.approx(mean)


def test_the_loss_falls_on_pictures_that_can_be_learned(run: Run) -> None:
    seen = Seen()
    run(replaced(epochs=8, lr=0.01, dropout=0.0), seen)
    assert seen.epochs[-1].train_loss < 0.7 * seen.epochs[0].train_loss


# ---- the same bits


def test_two_equal_runs_are_equal_bit_for_bit(run: Run, other: Run) -> None:
    first, second = Seen(), Seen()
    (net, trained), (again, trained_again) = run(PLAN, first), other(PLAN, second)
    assert first.series == second.series
    assert len(first.series) == 3 * STEPS
    assert same(net, again)
    assert trained.best.valid_loss == trained_again.best.valid_loss


def test_another_seed_gives_another_series(run: Run, other: Run) -> None:
    first, second = Seen(), Seen()
    run(replaced(epochs=1), first)
    other(replaced(epochs=1, seed=8), second)
    assert first.series != second.series


def test_every_epoch_goes_through_the_photos_in_another_order(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[list[str]] = []
    shuffled = Photos.shuffled

    def noted(photos: Photos, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        batches = list(shuffled(photos, batch_size, seed, epoch))
        orders.append([photo.file for batch in batches for photo in batch.photos])
        return iter(batches)

    monkeypatch.setattr(Photos, "shuffled", noted)
    run(PLAN, Seen())
    assert len(orders) == len(set(map(tuple, orders))) == 3
    assert all(sorted(order) == [photo.file for photo in run.splits[0].photos] for order in orders)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_interrupted_in_an_epoch_and_resumed_equals_uninterrupted(
    run: Run, other: Run, optimizer: str, schedule: str
) -> None:
    plan = replaced(optimizer=optimizer, schedule=schedule)
    straight, before, after = Seen(), Seen(lambda event: isinstance(event, Step) and event.step == STEPS + 1), Seen()
    net, trained = run(plan, straight)
    _, stopped = other(plan, before)
    assert (stopped.epochs, stopped.stopped) == (1, Stop("enough"))
    resumed_net, resumed = other(plan, after)
    assert after.events[0] == Started(3, STEPS, 22, 1, from_global_step=STEPS + 1, from_step=STEPS, net=resumed_net)
    first_epoch = before.series[:STEPS]
    assert first_epoch + after.series == straight.series
    assert same(net, resumed_net)
    assert (resumed.best.epoch, resumed.best.valid_loss) == (trained.best.epoch, trained.best.valid_loss)


def test_interrupted_after_an_epoch_that_epoch_is_not_run_again(run: Run) -> None:
    before, after = Seen(lambda event: isinstance(event, EpochEnd) and event.epoch == 2), Seen()
    _, stopped = run(PLAN, before)
    assert stopped.epochs == 2
    run(PLAN, after)
    assert [event.epoch for event in after.epochs] == [3]


def test_a_training_that_was_finished_has_nothing_left_to_do(run: Run) -> None:
    first, again = Seen(), Seen()
    net, trained = run(PLAN, first)
    same_net, same_trained = run(PLAN, again)
    assert [type(event) for event in again.events] == [Started, Finished]
    assert same(net, same_net)
    assert same_trained.best.epoch == trained.best.epoch


# ---- stopping


def test_stopped_before_the_first_epoch_ended_nothing_is_kept(run: Run) -> None:
    seen = Seen(lambda event: isinstance(event, Step))
    _, trained = run(PLAN, seen)
    assert (trained.best.epoch, trained.epochs, trained.stopped) == (0, 0, Stop("enough"))
    assert [type(event) for event in seen.events] == [Started, Step]
    assert not (run.folder / FILE).exists()


def test_stopped_at_the_start_no_photo_is_trained_on(run: Run) -> None:
    seen = Seen(lambda event: isinstance(event, Started))
    net, _ = run(PLAN, seen)
    assert seen.steps == []
    assert same(net, fresh(PLAN))


def test_patience_ends_a_training_that_gains_nothing(run: Run) -> None:
    seen = Seen()
    _, trained = run(replaced(**IDLE, patience=2), seen)
    assert [event.kept for event in seen.epochs] == [True, False, False]
    assert (trained.epochs, trained.best.epoch, trained.stopped) == (3, 1, None)


def test_patience_goes_on_counting_when_resumed(run: Run) -> None:
    plan = replaced(**IDLE, patience=3)
    run(plan, Seen(lambda event: isinstance(event, EpochEnd) and event.epoch == 2))
    _, trained = run(plan, Seen())
    assert trained.epochs == 4


def test_no_patience_never_ends_early(run: Run) -> None:
    _, trained = run(replaced(**IDLE, patience=0), Seen())
    assert trained.epochs == 8


# ---- what moves and what is kept


@pytest.mark.parametrize("train_from", ["head", "last"])
def test_what_is_frozen_does_not_move_nor_do_its_batch_norms(run: Run, train_from: str) -> None:
    plan = replaced(train_from=train_from, epochs=2, lr=0.05)
    net, _ = run(plan, Seen())
    before, after = fresh(plan).state_dict(), net.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    trained = networks.freeze(net, train_from).trained
    assert all(any(name.startswith(f"{stage}.") for stage in trained) for name in moved)
    assert any(name.endswith("weight") for name in moved)


def test_the_weights_of_the_best_epoch_are_in_the_network_at_the_end(run: Run) -> None:
    photos, valid = run.splits
    mislabelled = replace(valid, classes=tuple(reversed(valid.classes)))  # the more is learned, the worse on these
    seen = Seen()
    net, trained = replace(run, splits=(photos, mislabelled))(replaced(epochs=6, lr=0.01, dropout=0.0), seen)
    losses = [event.valid.loss for event in seen.epochs]
    assert min(losses) < losses[-1], "the last epoch was the best, so this test proved nothing"
    assert trained.best.epoch == 1 + losses.index(min(losses))
    assert evaluate(Learner.of(net), mislabelled, 128).loss == pytest.approx(min(losses), rel=1e-6)
    finished = seen.events[-1]
    assert isinstance(finished, Finished)
    assert (finished.epoch, finished.valid_loss) == (trained.best.epoch, min(losses))


# ---- what goes wrong


def test_a_failing_observer_is_switched_off_and_training_goes_on(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def fragile(event: Event) -> None:
        asked.append(event)
        if isinstance(event, Step) and event.step == 1:
            raise RuntimeError("no space for my notes")

    sound = Seen()
    see = Fanout({"fragile": fragile, "sound": sound})
    with caplog.at_level(logging.WARNING):
        _, trained = run(PLAN, see)
    assert trained.epochs == 3
    assert len(sound.steps) == 3 * STEPS
    assert len(asked) == 3
    assert "no space for my notes" in see.switched_off["fragile"]
    assert "the fragile observer failed and is switched off" in caplog.text


def test_a_training_that_diverges_says_so_and_names_a_cure(run: Run) -> None:
    with pytest.raises(UserError, match="diverged") as raised:
        run(replaced(lr=1e6, epochs=5), Seen())
    assert "lower learning rate" in raised.value.hint
