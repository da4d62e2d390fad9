"""The list of jobs: right whatever happened to the folders or to the index, and read once where nothing changed."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.races import race
from tests.scripts import lay_out
from vizsla import store
from vizsla.jobdir import JobDir, Outcome, State, advance
from vizsla.process import Process
from vizsla.store import FILE, Row, Store
from vizsla.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace with three jobs that have ended."""
    ends: dict[str, State] = {"one": "Completed", "two": "Failed", "three": "Stopped"}
    for name, state in ends.items():
        attempt(lay_out(tmp_path, "", name), state)
    return Workspace(tmp_path / "runs")


def attempt(folder: JobDir, state: State, number: int = 1) -> None:
    """Attempt `number` of a job, in that state; no process is started."""
    import os

    process = Process.of(os.getpid())
    folder.begin(number, process if state == "InProgress" else replace(process, boot="an earlier one"))
    if state != "InProgress":
        folder.report_outcome(number, Outcome(state))
        advance(folder)


def rows(place: Workspace) -> list[Row]:
    with Store(place) as opened:
        return opened.rows()


def states(place: Workspace) -> dict[str, str]:
    return {row.name: row.status for row in rows(place)}


ALL = {"one": "Completed", "two": "Failed", "three": "Stopped"}


def test_every_job_is_listed_the_newest_first(place: Workspace) -> None:
    assert [row.name for row in rows(place)] == ["three", "two", "one"]
    assert states(place) == ALL


def test_the_second_look_reads_no_finished_job_again(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rows(place)
    monkeypatch.setattr(store, "read_json", lambda _: pytest.fail("a finished job was read again"))
    assert rows(place) == first


def test_a_job_that_goes_on_is_seen_to_run(place: Workspace) -> None:
    rows(place)
    attempt(JobDir(place.path / "training" / "two"), "InProgress", number=2)
    assert states(place) == {**ALL, "two": "InProgress"}


def test_a_job_that_ended_since_is_seen_to_have_ended(place: Workspace, tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "", "four")
    attempt(folder, "InProgress")
    assert states(place)["four"] == "InProgress"
    shutil.rmtree(folder.path / "attempts")
    (folder.path / "attempts").mkdir()
    attempt(folder, "Completed")
    assert states(place)["four"] == "Completed"


def test_a_folder_that_was_removed_by_hand_is_forgotten(place: Workspace) -> None:
    rows(place)
    shutil.rmtree(place.path / "training" / "one")
    assert states(place) == {"two": "Failed", "three": "Stopped"}


def test_a_name_that_was_taken_again_is_the_new_job(place: Workspace, tmp_path: Path) -> None:
    rows(place)
    shutil.rmtree(place.path / "training" / "one")
    shutil.rmtree(tmp_path / "source-one")
    attempt(lay_out(tmp_path, "", "one"), "Failed")
    assert states(place)["one"] == "Failed"


def test_a_folder_that_is_half_laid_out_is_no_job(place: Workspace) -> None:
    half = place.path / "training" / "half"
    shutil.copytree(place.path / "training" / "one", half)
    (half / "job.json").unlink()
    (place.path / "training" / "empty").mkdir()
    assert states(place) == ALL


@pytest.mark.parametrize("file", ["job.json", "attempts/1.json"])
def test_a_job_that_cannot_be_read_does_not_hide_the_others(place: Workspace, file: str) -> None:
    (place.path / "training" / "one" / file).write_text("{")
    assert states(place) == {"two": "Failed", "three": "Stopped"}


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough" * 100, b"SQLite format 3\0 torn"])
def test_a_damaged_index_is_no_problem(place: Workspace, content: bytes) -> None:
    rows(place)
    for file in place.path.glob(f"{FILE}*"):
        file.unlink()
    (place.path / FILE).write_bytes(content)
    assert states(place) == ALL
    assert states(place) == ALL


def test_an_index_that_was_damaged_in_the_middle_is_no_problem(place: Workspace) -> None:
    rows(place)
    with sqlite3.connect(place.path / FILE) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray((place.path / FILE).read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    (place.path / FILE).write_bytes(content)
    assert states(place) == ALL


def test_an_index_of_another_shape_is_no_problem(place: Workspace) -> None:
    with sqlite3.connect(place.path / FILE) as db:
        db.execute("CREATE TABLE job (other TEXT)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    assert states(place) == ALL


def test_an_index_that_another_process_holds_is_no_problem(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(place)
    monkeypatch.setattr(store, "WAIT_S", 0.05)
    with sqlite3.connect(place.path / FILE) as db:
        db.execute("BEGIN EXCLUSIVE")
        assert states(place) == ALL
    db.close()


def test_the_index_can_be_forgotten(place: Workspace) -> None:
    rows(place)
    with Store(place) as opened:
        opened.clear()
    assert states(place) == ALL


def test_an_index_that_is_no_index_is_made_anew_when_asked_for(place: Workspace) -> None:
    (place.path / FILE).write_bytes(b"no database at all, but long enough" * 100)
    with Store(place) as opened:
        opened.clear()
        opened.rows()
    with sqlite3.connect(place.path / FILE) as db:
        assert {name for (name,) in db.execute("SELECT name FROM job")} == set(ALL)
    db.close()


def test_where_nothing_has_run_nothing_is_made(tmp_path: Path) -> None:
    assert rows(Workspace(tmp_path / "runs")) == []
    assert list(tmp_path.iterdir()) == []


LIST = """
with Store(Workspace(Path(sys.argv[1]))) as opened:
    print(sorted(row.name for row in opened.rows()))
"""


def test_processes_list_one_workspace_at_once(place: Workspace) -> None:
    setup = "from vizsla.store import Store\nfrom vizsla.workspace import Workspace"
    assert race(setup, LIST, place.path) == ["['one', 'three', 'two']\n"] * 4
