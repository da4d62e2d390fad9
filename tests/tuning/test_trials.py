"""What a trial counts with, read from folders as trainings leave them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.analysis.jobs import ended, measured
from vizsla import jobdir
from vizsla.job import Job, Metric
from vizsla.jobdir import VANISHED, JobDir, Outcome
from vizsla.process import Process
from vizsla.records import Record, Writer
from vizsla.segments import Segments
from vizsla.tuning import trials
from vizsla.tuning.spec import Sweep
from vizsla.workspace import Workspace

METRIC = "average test loss"
GONE = Process(pid=1, started=0.0, boot="another boot")
COMPLETED = Outcome("Completed")


def template(place: Path) -> Job:
    metric = Metric(name=METRIC, regex="([0-9.]+)")
    return Job(name="unnamed", entry_point="trial.py", metrics=(metric,), channels={}, hyperparameters={"w": "1"})


def sweep(place: Path, **changes: object) -> Sweep:
    ranges = {"w": {"values": ["1", "2"]}}
    return Sweep(**{"name": "s", "template": template(place), "ranges": ranges, "max_jobs": 4, **changes})


def script(place: Path, number: int, *runs: list[float], outcome: Outcome | None = COMPLETED) -> JobDir:
    """A trial of a script whose n-th run printed `runs[n]`; the runs before the last one were killed."""
    path = place / "training" / f"s-{number:03d}"
    path.mkdir(parents=True)
    folder = jobdir.create(path, template(place), None)
    for attempt, values in enumerate(runs, 1):
        folder.begin(attempt, GONE)
        jobdir.advance(folder)
        with Writer(Segments(folder.records / "script", attempt, ".jsonl")) as writer:
            for step, value in enumerate(values):
                writer.write(Record(1.0 + step, "metric", METRIC, mode="global", step=step, value=value))
    folder.begin(len(runs), GONE)
    if outcome:
        folder.report_outcome(len(runs), outcome)
    return folder


def test_a_script_counts_with_its_last_value(tmp_path: Path) -> None:
    script(tmp_path, 1, [0.5, 0.2, 0.4])
    trial = trials.read_all(sweep(tmp_path), Workspace(tmp_path))[0]
    assert (trial.objective, trial.curve, trial.status) == (0.4, (0.5, 0.2, 0.4), "Completed")


def test_what_a_script_said_before_it_was_killed_and_run_again_does_not_count(tmp_path: Path) -> None:
    script(tmp_path, 1, [0.9, 0.8], [0.9, 0.7, 0.6])
    trial = trials.read_all(sweep(tmp_path), Workspace(tmp_path))[0]
    assert (trial.objective, trial.curve) == (0.6, (0.9, 0.7, 0.6))


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [math.inf]])
def test_a_script_that_ends_without_a_value_has_failed_and_is_never_best(tmp_path: Path, values: list[float]) -> None:
    script(tmp_path, 1, values)
    script(tmp_path, 2, [7.0])
    found = trials.read_all(sweep(tmp_path), Workspace(tmp_path))
    assert (found[0].status, found[0].objective) == ("Failed", None)
    assert found[0].reason == "it ended without a value of the objective"
    assert found[0].tried().state == "Failed"
    assert (best := trials.best(found, sweep(tmp_path))) is not None
    assert best.number == 2


def test_a_script_that_was_stopped_without_a_value_has_not_failed(tmp_path: Path) -> None:
    script(tmp_path, 1, [], outcome=Outcome("Stopped", "stopped by the user"))
    trial = trials.read_all(sweep(tmp_path), Workspace(tmp_path))[0]
    assert (trial.status, trial.tried().state, trial.reason) == ("Stopped", "Stopped", "stopped by the user")


def test_a_script_that_crashed_counts_with_nothing_whatever_it_said_before(tmp_path: Path) -> None:
    script(tmp_path, 1, [0.1], outcome=Outcome("Failed", "Exit code 1."))
    trial = trials.read_all(sweep(tmp_path), Workspace(tmp_path))[0]
    assert (trial.objective, trial.tried().state) == (None, "Failed")


def test_the_best_trial_of_a_maximized_objective_is_the_highest_and_the_first_of_equals(tmp_path: Path) -> None:
    for number, value in enumerate([0.5, 0.9, 0.9, 0.1], 1):
        script(tmp_path, number, [value])
    for direction, number in (("maximize", 2), ("minimize", 4)):
        made = sweep(tmp_path, direction=direction)
        best = trials.best(trials.read_all(made, Workspace(tmp_path)), made)
        assert best is not None
        assert best.number == number


def test_a_folder_whose_job_was_never_written_down_is_no_trial(tmp_path: Path) -> None:
    script(tmp_path, 1, [0.5])
    (tmp_path / "training" / "s-002").mkdir()
    assert [trial.number for trial in trials.read_all(sweep(tmp_path), Workspace(tmp_path))] == [1]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [("average test loss", 0.3), ("accuracy", 0.5), ("train loss", 1.0), ("valid_loss", 0.3)],
)
def test_a_classifier_counts_with_its_kept_epoch_also_when_it_was_killed(
    tmp_path: Path, objective: str, expected: float
) -> None:
    folder = measured(ended(tmp_path, Outcome("Failed", VANISHED), {"epochs": "9"}), [0.9, 0.3, 0.6])
    made = sweep(tmp_path, objective=objective, ranges={"epochs": {"low": 2, "high": 9, "scaling": "Auto"}})
    trial = trials.read(made, 1, folder)
    assert trial.objective == pytest.approx(expected)
    assert len(trial.curve) == 3
    assert trial.tried().state == "Completed"
    assert not trial.at_its_end


def test_an_epoch_whose_loss_is_no_number_is_never_the_kept_one(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path, settings={"epochs": "3"}), [math.nan, 0.4, 0.5])
    trial = trials.read(sweep(tmp_path, ranges={"epochs": {"low": 2, "high": 3, "scaling": "Auto"}}), 1, folder)
    assert trial.objective == 0.4
    assert trial.at_its_end
