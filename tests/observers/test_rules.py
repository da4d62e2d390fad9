"""Rules while a training runs: what they find is on record, in the log, and acted on; and nobody is harmed by them."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from torch import nn

from tests.conftest import ROOT
from vizsla import records
from vizsla.analysis.rules import Finding, registry
from vizsla.errors import UserError
from vizsla.job import Action, RuleRequest
from vizsla.observers.actions import Commands
from vizsla.observers.rules import HeardWriter, LiveRules, acted
from vizsla.records import Record, Writer
from vizsla.segments import Segments
from vizsla.training.events import Finished, Started, Stop

STARTED = Started(2, 3, images=22, from_epoch=0, from_global_step=0, from_step=0, net=nn.Identity())
FINISHED = Finished(epochs=2, epoch=1, train_loss=0.5, valid_loss=0.6, valid_accuracy=0.7)
STOP = Action(name="stop")


def exploding(*actions: Action, name: str = "nan-watch") -> RuleRequest:
    return RuleRequest(name=name, rule="ExplodingTensor", parameters={"only_nan": "True"}, actions=actions)


def gradient(step: int, nan: int = 1) -> Record:
    value: dict[str, float | str] = {"collection": "gradients", "type": "", "size": 9, "nan": nan, "inf": 0}
    return Record(1790000000.0 + step, "tensor", "gradient/Net_head.weight", "train", step, step, 1, value)


class Live:
    """Live rules, and the records of what they found."""

    def __init__(self, *requests: RuleRequest, past: Iterable[Record] = (), commands: Commands | None = None) -> None:
        self.written: list[Record] = []
        self.rules = LiveRules(requests, self.written.append, past=lambda: past, commands=commands)

    def hears(self, *heard: Record) -> Stop | None:
        for record in heard:
            self.rules.hear(record)
        return self.rules.settle()


# ---- findings


def test_a_finding_is_a_record_with_the_place_and_the_cure(caplog: pytest.LogCaptureFixture) -> None:
    live = Live(exploding())
    live.rules(STARTED)
    with caplog.at_level(logging.WARNING):
        assert live.hears(gradient(4, nan=0), gradient(5)) is None
    (record,) = live.written
    assert (record.kind, record.name, record.mode, record.step) == ("finding", "nan-watch", "train", 5)
    assert (record.global_step, record.epoch) == (5, 1)
    assert isinstance(record.value, dict)
    assert record.value["rule"] == "ExplodingTensor"
    assert record.value["tensor"] == "gradient/Net_head.weight"
    assert "gradient/Net_head.weight" in str(record.value["message"])
    assert record.value["cure"]
    assert record.value["nan"] == 1
    assert Record.from_line(record.to_line()) == record
    assert caplog.messages == [f"nan-watch: {record.value['message']} {record.value['cure']}"]


def test_a_rule_that_finds_much_is_brief_in_the_log_and_bounded_on_record(caplog: pytest.LogCaptureFixture) -> None:
    live = Live(exploding())
    live.rules(STARTED)
    with caplog.at_level(logging.WARNING):
        for step in range(150):
            live.hears(gradient(step))
    assert len(caplog.messages) == 4
    assert caplog.messages[-1] == "nan-watch found more; all of it is in the report"
    assert len(live.written) == len(live.rules.findings) == 100
    assert live.rules.evaluations()[0].triggered == 150


def test_what_was_found_is_written_when_it_is_asked_for_and_not_while_another_stream_is() -> None:
    live = Live(exploding())
    live.rules(STARTED)
    live.rules.hear(gradient(1))
    assert live.written == []
    live.rules.settle()
    live.rules.settle()
    assert len(live.written) == 1


def test_every_record_that_is_written_is_heard(tmp_path: Path) -> None:
    heard: list[Record] = []
    with HeardWriter(Segments(tmp_path / "debugger"), heard.append) as writer:
        writer.write(gradient(1))
        writer.write(gradient(2))
    assert records.read(tmp_path) == heard == [gradient(1), gradient(2)]


# ---- resuming


def test_the_past_is_known_and_not_told_again() -> None:
    live = Live(exploding(STOP), past=[gradient(0), gradient(1)])
    live.rules.hear(gradient(1))  # before it listens: it is in the past
    assert live.rules(STARTED) is None
    assert live.written == []
    assert live.rules.evaluations()[0].triggered == 2
    assert live.hears(gradient(2)) is not None
    assert [record.step for record in live.written] == [2]
    assert live.rules.evaluations()[0].triggered == 3


def test_a_rule_that_has_acted_in_an_earlier_attempt_tells_and_does_not_act_again(tmp_path: Path) -> None:
    """Also where the step it found something at is dropped by the resume, and found again."""
    with Writer(Segments(tmp_path / "findings", 1)) as first:
        earlier = LiveRules([exploding(STOP)], first.write, acted=lambda: acted(tmp_path))
        earlier(STARTED)
        earlier.hear(gradient(5))
        assert earlier.settle()
    with Writer(Segments(tmp_path / "train", 2)) as train, Writer(Segments(tmp_path / "findings", 2)) as second:
        train.write(Record(1790000000.0, "attempt", "start", value={"from_global_step": 0}))
        assert not any(record.kind == "finding" for record in records.read(tmp_path))
        requests = [exploding(STOP), exploding(STOP, name="other")]
        again = LiveRules(requests, second.write, acted=lambda: acted(tmp_path))
        again(STARTED)
        again.hear(gradient(5))
        stop = again.settle()
        assert [finding.step for finding in again.findings] == [5, 5]
    assert stop is not None
    assert stop.reason.startswith("stopped by the rule other: ")


# ---- the end


def test_a_finished_training_has_its_verdicts() -> None:
    live = Live(exploding(), exploding(name="quiet"), RuleRequest(name="dead", rule="DeadRelu"))
    live.rules(STARTED)
    live.hears(gradient(0, nan=0))
    assert [one.status for one in live.rules.evaluations()] == ["InProgress"] * 3
    live.rules(FINISHED)
    assert [one.status for one in live.rules.evaluations()] == ["NoIssuesFound", "NoIssuesFound", "NotApplicable"]


@pytest.mark.parametrize(
    "request_",
    [
        RuleRequest(name="a", rule="Overfitt"),
        RuleRequest(name="a", rule="Overfit", parameters={"ratio": "1"}),
    ],
)
def test_a_rule_that_cannot_be_is_refused_before_the_training(request_: RuleRequest) -> None:
    with pytest.raises(UserError, match="Overfit"):
        Live(request_)


def test_a_training_that_stands_still_is_seen_by_who_tells_the_time() -> None:
    live = Live(RuleRequest(name="stalled", rule="StalledTrainingRule", parameters={"threshold": "60"}))
    live.rules(STARTED)
    live.hears(gradient(0, nan=0))
    live.rules.tick(gradient(30).t)
    live.rules.settle()
    assert live.written == []
    live.rules.tick(gradient(90).t)
    live.rules.settle()
    assert [record.name for record in live.written] == ["stalled"]


def test_who_watches_from_outside_loads_no_torch() -> None:
    code = "import sys, vizsla.observers.rules; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


# ---- actions


def test_stop_is_answered_with_the_rule_and_what_it_found() -> None:
    live = Live(exploding(STOP))
    live.rules(STARTED)
    assert live.hears(gradient(4, nan=0)) is None
    stop = live.hears(gradient(5))
    assert stop is not None
    assert stop.reason.startswith("stopped by the rule nan-watch: ")
    assert not stop.reason.endswith(".")


NOTE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"


def test_a_command_gets_the_first_finding_as_json_and_its_arguments_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "told; rm -rf $HOME"
    live = Live(exploding(Action(name="command", command=(sys.executable, "-c", NOTE, str(file)))))
    live.rules(STARTED)
    assert live.hears(gradient(5)) is None
    live.hears(gradient(6))
    live.rules.close()
    told = json.loads(file.read_text())
    assert (told["rule"], told["step"], told["tensor"]) == ("nan-watch", 5, "gradient/Net_head.weight")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("/no/such/program",), "could not be started"),
        ((sys.executable, "-c", "import sys; sys.exit('out of paper')"), "ended with 1: out of paper"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "ran for 0.5 s and was ended"),
    ],
)
def test_a_command_that_fails_is_named_in_the_log(
    command: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    live = Live(exploding(Action(name="command", command=command)), commands=Commands(timeout_s=0.5))
    if "paper" in command[-1]:
        live = Live(exploding(Action(name="command", command=command)))
    live.rules(STARTED)
    with caplog.at_level(logging.WARNING):
        live.hears(gradient(5))
        live.rules.close()
    assert said in caplog.text
    assert f"the command {command[0]}" in caplog.text


def test_what_a_command_leaves_running_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    leaves = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])"
    commands = Commands(timeout_s=10)
    with caplog.at_level(logging.WARNING):
        commands.start((sys.executable, "-c", leaves), {})
        commands.close()
    assert caplog.messages == []


def test_numbers_that_are_none_reach_a_command_as_words(tmp_path: Path) -> None:
    file = tmp_path / "told"
    commands = Commands()
    finding = Finding("a", "m", "c", numbers={"ratio": math.inf})
    commands.start((sys.executable, "-c", NOTE, str(file)), finding.document())
    commands.close()
    assert json.loads(file.read_text())["numbers"] == {"ratio": "inf"}


# ---- what goes wrong


def test_a_rule_that_fails_is_switched_off_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Iterable[Finding]:
        raise ZeroDivisionError("no such number")

    monkeypatch.setattr(registry.find("DeadRelu"), "see", broken)
    live = Live(RuleRequest(name="dead", rule="DeadRelu"), exploding())
    live.rules(STARTED)
    with caplog.at_level(logging.WARNING):
        live.hears(gradient(1), gradient(2))
    assert len(live.written) == 2
    assert [one.status for one in live.rules.evaluations()] == ["Error", "IssuesFound"]
    assert caplog.text.count("the rule dead failed and is switched off") == 1
