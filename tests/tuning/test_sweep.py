"""Whole sweeps over a script that trains nothing: strategies, stopping, failures, budget, being ended and resumed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.races import race
from tests.tuning import sweeping
from tests.tuning.sweeping import ended, points, swept, until
from vizsla import jobdir
from vizsla.api import jobs, tuning
from vizsla.errors import UserError
from vizsla.jobdir import JobDir
from vizsla.tuning.sweep import OUT_OF_BUDGET, STOPPED_EARLY, SWEEP_STOPPED
from vizsla.workspace import Workspace

WIDTH = "width=0.0..1.0"


def killed(folder: JobDir) -> None:
    """SIGKILL to the controller of a sweep and what is in its group."""
    os.killpg(folder.attempts()[-1].process.pid, signal.SIGKILL)
    until(lambda: (attempt := jobdir.advance(folder)) and attempt.finished)


def resumed(folder: JobDir) -> dict[str, Any]:
    """Goes on with a sweep, to its end."""
    tuning.resume(folder.name, Workspace(folder.path.parent.parent))
    return ended(folder)


def running(folder: JobDir) -> list[JobDir]:
    """The trials whose workers have been let go; one whose controller dies before that ends without having begun."""
    found = [trial.folder for trial in tuning.look(folder) if trial.running and trial.attempt]
    return [trial for trial in found if (trial.config / "debughookconfig.json").exists()]


@pytest.mark.parametrize("strategy", ["random", "bayesian", "hyperband"])
def test_a_seed_tries_the_same_again_one_at_a_time(tmp_path: Path, strategy: str) -> None:
    found = [swept(tmp_path, WIDTH, name=name, jobs=3, strategy=strategy) for name in ("one", "two")]
    assert [document["status"] for document in found] == ["Completed"] * 2
    assert points(found[0]) == points(found[1])
    assert len({point["width"] for point in points(found[0])}) == 3
    best = min(found[0]["trials"], key=lambda trial: float(trial["objective"]))
    assert found[0]["best"] == best


def test_a_grid_tries_every_combination_once(tmp_path: Path) -> None:
    document = swept(tmp_path, "width=0.1,0.3", "steps=1,2", strategy="grid", parallel=2)
    assert sorted((point["width"], point["steps"]) for point in points(document)) == [
        ("0.1", "1"), ("0.1", "2"), ("0.3", "1"), ("0.3", "2")
    ]  # fmt: skip
    assert document["best"]["hyperparameters"] == {"width": "0.3", "steps": "2"}


def test_early_stopping_ends_a_trial_that_is_worse_than_the_others_were(tmp_path: Path) -> None:
    """Three good trials, then one that would go on for ever."""
    late = "import time\nif given.width > 0.9:\n    given.steps, given.sleep = 100_000, 0.05\nfor step"
    sweeping.write_script(tmp_path, sweeping.SCRIPT.replace("for step", late, 1))
    document = swept(tmp_path, "width=0.1,0.3,0.5,1.0", strategy="grid", early_stopping="auto", hp={"steps": "3"})
    assert document["status"] == "Completed"
    *others, last = document["trials"]
    assert [trial["status"] for trial in others] == ["Completed"] * 3
    assert (last["status"], last["reason"]) == ("Stopped", STOPPED_EARLY)
    assert last["objective"] == pytest.approx(0.49 + 0.1 / last["epochs"], abs=1e-5)  # a script's last value counts


def test_failed_trials_are_data_points(tmp_path: Path) -> None:
    document = swept(tmp_path, "fail=no,yes,silently", strategy="grid")
    found = {trial["hyperparameters"]["fail"]: trial for trial in document["trials"]}
    assert document["status"] == "Completed"
    assert {fail: trial["status"] for fail, trial in found.items()} == {
        "no": "Completed", "yes": "Failed", "silently": "Failed"
    }  # fmt: skip
    assert (found["yes"]["objective"], found["yes"]["reason"]) == (None, "Exit code 1. this one fails")
    assert found["silently"]["objective"] is None
    assert document["best"] == found["no"]


def test_five_failures_before_any_success_end_the_sweep_with_the_reason(tmp_path: Path) -> None:
    document = swept(tmp_path, WIDTH, jobs=20, hp={"fail": "yes"})
    assert document["status"] == "Failed"
    assert len(document["trials"]) == 5
    assert document["reason"] == "The first 5 trials that ended have failed, and none has succeeded."
    assert document["best"] is None


def test_when_the_budget_is_used_up_the_running_trials_are_stopped(tmp_path: Path) -> None:
    document = swept(tmp_path, WIDTH, jobs=50, budget="3s", hp={"steps": "100000"})
    assert document["status"] == "Completed"
    assert [(trial["status"], trial["reason"]) for trial in document["trials"]] == [("Stopped", OUT_OF_BUDGET)]


def test_the_time_of_a_controller_that_was_killed_counts_towards_the_budget(tmp_path: Path) -> None:
    folder = sweeping.start(tmp_path, WIDTH, jobs=50, budget="4s", hp={"steps": "100000"})
    until(lambda: (folder.private / "progress.json").exists() and bool(running(folder)))
    time.sleep(1.5)
    killed(folder)
    tuning.document(folder)
    (first,) = folder.attempts()
    assert first.seconds > 1
    assert tuning.spec(folder).budget_s == 4
    for trial in running(folder):  # the controller's, left alone
        killed(trial)


def test_trials_that_run_side_by_side_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZSLA_CPUS", "6")
    told = "\nimport os\nprint('average test loss: ' + os.environ['SM_NUM_CPUS'] + ';')\n"
    sweeping.write_script(tmp_path, sweeping.SCRIPT + told)
    document = swept(tmp_path, "width=0.1,0.2", strategy="grid", parallel=2)
    assert [trial["objective"] for trial in document["trials"]] == [3.0, 3.0]


# ---- ended, and gone on with


def test_a_stopped_sweep_ends_its_trials_and_goes_on_with_them(tmp_path: Path) -> None:
    folder = sweeping.start(tmp_path, WIDTH, jobs=3, parallel=2, hp={"sleep": "0.5"})
    until(lambda: len(running(folder)) == 2)
    jobs.stop(folder)
    document = tuning.document(folder)
    assert (document["status"], document["best"]) == ("Stopped", None)
    assert all(trial["reason"].startswith(SWEEP_STOPPED) for trial in document["trials"])
    after = resumed(folder)
    assert [(trial["status"], trial["epochs"]) for trial in after["trials"]] == [("Completed", 2)] * 3
    assert points(after)[:2] == points(document)


def test_stopping_a_sweep_whose_controller_was_killed_ends_its_trials_too(tmp_path: Path) -> None:
    folder = sweeping.start(tmp_path, WIDTH, jobs=3, parallel=2, hp={"sleep": "600"})
    until(lambda: len(running(folder)) == 2)
    orphans = [trial.attempts()[-1].process for trial in running(folder)]
    killed(folder)
    assert all(process.alive() for process in orphans)
    jobs.stop(folder)
    assert not any(process.alive() for process in orphans)
    assert running(folder) == []


def test_trials_that_outlived_the_controller_are_adopted(tmp_path: Path) -> None:
    folder = sweeping.start(tmp_path, WIDTH, jobs=2, parallel=2, hp={"sleep": "1.5"})
    until(lambda: len(running(folder)) == 2)
    killed(folder)
    document = resumed(folder)
    assert [trial["status"] for trial in document["trials"]] == ["Completed"] * 2
    assert [len(trial.folder.attempts()) for trial in tuning.look(folder)] == [1, 1]


def test_a_trial_that_was_laid_out_by_half_or_never_started_is_run_once(tmp_path: Path) -> None:
    """As a controller leaves it that was killed between two steps."""
    calm = swept(tmp_path, WIDTH, name="calm", jobs=3)
    folder = sweeping.start(tmp_path, WIDTH, name="torn", jobs=3)
    until(lambda: len(tuning.look(folder)) == 2)
    killed(folder)
    until(lambda: not running(folder))
    trainings = tmp_path / "runs" / "training"
    shutil.rmtree(trainings / "torn-002" / "attempts")
    (trainings / "torn-002" / "attempts").mkdir()
    (trainings / "torn-003" / "input").mkdir(parents=True)
    document = resumed(folder)
    assert document["status"] == "Completed"
    assert points(document) == points(calm)
    assert [len(trial.folder.attempts()) for trial in tuning.look(folder)] == [1, 1, 1]


def test_six_trials_killed_at_once_are_no_reason_to_give_up(tmp_path: Path) -> None:
    """As by a machine that was restarted before the first trial had ended."""
    folder = sweeping.start(tmp_path, WIDTH, jobs=6, parallel=6, hp={"sleep": "2"})
    until(lambda: len(running(folder)) == 6)
    killed(folder)
    for trial in running(folder):
        os.killpg(trial.attempts()[-1].process.pid, signal.SIGKILL)
    document = resumed(folder)
    assert document["status"] == "Completed"
    assert [(trial["status"], trial["epochs"]) for trial in document["trials"]] == [("Completed", 2)] * 6


def test_a_trial_that_is_killed_each_time_ends_as_failed(tmp_path: Path) -> None:
    suicide = "import os, signal\nif given.width > 0.9:\n    os.killpg(0, signal.SIGKILL)\nfor step"
    sweeping.write_script(tmp_path, sweeping.SCRIPT.replace("for step", suicide, 1))
    document = swept(tmp_path, "width=0.3,1.0", strategy="grid")
    assert document["status"] == "Completed"
    assert [trial["status"] for trial in document["trials"]] == ["Completed", "Failed"]


def test_what_a_killed_worker_has_left_is_ended_before_the_trial_is_run_again(tmp_path: Path) -> None:
    """Here a process that the script had started, such as one that loads data."""
    helper = "import os, subprocess\nif not os.path.exists('helper'):\n    open('helper', 'w').close()\n"
    helper += "    subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\nfor step"
    sweeping.write_script(tmp_path, sweeping.SCRIPT.replace("for step", helper, 1))
    folder = sweeping.start(tmp_path, WIDTH, jobs=1, hp={"sleep": "2"})
    until(lambda: tuning.look(folder) and tuning.look(folder)[0].curve)
    worker = psutil.Process(running(folder)[0].attempts()[0].process.pid)
    left = worker.children(recursive=True)
    worker.kill()
    document = ended(folder)
    assert (document["trials"][0]["status"], document["trials"][0]["epochs"]) == ("Completed", 2)
    assert [process.name() for process in left if process.is_running()] == []


def test_of_two_that_resume_at_once_one_goes_on_and_the_other_is_told(tmp_path: Path) -> None:
    folder = sweeping.start(tmp_path, WIDTH, jobs=3, hp={"sleep": "1"})
    until(lambda: running(folder))
    killed(folder)
    said = race(
        "from vizsla.api import tuning\nfrom vizsla.errors import UserError\nfrom vizsla.workspace import Workspace",
        "try:\n    tuning.resume('search', Workspace(Path(sys.argv[1])))\n    print('on')\n"
        "except UserError as error:\n    print(error.message)",
        tmp_path / "runs",
    )
    document = ended(folder)
    assert said.count("on\n") == 1
    assert sum("is still running" in line for line in said) == 3
    assert [trial["status"] for trial in document["trials"]] == ["Completed"] * 3


def test_a_completed_sweep_is_not_gone_on_with(tmp_path: Path) -> None:
    swept(tmp_path, WIDTH, jobs=1)
    with pytest.raises(UserError, match="search is completed"):
        tuning.resume("search", Workspace(tmp_path / "runs"))


# ---- warm start


@pytest.mark.parametrize("kind", ["IdenticalDataAndAlgorithm", "TransferLearning"])
def test_a_warm_start_changes_what_is_tried(tmp_path: Path, kind: str) -> None:
    parent = swept(tmp_path, WIDTH, name="parent", jobs=6, parallel=6, hp={"steps": "1"})
    alone = swept(tmp_path, WIDTH, name="alone", jobs=1, hp={"steps": "1"})
    warm = swept(tmp_path, WIDTH, name="warm", jobs=1, hp={"steps": "1"}, warm_start=["parent"], warm_start_kind=kind)
    assert points(warm) != points(alone)
    best = min([*parent["trials"], *warm["trials"]], key=lambda trial: trial["objective"])
    identical = {"sweep": best["name"][:-4], "name": best["name"], "objective": best["objective"]}
    own = {"sweep": "warm", "name": "warm-001", "objective": warm["best"]["objective"]}
    assert warm["overall_best"] == (identical if kind == "IdenticalDataAndAlgorithm" else own)
    assert alone["overall_best"] is None


def test_a_parent_teaches_what_was_fixed_there_and_is_searched_here(tmp_path: Path) -> None:
    swept(tmp_path, WIDTH, name="parent", jobs=6, parallel=6, hp={"steps": "1"})
    both = (WIDTH, "steps=1,2")
    alone = swept(tmp_path, *both, name="alone", jobs=1)
    warm = swept(tmp_path, *both, name="warm", jobs=1, warm_start=["parent"])
    assert points(warm) != points(alone)
