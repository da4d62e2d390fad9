"""The fan-out: everybody sees everything, and one observer that fails harms nobody else."""

from __future__ import annotations

import logging

import pytest
from torch import nn

from vizsla.observers.fanout import Fanout
from vizsla.training.events import Event, Finished, Started, Stop

STARTED = Started(2, 3, images=22, from_epoch=0, from_global_step=0, from_step=0, net=nn.Identity())
FINISHED = Finished(epochs=2, epoch=1, train_loss=0.5, valid_loss=0.6, valid_accuracy=0.7)


class Keeping:
    """An observer that keeps what it sees and gives always the same answer."""

    def __init__(self, answer: Stop | None = None) -> None:
        self.seen: list[Event] = []
        self._answer = answer

    def __call__(self, event: Event) -> Stop | None:
        self.seen.append(event)
        return self._answer


class Failing(Keeping):
    """An observer that sees an event and fails."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def __call__(self, event: Event) -> Stop | None:
        super().__call__(event)
        raise self._error


def test_every_observer_sees_every_event_in_order() -> None:
    first, second = Keeping(), Keeping()
    see = Fanout({"first": first, "second": second})
    assert (see(STARTED), see(FINISHED)) == (None, None)
    assert first.seen == second.seen == [STARTED, FINISHED]


def test_the_first_wish_to_stop_is_passed_on_and_the_others_are_still_asked() -> None:
    last = Keeping(Stop("later"))
    see = Fanout({"idle": Keeping(), "eager": Keeping(Stop("now")), "last": last})
    assert see(STARTED) == Stop("now")
    assert last.seen == [STARTED]


def test_one_that_fails_is_asked_no_more_and_the_others_go_on() -> None:
    failing, sound = Failing(OSError("disk full")), Keeping(Stop("enough"))
    see = Fanout({"failing": failing, "sound": sound})
    assert see(STARTED) == Stop("enough")
    see(FINISHED)
    assert failing.seen == [STARTED]
    assert sound.seen == [STARTED, FINISHED]


def test_one_that_fails_is_named_with_its_error_in_the_log_and_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    see = Fanout({"failing": Failing(OSError("disk full")), "sound": Keeping()})
    with caplog.at_level(logging.WARNING):
        see(STARTED)
        see(FINISHED)
    assert see.switched_off == {"failing": "OSError('disk full')"}
    assert [record.getMessage() for record in caplog.records] == [
        "the failing observer failed and is switched off: OSError('disk full')"
    ]


def test_when_all_have_failed_training_still_goes_on() -> None:
    see = Fanout({"a": Failing(ValueError("a")), "b": Failing(KeyError("b"))})
    assert (see(STARTED), see(FINISHED)) == (None, None)
    assert set(see.switched_off) == {"a", "b"}


def test_ctrl_c_is_no_failure_of_an_observer() -> None:
    see = Fanout({"interrupted": Failing(KeyboardInterrupt())})
    with pytest.raises(KeyboardInterrupt):
        see(STARTED)
    assert see.switched_off == {}
