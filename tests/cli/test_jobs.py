"""`vizsla ps`, `show`, `logs`, `stop`, `rm`, `rebuild` over jobs that ran in processes of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, Ended, Run, run_vizsla
from tests.scripts import FOREVER, PATIENCE_S, lay_out, run, says, until
from vizsla.backends import local
from vizsla.jobdir import JobDir


@pytest.fixture(scope="module")
def ended_jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place whose workspace holds a completed and a failed job."""
    place = tmp_path_factory.mktemp("ended")
    run(lay_out(place, "print('loss: 0.5;')\n", "good", metrics={"loss": "loss: ([0-9.]+);"}))
    run(lay_out(place, "raise ValueError('ears')\n", "bad"))
    return place


@pytest.fixture
def place(tmp_path: Path, ended_jobs: Path) -> Iterator[Path]:
    """A copy of it for one test; what still runs there afterwards is ended."""
    shutil.copytree(ended_jobs / "runs", tmp_path / "runs", symlinks=True)
    yield tmp_path
    for folder in (tmp_path / "runs" / "training").glob("[!.]*"):
        if (folder / "job.json").exists():
            local.kill(JobDir(folder))


@pytest.fixture
def vizsla(place: Path) -> Run:
    """The vizsla program over that workspace."""
    return lambda *arguments: run_vizsla(*arguments, cwd=place, VIZSLA_WORKSPACE=str(place / "runs"))


def listed(vizsla: Run) -> dict[str, str]:
    """Name → status, as ps gives them."""
    ended = vizsla("ps", "--json")
    assert ended.code == 0, ended.err
    return {row["name"]: row["status"] for row in ended.document}


def running(place: Path, name: str = "long") -> JobDir:
    """A job that runs until it is ended."""
    folder = lay_out(place, FOREVER, name)
    local.start(folder)
    until(lambda: says(folder, "begun"))
    return folder


def refused(ended: Ended, said: str) -> None:
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


# ---- ps


def test_ps_lists_each_job_with_its_five_keys_the_newest_first(vizsla: Run) -> None:
    rows = vizsla("ps", "--json").document
    assert [list(row) for row in rows] == [["name", "kind", "status", "created", "seconds"]] * 2
    assert [(row["name"], row["kind"], row["status"]) for row in rows] == [
        ("bad", "training", "Failed"),
        ("good", "training", "Completed"),
    ]
    assert rows[0]["created"] > rows[1]["created"]


def test_a_person_sees_a_line_a_job(vizsla: Run) -> None:
    lines = vizsla("ps").out.splitlines()
    assert [line.split()[:3] for line in lines] == [["bad", "training", "Failed"], ["good", "training", "Completed"]]


def test_where_nothing_has_run_ps_says_how_to_start(tmp_path: Path) -> None:
    ended = run_vizsla("ps", cwd=tmp_path)
    assert ended.code == 0
    assert "vizsla train DIR" in ended.out
    assert run_vizsla("ps", "--json", cwd=tmp_path).document == []
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_was_resumed_is_in_progress_again(vizsla: Run, place: Path) -> None:
    assert listed(vizsla)["bad"] == "Failed"
    folder = JobDir(place / "runs" / "training" / "bad")
    (folder.code / "train.py").write_text(FOREVER)
    local.start(folder)
    assert listed(vizsla)["bad"] == "InProgress"
    local.kill(folder)
    assert listed(vizsla)["bad"] == "Failed"


def test_a_folder_removed_by_hand_is_gone_from_the_list(vizsla: Run, place: Path) -> None:
    assert set(listed(vizsla)) == {"good", "bad"}
    shutil.rmtree(place / "runs" / "training" / "good")
    assert set(listed(vizsla)) == {"bad"}


