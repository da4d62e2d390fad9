"""Rules on a script from outside: what they find is recorded, and may end the script or start a command."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import pytest

from tests.conftest import run_vizsla, settings
from tests.photos import write_folder
from tests.scripts import lay_out, log, run, says
from vizsla import records
from vizsla.files import read_json, write_json
from vizsla.jobdir import JobDir
from vizsla.observers.rules import LiveRules
from vizsla.records import Record, Tail, Writer
from vizsla.segments import Segments
from vizsla.watcher import Watcher

LOSS = {"train loss": "loss: ([0-9.naif]+)"}
RISING = "import time\nfor step in range({steps}):\n    print('loss:', 1 + step, flush=True)\n    time.sleep({pause})\n"
STALLS = "import time\nprint('loss: 1', flush=True)\ntime.sleep(600)\n"
NO_DROP = "loss_not_decreasing:num_steps=2"


def found(folder: JobDir) -> list[Record]:
    return [record for record in records.read(folder.records) if record.kind == "finding"]


def test_a_script_that_gets_worse_is_found_out_and_goes_on(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, RISING.format(steps=12, pause=0), metrics=LOSS, rules=[NO_DROP])
    assert run(folder).state == "Completed"
    assert {record.name for record in found(folder)} == {"LossNotDecreasing"}
    assert [line for line in log(folder) if line.startswith("loss")][-1] == "loss: 12"


def test_who_follows_a_script_reads_what_its_rules_found(tmp_path: Path) -> None:
    rule = f"{NO_DROP},action=command /no/such/program"
    folder = lay_out(tmp_path, RISING.format(steps=12, pause=0.2), metrics=LOSS, rules=[rule])
    run(folder)
    lines = log(folder)
    said = [line for line in lines if " WARNING vizsla.rules[" in line]
    assert any(f"LossNotDecreasing: {found(folder)[0].value['message']}" in line for line in said)  # type: ignore[index]
    assert any("the command /no/such/program could not be started" in line for line in said)
    assert lines.index(said[0]) < lines.index("loss: 12")  # while it ran


def test_a_stop_action_ends_the_script_with_the_reason(tmp_path: Path) -> None:
    script = RISING.format(steps=600, pause=0.1)
    folder = lay_out(tmp_path, script, metrics=LOSS, rules=[f"{NO_DROP},action=stop"])
    attempt = run(folder)
    assert attempt.state == "Stopped"
    assert (attempt.reason or "").startswith("stopped by the rule LossNotDecreasing: ")
    assert len(log(folder)) < 100


def test_a_profiler_rule_stops_a_script_while_it_runs(tmp_path: Path) -> None:
    rule = "max_initialization_time:threshold=0.0001,action=stop"
    attempt = run(folder := lay_out(tmp_path, RISING.format(steps=600, pause=0.1), metrics=LOSS, rules=[rule]))
    assert attempt.state == "Stopped"
    assert (attempt.reason or "").startswith("stopped by the rule MaxInitializationTime: The first step began ")
    assert len(log(folder)) < 100


def test_a_profiler_rule_alone_has_the_classifier_watched_before_its_first_step(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", {"disc": 8, "rows": 8})
    rule = "max_initialization_time:threshold=0.0001,action=stop"
    ended = run_vizsla("train", "photos", *settings("epochs=500"), "--rule", rule, "--json", cwd=tmp_path)
    assert ended.document["status"] == "Stopped"
    assert "MaxInitializationTime: The first step has not begun " in ended.document["reason"]


def test_a_script_that_a_rule_has_stopped_goes_on_to_its_end(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, RISING.format(steps=60, pause=0.1), metrics=LOSS, rules=[f"{NO_DROP},action=stop"])
    assert run(folder).state == "Stopped"
    assert run(folder).state == "Completed"
    assert "loss: 60" in log(folder)


def test_a_command_gets_the_finding_on_its_stdin(tmp_path: Path) -> None:
    notes = tmp_path / "notes.json"
    program = tmp_path / "note.py"
    program.write_text(f"import sys\nopen({str(notes)!r}, 'w').write(sys.stdin.read())\n")
    rule = f"{NO_DROP},action=command {sys.executable} {program}"
    assert run(lay_out(tmp_path, RISING.format(steps=12, pause=0), metrics=LOSS, rules=[rule])).state == "Completed"
    assert json.loads(notes.read_text())["rule"] == "LossNotDecreasing"


def test_a_script_that_stands_still_is_stopped(tmp_path: Path) -> None:
    rule = "stalled_training_rule:threshold=2,stop_training_on_fire=True"
    attempt = run(folder := lay_out(tmp_path, STALLS, metrics=LOSS, rules=[rule]))
    assert attempt.state == "Stopped"
    assert (attempt.reason or "").startswith("stopped by the rule StalledTrainingRule: Nothing was recorded for ")
    assert len(found(folder)) == 1


def test_a_healthy_script_is_left_alone(tmp_path: Path) -> None:
    script = "for step in range(12):\n    print('loss:', 12 - step)\n"
    folder = lay_out(tmp_path, script, metrics=LOSS, rules=[NO_DROP, "stalled_training"])
    assert run(folder).state == "Completed"
    assert found(folder) == []


def test_what_a_script_leaves_talking_does_not_hold_its_job_up(tmp_path: Path) -> None:
    script = "import subprocess\nsubprocess.Popen(['yes', 'still here'])\nprint('done', flush=True)\n"
    folder = lay_out(tmp_path, script)
    assert run(folder).state == "Completed"
    assert says(folder, "done")  # not as a line of its own: the other one talks in between


def test_a_disk_that_refuses_costs_what_rules_would_have_said_and_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = lay_out(tmp_path, "pass", metrics=LOSS, rules=[f"{NO_DROP},action=stop"])
    with Writer(Segments(folder.records / "script", 1)) as writer:
        for step in range(6):
            writer.write(Record(1.0 + step, "metric", "train loss", mode="global", step=step, value=1.0 + step))

    def full(_record: Record) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    rules = LiveRules(folder.job().rules, full)
    rules.begin()
    assert (Watcher(rules, Tail(folder.records)).look() or "").startswith("stopped by the rule LossNotDecreasing: ")

    class Unreadable(Tail):
        def poll(self) -> list[Record]:
            raise OSError(errno.EIO, "Input/output error")

    watcher = Watcher(rules, Unreadable(folder.records))
    assert watcher.look() is None
    watcher.end()
    assert "the rules could not be asked: Input/output error" in caplog.text


def test_a_job_that_cannot_be_begun_is_failed_with_the_reason(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "pass")
    raw = read_json(folder.path / "job.json")
    raw["rules"] = [{"name": "Ears", "rule": "Ears"}]  # of another version, or by hand
    write_json(folder.path / "job.json", raw)
    attempt = run(folder)
    assert (attempt.state, attempt.reason) == ("Failed", "There is no rule called 'Ears'.")
