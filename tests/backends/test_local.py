"""Jobs on this machine, with real processes: started, refused, stopped, killed, resumed, failed.

Nothing here asserts a time; a process is waited for until it has done what the test is about.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import TINY
from tests.photos import write_folder
from tests.races import race
from vizsla import bundle, records
from vizsla.backends import local, standby
from vizsla.errors import JobError, UserError
from vizsla.job import Job, partition
from vizsla.jobdir import VANISHED, Attempt, JobDir, advance, create
from vizsla.plan import resolve

NEVER_ENDS = {"epochs": "10000"}
SLOW = {**NEVER_ENDS, "batch_size": "1", "image.size": "640"}  # an epoch takes seconds
New = Callable[[dict[str, str]], JobDir]


@pytest.fixture(autouse=True, scope="module")
def one_core() -> Iterator[None]:
    """A tiny network gains nothing from a second thread, and waits for it where others use the machine too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIZSLA_CPUS", "1")
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_folder(folder, {"disc": 24, "stripes": 20, "checker": 16}, seed=1)
    return folder


@pytest.fixture
def new(tmp_path: Path, photos: Path) -> Iterator[New]:
    """Lays out a job with other settings than the tiny network's; whatever still runs at the end is killed."""
    made: list[JobDir] = []

    def remembered(settings: dict[str, str]) -> JobDir:
        made.append(lay_out(tmp_path / "shapes", photos, settings))
        return made[-1]

    yield remembered
    for process in (each for folder in made for each in running(folder)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> tuple[Attempt, JobDir]:
    """What `start` said of a job that has run to its end since, and the job."""
    folder = lay_out(tmp_path_factory.mktemp("runs") / "completed", photos, {"epochs": "6"})
    attempt = local.start(folder)
    ended(folder)
    return attempt, folder


def lay_out(place: Path, photos: Path, settings: dict[str, str]) -> JobDir:
    given = {**dict(pair.split("=") for pair in TINY), **settings}
    hyperparameters, launch = partition({key: value for key, value in given.items() if value})
    job = Job(name=place.name, channels={"training": str(photos)}, hyperparameters=hyperparameters, launch=launch)
    place.mkdir()
    return create(place, job, resolve(job))


def ended(folder: JobDir) -> Attempt:
    """The last attempt, once it is finished."""
    while not (attempt := now(folder)).finished:
        time.sleep(0.05)
    return attempt


def now(folder: JobDir) -> Attempt:
    attempt = advance(folder)
    assert attempt is not None
    return attempt


def log(folder: JobDir) -> str:
    return "".join(path.read_text() for path in sorted((folder.logs / "job").glob("*")))


def wait_for(folder: JobDir, text: str) -> None:
    """Returns once the log holds `text`; the job must not end before."""
    while text not in log(folder):
        attempt = now(folder)
        assert not attempt.finished, attempt
        time.sleep(0.02)


def trainer(attempt: Attempt) -> psutil.Process:
    """The process that trains: the supervisor's only child."""
    supervisor = psutil.Process(attempt.process.pid)
    while not (children := supervisor.children()):
        time.sleep(0.01)
    return children[0]


def running(folder: JobDir) -> list[psutil.Process]:
    """Every process that was started for this job and still runs; a worker is told on its stdin what it is for."""
    workers = {attempt.process.pid for attempt in folder.attempts() if attempt.process.alive()}
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.pid in workers or str(folder.path) in process.cmdline()
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until_nothing_runs(folder: JobDir) -> None:
    while running(folder):
        time.sleep(0.02)


def losses(folder: JobDir) -> list[object]:
    return [record.value for record in records.read(folder.records, ["train"]) if record.name == "train_loss"]


# ---- from start to end


def test_a_job_is_started_in_a_process_group_of_its_own(new: New) -> None:
    attempt = local.start(new(NEVER_ENDS))
    assert (attempt.number, attempt.state) == (1, "InProgress")
    assert os.getpgid(attempt.process.pid) == attempt.process.pid != os.getpgid(0)


def test_a_job_runs_to_its_end(completed: tuple[Attempt, JobDir]) -> None:
    started, folder = completed
    done = now(folder)
    assert (done.state, done.reason, done.exit_code) == ("Completed", None, 0)
    assert (done.number, done.process, done.created) == (started.number, started.process, started.created)
    assert bundle.is_bundle(folder.model)
    assert not running(folder)


def test_the_whole_log_is_there_when_a_job_has_ended(completed: tuple[Attempt, JobDir]) -> None:
    _, folder = completed
    assert [path.suffix for path in (folder.logs / "job").iterdir()] == [".log"]
    assert log(folder).splitlines()[-1].endswith(f"the bundle is in {folder.model}")


# ---- one at a time


def test_a_job_that_runs_is_not_started_again(new: New) -> None:
    folder = new(NEVER_ENDS)
    attempt = local.start(folder)
    with pytest.raises(UserError, match=f"shapes is still running .process {attempt.process.pid}"):
        local.start(folder)
    assert [each.number for each in folder.attempts()] == [1]


def test_of_processes_that_resume_at_once_one_wins(new: New) -> None:
    folder = new(NEVER_ENDS)
    local.start(folder)
    local.kill(folder)
    setup = "from vizsla.backends import local\nfrom vizsla.errors import UserError\nfrom vizsla.jobdir import JobDir"
    code = (
        "try: print('started', local.start(JobDir(Path(sys.argv[1]))).number)\n"
        "except UserError as error: print(error.message)\n"
    )
    said = sorted(race(setup, code, folder.path))
    pid = now(folder).process.pid
    assert said == [f"shapes is still running (process {pid}).\n"] * 3 + ["started 2\n"]
    assert [each.number for each in folder.attempts()] == [1, 2]
    assert {os.getpgid(process.pid) for process in running(folder)} == {pid}


def test_a_job_goes_on_when_the_process_that_started_it_is_gone(new: New) -> None:
    folder = new(NEVER_ENDS)
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from vizsla.backends import local\nfrom vizsla.jobdir import JobDir\n"
        "local.start(JobDir(Path(sys.argv[1])))\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder.path)], check=False)
    assert done.returncode == -signal.SIGKILL
    wait_for(folder, "epoch 1/")


# ---- stopped


def test_a_job_that_is_stopped_keeps_the_best_finished_epoch(new: New) -> None:
    folder = new(NEVER_ENDS)
    local.start(folder)
    wait_for(folder, "epoch 2/")
    local.ask_to_stop(folder)
    assert now(folder).state in ("Stopping", "Stopped")
    done = ended(folder)
    assert done.state == "Stopped"
    assert done.reason is not None
    assert done.reason.startswith("stopped by the user; the best of ")
    valid = [record.value for record in records.read(folder.records, ["train"]) if record.name == "valid_loss"]
    assert bundle.read(folder.model).metrics["valid_loss"] == min(valid)  # type: ignore[type-var]
    assert not running(folder)


@pytest.mark.parametrize(("settings", "moment"), [(NEVER_ENDS, None), (SLOW, "to train on")], ids=["import", "epoch 1"])
def test_a_job_that_is_stopped_before_its_first_epoch_ended_has_no_bundle(
    new: New, settings: dict[str, str], moment: str | None
) -> None:
    folder = new(settings)
    trainer(local.start(folder))
    if moment:
        wait_for(folder, moment)
    local.ask_to_stop(folder)
    done = ended(folder)
    assert (done.state, done.exit_code) == ("Stopped", 0)
    assert done.reason is not None
    assert done.reason.startswith("stopped by ")
    assert not bundle.is_bundle(folder.model)
    assert not (folder.output / "failure").exists()
    assert not running(folder)


def test_a_signal_to_the_whole_group_stops_as_well(new: New) -> None:
    """As `kill`, a shutdown, or a container does it: without asking vizsla first."""
    folder = new(NEVER_ENDS)
    attempt = local.start(folder)
    wait_for(folder, "epoch 1/")
    os.killpg(attempt.process.pid, signal.SIGTERM)
    assert ended(folder).state == "Stopped"
    assert bundle.is_bundle(folder.model)


def test_asking_a_finished_job_to_stop_changes_nothing(new: New) -> None:
    folder = new(NEVER_ENDS)
    local.start(folder)
    killed = local.kill(folder)
    local.ask_to_stop(folder)
    assert local.kill(folder) == now(folder) == killed


# ---- killed


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_nobody_trains_on_when_the_supervisor_is_killed(new: New) -> None:
    folder = new(NEVER_ENDS)
    attempt = local.start(folder)
    wait_for(folder, "epoch 1/")
    assert trainer(attempt) in running(folder)
    os.kill(attempt.process.pid, signal.SIGKILL)
    wait_until_nothing_runs(folder)
    assert (ended(folder).state, ended(folder).reason) == ("Failed", VANISHED)


def test_a_trainer_that_is_killed_alone_is_reported_by_its_supervisor(new: New) -> None:
    folder = new(NEVER_ENDS)
    child = trainer(local.start(folder))
    child.kill()
    done = ended(folder)
    assert done.state == "Failed"
    assert done.reason is not None
    assert done.reason.startswith("The process was ended by SIGKILL")
    assert done.hint == f"The whole log is in {folder.logs}."


def test_a_job_that_was_killed_whole_goes_on_as_if_nothing_had_happened(
    new: New, completed: tuple[Attempt, JobDir]
) -> None:
    _, straight = completed
    folder = new({"epochs": "6"})
    attempt = local.start(folder)
    wait_for(folder, "epoch 2/6")
    os.killpg(attempt.process.pid, signal.SIGKILL)
    wait_until_nothing_runs(folder)
    assert (ended(folder).state, ended(folder).reason) == ("Failed", VANISHED)
    assert local.start(folder).number == 2
    assert ended(folder).state == "Completed"
    assert [each.state for each in folder.attempts()] == ["Failed", "Completed"]
    assert losses(folder) == losses(straight)


def test_a_job_that_is_killed_is_gone_at_once(new: New) -> None:
    folder = new(NEVER_ENDS)
    trainer(local.start(folder))
    killed = local.kill(folder)
    assert killed is not None
    assert killed.state == "Failed"
    wait_until_nothing_runs(folder)


# ---- never begun


def test_a_worker_whose_submitter_died_before_it_said_go_touches_nothing(new: New) -> None:
    folder = new({"epochs": "1"})
    before = snapshot(folder)
    done = subprocess.run([*standby.COMMAND, "run"], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0
    assert not running(folder)
    assert snapshot(folder) == before
    assert local.start(folder).number == 1


def snapshot(folder: JobDir) -> dict[Path, int]:
    """Every file and folder of a job, and when it was last changed."""
    return {path: path.lstat().st_mtime_ns for path in folder.path.rglob("*")}


# ---- failed


def test_a_worker_that_cannot_read_its_plan_says_so_first(new: New) -> None:
    folder = new({"epochs": "1"})
    plan = folder.path / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "from_a_later_version": True}))
    local.start(folder)
    done = ended(folder)
    cause = f"{plan} cannot be read."
    assert (done.state, done.reason, done.exit_code) == ("Failed", cause, 1)
    assert (folder.output / "failure").read_text().splitlines()[:2] == [cause, done.hint]
    assert cause in log(folder)


