"""A job's observers together, in a process of its own: what is written, how a rule ends it, and what a resume does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from tests.conftest import ROOT, TINY
from tests.photos import write_folder
from vizsla import jobdir, records
from vizsla.job import Action, Job, RuleRequest, partition
from vizsla.jobdir import JobDir, Outcome
from vizsla.observers.watching import watching
from vizsla.plan import resolve
from vizsla.records import Record
from vizsla.training.events import Event, Started

# Fires at the second epoch: no valid loss falls by 99 % from one epoch to the next.
NEVER_ENOUGH = {"num_steps": "1", "diff_percent": "99", "mode": "eval"}


@dataclass(frozen=True)
class Made:
    """A job folder on made pictures, and its attempts, each in a process of its own."""

    folder: JobDir

    def attempt(self, number: int) -> Outcome:
        command = [sys.executable, "-m", "vizsla.worker", "train", str(self.folder.path), str(number)]
        environment = {**os.environ, "VIZSLA_CPUS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        outcome = self.folder.outcome(number)
        assert outcome is not None, done.stderr
        (self.folder.path / f"log-{number}").write_text(done.stderr)
        return outcome

    def log(self, number: int) -> str:
        return (self.folder.path / f"log-{number}").read_text()

    def records(self, *streams: str) -> list[Record]:
        return records.read(self.folder.records, streams or None)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_folder(folder, {"disc": 16, "stripes": 16}, seed=1)
    return folder


def make(place: Path, pictures: Path, *rules: RuleRequest, settings: tuple[str, ...] = ()) -> Made:
    pairs = dict(text.split("=", 1) for text in (*TINY, "epochs=4", *settings))
    hyperparameters, launch = partition(pairs)
    folder = place / "runs" / "training" / "shapes"
    job = Job(
        name="shapes",
        hyperparameters=hyperparameters,
        channels={"training": str(pictures)},
        launch=launch,
        rules=rules,
    )
    return Made(jobdir.create(folder, job, resolve(job)))


def value(record: Record) -> Any:
    return record.value


def test_a_job_writes_what_its_network_did_and_what_its_rules_found(tmp_path: Path, pictures: Path) -> None:
    quiet = RuleRequest(name="nan-watch", rule="ExplodingTensor")
    never = RuleRequest(name="never-enough", rule="LossNotDecreasing", parameters=NEVER_ENOUGH)
    made = make(tmp_path, pictures, quiet, never)
    assert made.attempt(1).state == "Completed"
    found = made.records()
    collections = Counter(value(record)["collection"] for record in found if record.kind == "tensor")
    assert set(collections) == {
        *("weights", "biases", "gradients", "activation_inputs", "activation_outputs"),
        *("inputs", "labels", "predictions"),
    }
    findings = [record for record in found if record.kind == "finding"]
    assert {record.name for record in findings} == {"never-enough"}
    assert findings == made.records("findings")
    assert all(record.global_step is not None for record in findings)
    assert "WARNING vizsla.rules" in made.log(1)


def test_debugger_and_profiler_can_be_switched_off(tmp_path: Path, pictures: Path) -> None:
    made = make(tmp_path, pictures, settings=("debug.collections=none", "profile.enabled=false", "epochs=1"))
    assert made.attempt(1).state == "Completed"
    assert {record.kind for record in made.records()} == {"attempt", "metric"}


def test_a_job_is_profiled_and_says_how_it_runs(tmp_path: Path, pictures: Path) -> None:
    made = make(tmp_path, pictures, settings=("debug.collections=none", "epochs=1"))
    assert made.attempt(1).state == "Completed"
    found = made.records("profile")
    how = value(found[0])
    assert (how["threads"], how["batch_size"], how["memory_format"]) == (1, 16, "channels_last")
    assert {one.name for one in found[1:]} == {
        *("load", "forward", "backward", "update", "observe", "evaluate", "checkpoint"),
        *("profile", "operator"),
    }
    (profile,) = (one for one in found if one.name == "profile")
    assert profile.file is not None
    assert (made.folder.path / profile.file).is_file()
    assert "USDT" not in made.log(1)  # what torch's profiler would say by itself


@pytest.mark.parametrize(("steps", "said"), [(2, "stopped after 2 steps"), (1000, "the whole training is profiled")])
def test_a_job_that_is_there_to_be_profiled_keeps_no_model(
    tmp_path: Path, pictures: Path, steps: int, said: str
) -> None:
    made = make(tmp_path, pictures, settings=("epochs=1", f"profile.stop_after={steps}"))
    stopped = made.attempt(1)
    assert (stopped.state, stopped.reason) == ("Stopped", f"{said}: a profile keeps no model")
    assert not (made.folder.model / "manifest.json").exists()


def test_a_rule_ends_a_job_which_keeps_its_best_epoch_and_can_go_on(tmp_path: Path, pictures: Path) -> None:
    never = RuleRequest(
        name="never-enough", rule="LossNotDecreasing", parameters=NEVER_ENOUGH, actions=(Action(name="stop"),)
    )
    made = make(tmp_path, pictures, never)
    stopped = made.attempt(1)
    assert stopped.state == "Stopped"
    assert stopped.reason is not None
    assert stopped.reason.startswith("stopped by the rule never-enough: ")
    assert stopped.reason.endswith("; the best of 2 epochs is kept")
    assert (made.folder.model / "manifest.json").is_file()
    assert len(made.records("findings")) == 1

    # It knows the past: what was found is not found again, the next epoch is compared with the one before it, and who
    # goes on in spite of the rule is not stopped by it again.
    assert made.attempt(2).state == "Completed"
    assert [record.epoch for record in made.records("findings")][:2] == [2, 3]
    assert "never-enough has acted in an earlier attempt, and does not again" in made.log(2)


def test_a_rule_that_ends_a_job_in_its_first_epoch_leaves_no_model(tmp_path: Path, pictures: Path) -> None:
    variance = RuleRequest(
        name="tight",
        rule="TensorVariance",
        parameters={"collection_names": "weights", "max_threshold": "0"},
        actions=(Action(name="stop"),),
    )
    outcome = make(tmp_path, pictures, variance)
    stopped = outcome.attempt(1)
    assert stopped.state == "Stopped"
    assert stopped.reason is not None
    assert "stopped by the rule tight" in stopped.reason
    assert stopped.reason.endswith("before the first epoch ended: there is no model")


def test_an_observer_that_failed_is_on_record(tmp_path: Path, pictures: Path) -> None:
    def broken(_event: Event) -> None:
        raise ZeroDivisionError("no such number")

    made = make(tmp_path, pictures)
    with watching(made.folder, 1, {"broken": broken}) as see:
        see(Started(1, 1, 1, 0, 0, 0, nn.Identity()))
    record = made.records("train")[-1]
    assert (record.kind, record.name) == ("attempt", "switched_off")
    assert value(record) == {"broken": "ZeroDivisionError('no such number')"}
