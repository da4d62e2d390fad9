"""What can be done with jobs of all kinds, without the command line."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripts import DEAF, FOREVER, lay_out, run, says, state, until
from vizsla.api import jobs
from vizsla.backends import local
from vizsla.errors import UserError
from vizsla.jobdir import JobDir
from vizsla.workspace import Workspace


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> Iterator[Workspace]:
    """The workspace of the test's jobs; whatever still runs there afterwards is ended."""
    yield Workspace(tmp_path / "runs")
    for folder in (tmp_path / "runs" / "training").glob("[!.]*"):
        local.kill(JobDir(folder))


def begun(place: Path, script: str = FOREVER) -> JobDir:
    """A job that runs until it is ended."""
    folder = lay_out(place, script)
    local.start(folder)
    until(lambda: says(folder, "begun"))
    return folder


def test_a_job_that_listens_is_stopped_within_its_grace(tmp_path: Path) -> None:
    attempt = jobs.stop(begun(tmp_path))
    assert attempt is not None
    assert (attempt.state, attempt.reason) == ("Stopped", "stopped by the user")


def test_a_job_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path) -> None:
    folder = begun(tmp_path, DEAF)
    attempt = jobs.stop(folder, grace_s=0.5)
    assert attempt is not None
    assert (attempt.state, attempt.reason) == ("Stopped", "stopped by the user")
    assert says(folder, "deaf")
    assert not attempt.process.alive()


def test_a_job_that_was_never_started_has_nothing_to_stop(tmp_path: Path) -> None:
    assert jobs.stop(lay_out(tmp_path, FOREVER)) is None


def test_a_removed_job_leaves_nothing_behind(tmp_path: Path, place: Workspace) -> None:
    run(folder := lay_out(tmp_path, "pass\n"))
    assert [row["name"] for row in jobs.listed(place)] == ["job"]
    jobs.remove(folder)
    assert jobs.listed(place) == []
    assert list((place.path / "training").iterdir()) == []


def test_a_removal_that_was_killed_half_way_left_no_job(tmp_path: Path, place: Workspace) -> None:
    run(folder := lay_out(tmp_path, "pass\n"))
    folder.path.rename(folder.path.with_name(".removed-job"))
    assert jobs.listed(place) == []


def test_a_job_on_a_disk_that_is_read_only_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    folder = lay_out(tmp_path, "pass\n")
    monkeypatch.setattr(Path, "rename", read_only)
    with pytest.raises(UserError, match="could not be deleted: Read-only file system"):
        jobs.remove(folder)


def test_a_running_job_is_not_removed(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    with pytest.raises(UserError, match="still running") as refused:
        jobs.remove(folder)
    assert refused.value.hint == "Stop it first: vizsla stop job"
    assert state(folder).state == "InProgress"


def test_a_log_that_is_followed_ends_with_its_job(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(jobs.log(folder, follow=True)))
    reader.start()
    jobs.stop(folder)
    reader.join()
    assert lines[-1] == "begun"


def test_a_log_has_the_lines_of_all_attempts(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "print('again')\n")
    run(folder)
    run(folder)
    assert [line for line in jobs.log(folder, follow=False) if line == "again"] == ["again", "again"]


def test_rebuild_counts_what_there_is(tmp_path: Path, place: Workspace) -> None:
    assert jobs.rebuild(place) == 0
    run(lay_out(tmp_path, "pass\n", "one"))
    run(lay_out(tmp_path, "raise SystemExit(1)\n", "two"))
    assert jobs.rebuild(place) == 2
    assert {row["name"]: row["status"] for row in jobs.listed(place)} == {"one": "Completed", "two": "Failed"}