def test_photos_that_cannot_be_trained_on_are_the_users_to_mend(new: New) -> None:
    folder = new({"epochs": "1"})
    folder.channel("training").unlink()
    folder.channel("training").mkdir()
    local.start(folder)
    done = ended(folder)
    assert (done.state, done.exit_code) == ("Failed", UserError.exit_code)
    assert (folder.output / "failure").read_text().splitlines()[0] == done.reason
    assert done.hint


# ---- questions


def test_a_question_is_answered_by_a_process_of_its_own() -> None:
    assert "efficientnet_lite0" in [row["model"] for row in local.ask("models", {})]


def test_an_answer_that_is_an_error_is_raised_here(tmp_path: Path) -> None:
    request = {"channels": {"training": str(tmp_path)}, "plan": resolve(Job(name="j", channels={})).model_dump()}
    with pytest.raises(UserError) as caught:
        local.ask("check", request)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_a_worker_that_ends_without_an_answer_is_named() -> None:
    with pytest.raises(JobError, match="ended without an answer: KeyError: 'channels'"):
        local.ask("check", {"plan": resolve(Job(name="j", channels={})).model_dump()})


def test_a_job_is_handed_its_share_of_the_cores(new: New, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZSLA_CPUS", "3")
    folder = new({**NEVER_ENDS, "run.threads": ""})
    attempt = local.start(folder)
    wait_for(folder, "checking")
    assert psutil.Process(attempt.process.pid).environ()["VIZSLA_CPUS"] == "3"
