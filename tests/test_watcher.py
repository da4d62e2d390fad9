"""Rules on a script from outside: what they find is recorded, and may end the script or start a command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.scripts import lay_out, log, run
from vizsla import records
from vizsla.jobdir import JobDir
from vizsla.records import Record

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