def test_two_processes_may_list_at_once(place: Path) -> None:
    command = [sys.executable, "-m", "vizsla", "ps", "--json", "--workspace", str(place / "runs")]
    both = [subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [each.communicate(timeout=PATIENCE_S)[0] for each in both]
    assert [len(json.loads(each)) for each in said] == [2, 2]


def test_rebuild_counts_the_jobs_and_heals_a_damaged_index(vizsla: Run, place: Path) -> None:
    (place / "runs" / "index.sqlite").write_bytes(b"this was an index" * 1000)
    assert set(listed(vizsla)) == {"good", "bad"}
    assert vizsla("rebuild", "--json").document == {"jobs": 2}
    assert (place / "runs" / "index.sqlite").read_bytes().startswith(b"SQLite format 3")


# ---- show


def test_show_says_what_run_said(vizsla: Run, place: Path) -> None:
    document = vizsla("show", "good", "--json").document
    assert (document["name"], document["status"], document["metrics"]) == ("good", "Completed", {"loss": 0.5})
    text = vizsla("show", "training/bad").out
    assert "Failed" in text
    assert "ValueError: ears" in text


# ---- logs


def test_logs_are_what_the_job_printed(vizsla: Run) -> None:
    assert vizsla("logs", "good").out.splitlines()[-1] == "loss: 0.5;"
    assert vizsla("logs", "good", "--json").document["lines"][-1] == "loss: 0.5;"


def test_logs_that_are_followed_end_with_the_job(place: Path) -> None:
    signal = place / "go"
    script = (
        f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(signal)!r}): time.sleep(0.05)\n"
        "print('the last line')\n"
    )
    folder = lay_out(place, script, "followed")
    local.start(folder)
    command = [sys.executable, "-m", "vizsla", "logs", "followed", "--follow", "--workspace", str(place / "runs")]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        until(lambda: "begun" in (follower.stdout.readline() if follower.stdout else ""))
        signal.touch()
        rest, _ = follower.communicate(timeout=PATIENCE_S)
    assert (follower.returncode, rest) == (0, "the last line\n")


# ---- stop


def test_a_script_that_ignores_sigterm_is_killed_after_its_grace(vizsla: Run, place: Path) -> None:
    arguments: list[str | Path] = [ROOT / "examples" / "ignores_sigterm.py", "--set", "stop_grace=1s", "--name", "deaf"]
    folder = JobDir(place / "runs" / "training" / "deaf")
    command = [
        sys.executable,
        "-m",
        "vizsla",
        "run",
        *map(str, arguments),
        "--json",
        "--workspace",
        str(place / "runs"),
    ]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as waiting:
        until(lambda: says(folder, "second 0"))
        processes = [process for process in psutil.process_iter() if _group_of(folder, process)]
        assert len(processes) >= 2
        stopped = vizsla("stop", "deaf", "--json").document
        out, _ = waiting.communicate(timeout=PATIENCE_S)
    assert (stopped["status"], stopped["reason"]) == ("Stopped", "stopped by the user")
    assert says(folder, "SIGTERM, and I go on")
    assert not [process for process in processes if _runs(process)]
    assert (waiting.returncode, json.loads(out)["status"]) == (1, "Stopped")


def _group_of(folder: JobDir, process: psutil.Process) -> bool:
    """Whether this is the job's worker or a child of it."""
    worker = folder.attempts()[-1].process.pid
    try:
        return process.pid == worker or process.ppid() == worker
    except psutil.NoSuchProcess:
        return False


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_job_that_has_ended_is_left_as_it_is(vizsla: Run) -> None:
    ended = vizsla("stop", "good", "--json")
    assert (ended.code, ended.document["status"]) == (0, "Completed")


# ---- rm


def test_a_removed_job_is_gone(vizsla: Run, place: Path) -> None:
    assert "good" in listed(vizsla)
    assert vizsla("rm", "good", "--json").document == {"name": "good", "kind": "training", "removed": True}
    assert set(listed(vizsla)) == {"bad"}
    assert [path.name for path in (place / "runs" / "training").iterdir()] == ["bad"]
    refused(vizsla("show", "good"), "no job called good")


def test_photos_outlive_the_job_that_was_trained_on_them(vizsla: Run, place: Path) -> None:
    photos = place / "photos"
    photos.mkdir()
    (photos / "one.jpg").touch()
    (place / "runs" / "training" / "good" / "input" / "data" / "training").symlink_to(photos)
    assert vizsla("rm", "good").code == 0
    assert (photos / "one.jpg").exists()


def test_a_job_that_runs_is_not_removed(vizsla: Run, place: Path) -> None:
    folder = running(place)
    refused(vizsla("rm", "long"), "vizsla stop long")
    assert folder.attempts()[-1].process.alive()


# ---- names


@pytest.mark.parametrize("verb", ["show", "logs", "stop", "rm"])
def test_an_unknown_name_is_refused_and_the_known_ones_named(vizsla: Run, verb: str) -> None:
    ended = vizsla(verb, "goood")
    refused(ended, "There is no job called goood")
    assert "good" in ended.err.splitlines()[1]


@pytest.mark.parametrize("verb", ["show", "stop"])
def test_a_folder_that_is_half_laid_out_is_no_job(vizsla: Run, place: Path, verb: str) -> None:
    (place / "runs" / "training" / "half" / "attempts").mkdir(parents=True)
    assert "half" not in listed(vizsla)
    refused(vizsla(verb, "half"), "holds no job")


def test_a_folder_that_is_half_laid_out_can_be_removed(vizsla: Run, place: Path) -> None:
    (place / "runs" / "training" / "half" / "attempts").mkdir(parents=True)
    assert vizsla("rm", "half").code == 0
    assert not (place / "runs" / "training" / "half").exists()
