"""A job's folder: what is laid out in it, and what state the job is in, whatever happened to its process."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.races import race
from vizsla.errors import UserError, VizslaError
from vizsla.job import Job, iso
from vizsla.jobdir import VANISHED, Attempt, JobDir, Outcome, State, advance, create
from vizsla.plan import resolve
from vizsla.process import Process

ALIVE = Process.of(os.getpid())
DEAD = replace(ALIVE, started=ALIVE.started - 60)
LATER = 4_000_000_000  # unix seconds: after anything a test writes
COMPLETED = Outcome("Completed")
FAILED = Outcome("Failed", "The disk is full.", "Make room.", 2)
STOPPED = Outcome("Stopped", "stopped by SIGTERM; the best of 2 epochs is kept")


@pytest.fixture
def folder(tmp_path: Path) -> JobDir:
    """A job that was never started."""
    job = Job(name="dogs", channels={"training": str(tmp_path)}, hyperparameters={"epochs": "3", "lr": '"0.1"'})
    place = tmp_path / "runs" / "training" / "dogs"
    place.mkdir(parents=True)
    return create(place, job, resolve(job))


def begun(folder: JobDir, state: State = "InProgress", process: Process = DEAD, number: int = 1) -> Attempt:
    """Attempt `number` in `state`, as the submitter writes it down."""
    attempt = folder.begin(number, process)
    if state == "InProgress":
        return attempt
    if state == "Stopping":
        return folder.ask_to_stop(attempt)
    folder.report_outcome(number, Outcome(state, f"said {state}"))
    return last(folder)


def last(folder: JobDir) -> Attempt:
    attempt = advance(folder)
    assert attempt is not None
    return attempt


def written(folder: JobDir, number: int = 1) -> dict[str, object]:
    """What attempts/<n>.json says, to whoever reads it without vizsla."""
    found: dict[str, object] = json.loads((folder.path / "attempts" / f"{number}.json").read_text())
    return found


# ---- the layout


def test_a_new_job_is_laid_out_like_opt_ml(folder: JobDir) -> None:
    found = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if "training" not in path.parts[-1]}
    assert found == {
        "attempts",
        "checkpoints",
        "checkpoints/vizsla",
        "checkpoints/vizsla/outcomes",
        "input",
        "input/config",
        "input/config/hyperparameters.json",
        "input/config/inputdataconfig.json",
        "input/config/resourceconfig.json",
        "input/data",
        "job.json",
        "model",
        "output",
        "output/data",
        "plan.json",
    }


def test_photos_are_linked_and_never_copied(folder: JobDir, tmp_path: Path) -> None:
    assert folder.channel("training").is_symlink()
    assert folder.channel("training").resolve() == tmp_path


def test_hyperparameters_stay_the_strings_that_were_typed(folder: JobDir) -> None:
    config = folder.path / "input" / "config"
    assert json.loads((config / "hyperparameters.json").read_text()) == {"epochs": "3", "lr": '"0.1"'}
    assert list(json.loads((config / "inputdataconfig.json").read_text())) == ["training"]


def test_the_job_and_its_plan_are_read_back(folder: JobDir) -> None:
    assert folder.job().hyperparameters["epochs"] == "3"
    assert folder.plan() == resolve(folder.job())
    assert (folder.name, folder.kind) == ("dogs", "training")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 1}', '{"nobody": "knows"}'])
@pytest.mark.parametrize("name", ["job", "plan"])
def test_a_broken_file_is_named(folder: JobDir, name: str, content: str) -> None:
    (folder.path / f"{name}.json").write_text(content)
    with pytest.raises(VizslaError, match=f"{name}.json cannot be read"):
        getattr(folder, name)()


def test_a_lost_plan_is_named(folder: JobDir) -> None:
    (folder.path / "plan.json").unlink()
    with pytest.raises(VizslaError, match=r"plan\.json cannot be read"):
        folder.plan()


def test_a_folder_that_holds_no_job_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no job"):
        JobDir(tmp_path).job()


# ---- the states


def test_a_job_that_was_never_started_has_no_state(folder: JobDir) -> None:
    assert advance(folder) is None
    assert folder.attempts() == []


@pytest.mark.parametrize("outcome", [None, COMPLETED, FAILED, STOPPED])
@pytest.mark.parametrize("state", ["InProgress", "Stopping"])
def test_a_job_is_running_as_long_as_its_process_lives(folder: JobDir, state: State, outcome: Outcome | None) -> None:
    attempt = begun(folder, state, ALIVE)
    if outcome:  # the end of the log is still being written
        folder.report_outcome(1, outcome)
    assert last(folder) == attempt


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED, STOPPED], ids=lambda outcome: str(outcome.state))
@pytest.mark.parametrize("state", ["InProgress", "Stopping"])
def test_the_workers_last_word_counts_when_its_process_is_gone(folder: JobDir, state: State, outcome: Outcome) -> None:
    begun(folder, state)
    folder.report_outcome(1, outcome)
    ended = last(folder)
    asked = state == "Stopping" and outcome is STOPPED  # then the reason says who asked
    reason = "stopped by the user; the best of 2 epochs is kept" if asked else outcome.reason
    said = (outcome.state, reason, outcome.hint, outcome.exit_code)
    assert (ended.state, ended.reason, ended.hint, ended.exit_code) == said
    assert ended.finished


def test_a_process_that_is_gone_without_a_word_has_failed(folder: JobDir) -> None:
    begun(folder)
    assert (last(folder).state, last(folder).reason) == ("Failed", VANISHED)


def test_a_process_that_is_gone_without_a_word_was_stopped_if_it_was_asked_to(folder: JobDir) -> None:
    begun(folder, "Stopping")
    assert (last(folder).state, last(folder).reason) == ("Stopped", "stopped by the user")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "Completed", "mood": "good"}'])
def test_a_last_word_that_cannot_be_read_is_none(folder: JobDir, content: str) -> None:
    begun(folder)
    (folder.private / "outcomes" / "1.json").write_text(content)
    assert last(folder).state == "Failed"


def test_an_attempt_of_an_earlier_boot_has_ended(folder: JobDir) -> None:
    begun(folder, process=replace(ALIVE, boot="an earlier one"))
    assert last(folder).state == "Failed"


def test_an_attempt_whose_number_went_to_another_process_has_ended(folder: JobDir) -> None:
    begun(folder, process=replace(ALIVE, started=ALIVE.started - 60))
    assert last(folder).state == "Failed"


@pytest.mark.parametrize("state", ["Completed", "Failed", "Stopped"])
def test_a_finished_attempt_never_changes(folder: JobDir, state: State) -> None:
    ended = begun(folder, state)
    before = (folder.path / "attempts" / "1.json").stat()
    folder.report_outcome(1, Outcome("Completed" if state != "Completed" else "Failed", "another word"))
    assert last(folder) == ended
    assert folder.ask_to_stop(ended) == ended
    after = (folder.path / "attempts" / "1.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_whoever_reads_the_file_sees_the_state(folder: JobDir) -> None:
    attempt = begun(folder)
    assert written(folder) == asdict(attempt)
    assert written(folder)["process"] == asdict(DEAD)
    folder.ask_to_stop(attempt)
    assert (written(folder)["state"], written(folder)["reason"]) == ("Stopping", "stopped by the user")
    folder.report_outcome(1, FAILED)
    assert asdict(last(folder)) == written(folder)
    assert written(folder)["state"] == "Failed"


def test_asking_twice_to_stop_is_asking_once(folder: JobDir) -> None:
    stopping = begun(folder, "Stopping", ALIVE)
    assert folder.ask_to_stop(stopping) == stopping


def test_the_state_of_a_job_is_its_last_attempts(folder: JobDir) -> None:
    for number in range(1, 11):
        begun(folder, "Failed", number=number)
    begun(folder, "InProgress", ALIVE, number=11)
    assert (last(folder).number, last(folder).state) == (11, "InProgress")
    assert [attempt.number for attempt in folder.attempts()] == list(range(1, 12))
    assert {attempt.state for attempt in folder.attempts()[:-1]} == {"Failed"}


def test_what_a_kill_left_behind_is_no_attempt(folder: JobDir) -> None:
    begun(folder)
    (folder.path / "attempts" / ".2.json.1f2e.tmp").write_text("{")
    assert [attempt.number for attempt in folder.attempts()] == [1]


@pytest.mark.parametrize("content", ["", "{}", '{"number": 1, "process": 7}', "null"])
def test_an_attempt_that_cannot_be_read_is_named(folder: JobDir, content: str) -> None:
    (folder.path / "attempts" / "1.json").write_text(content)
    with pytest.raises(VizslaError, match=r"1\.json cannot be read"):
        advance(folder)


# ---- when it ended


def test_an_attempt_ended_when_the_worker_said_so_not_when_somebody_looked(folder: JobDir) -> None:
    begun(folder)
    folder.report_outcome(1, COMPLETED)
    said = folder.outcome(1)
    assert said is not None
    assert last(folder).ended == said.ended


def test_an_attempt_that_vanished_ended_when_it_was_last_heard_of(folder: JobDir) -> None:
    begun(folder)
    progress = folder.private / "progress.json"
    progress.write_text("{}")
    os.utime(progress, (LATER, LATER))
    assert last(folder).ended == iso(LATER)


@pytest.mark.parametrize("place", ["logs/job/1-0.log.open", "records/script/1-0.jsonl"])
def test_a_log_and_records_are_signs_of_life_too(folder: JobDir, place: str) -> None:
    begun(folder)
    file = folder.private / place
    file.parent.mkdir(parents=True)
    file.write_text("x")
    os.utime(file, (LATER, LATER))
    assert last(folder).ended == iso(LATER)


def test_a_silent_attempt_ran_at_least_until_it_was_asked_to_stop(folder: JobDir) -> None:
    begun(folder, "Stopping")
    os.utime(folder.path / "attempts" / "1.json", (LATER, LATER))
    assert last(folder).ended == iso(LATER)


def test_an_attempt_that_was_never_heard_of_ended_when_it_began(folder: JobDir) -> None:
    progress = folder.private / "progress.json"
    progress.write_text("{}")
    os.utime(progress, (1, 1))  # an earlier attempt's
    attempt = begun(folder)
    assert last(folder).ended == attempt.created


# ---- several processes


SETUP = (
    "from vizsla.errors import UserError\nfrom vizsla.jobdir import *\nfrom vizsla.process import Process\nimport os"
)


@pytest.mark.parametrize("outcome", [None, COMPLETED], ids=["without a word", "with a word"])
def test_processes_that_look_at_once_see_the_same_end(folder: JobDir, outcome: Outcome | None) -> None:
    begun(folder)
    if outcome:
        folder.report_outcome(1, outcome)
    said = race(SETUP, "for _ in range(20): print(advance(JobDir(Path(sys.argv[1]))))", folder.path)
    assert {line for each in said for line in each.splitlines()} == {str(last(folder))}
    assert [path.name for path in (folder.path / "attempts").iterdir()] == ["1.json"]


def test_of_processes_that_start_at_once_no_two_get_the_same_number(folder: JobDir) -> None:
    code = (
        "folder = JobDir(Path(sys.argv[1]))\n"
        "try:\n"
        "    with folder.starting() as number:\n"
        "        print(number)\n"
        "        folder.begin(number, Process.of(os.getpid()))\n"
        "except UserError: pass\n"
    )
    numbers = sorted(int(each) for each in race(SETUP, code, folder.path) if each)
    assert numbers == list(range(1, len(numbers) + 1))
    assert [attempt.number for attempt in folder.attempts()] == numbers


def test_a_running_job_is_not_started_again(folder: JobDir) -> None:
    begun(folder, process=ALIVE)
    with pytest.raises(UserError, match=f"still running .process {os.getpid()}"), folder.starting():
        pass
    assert len(folder.attempts()) == 1


def test_a_start_that_fails_takes_no_number(folder: JobDir) -> None:
    with pytest.raises(OSError, match="no such program"), folder.starting() as number:
        raise OSError("no such program")
    with folder.starting() as again:
        assert again == number == 1


def test_a_finished_job_goes_on_with_the_next_number(folder: JobDir) -> None:
    begun(folder, "Failed")
    with folder.starting() as number:
        assert number == 2


@pytest.mark.parametrize("left", ["nothing", "all but job.json"])
def test_a_folder_that_was_only_half_laid_out_is_not_started(folder: JobDir, left: str) -> None:
    if left == "nothing":
        (folder.path.parent / "empty").mkdir()
        folder = JobDir(folder.path.parent / "empty")
    else:
        (folder.path / "job.json").unlink()
    with pytest.raises(UserError, match="holds no job"), folder.starting():
        pass


def test_what_is_written_down_can_be_read_by_others_on_the_machine(folder: JobDir) -> None:
    begun(folder)
    (folder.path / "plain").write_text("")
    modes = {
        stat.S_IMODE(folder.path.joinpath(name).stat().st_mode) for name in ("plain", "job.json", "attempts/1.json")
    }
    assert len(modes) == 1
