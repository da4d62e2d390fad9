"""Rules on a job's records, without the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis.jobs import begun, ended, measured, reported, ruled
from tests.analysis.profiling.making import START, machine, samples
from tests.analysis.tensors import saved
from vizsla.analysis import defaults
from vizsla.api import debugging
from vizsla.errors import UserError
from vizsla.files import read_json, write_json
from vizsla.jobdir import JobDir, Outcome
from vizsla.workspace import Workspace

OVERFITTED = [1.5, 1.6, 2.0]


def as_script(folder: JobDir) -> JobDir:
    write_json(folder.path / "job.json", read_json(folder.path / "job.json") | {"entry_point": "train_model.py"})
    return folder


def names(document: dict[str, object]) -> list[str]:
    found = document["rules"]
    assert isinstance(found, list)
    return [each["name"] for each in found]


def test_the_document_says_which_job_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    document = debugging.debug(measured(ended(tmp_path), OVERFITTED), ["overfit:ratio_threshold=0.2"])
    assert list(document) == ["name", "kind", "status", "created", "rules", "recommendations", "problems"]
    assert (document["name"], document["kind"], document["status"]) == ("dogs", "training", "Completed")
    assert document["rules"][0]["status"] == "IssuesFound"
    assert document["recommendations"][0]["rules"] == ["Overfit"]


def test_rules_that_are_named_are_asked_and_no_others(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path), OVERFITTED), "overtraining")
    assert names(debugging.debug(folder, ["overfit", "overfit:patience=2"])) == ["Overfit", "Overfit-2"]


def test_without_any_the_jobs_own_are_asked(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path), OVERFITTED), "overtraining")
    assert names(debugging.debug(folder)) == ["Overtraining"]


def test_a_classifier_without_rules_is_held_against_the_defaults(tmp_path: Path) -> None:
    document = debugging.debug(measured(ended(tmp_path), OVERFITTED))
    assert names(document) == [each.name for each in defaults.requests()]


def test_a_script_without_rules_needs_some_named(tmp_path: Path) -> None:
    folder = as_script(reported(ended(tmp_path), {"loss": [1.0, 1.0]}))
    with pytest.raises(UserError, match="has no rules of its own") as refused:
        debugging.debug(folder)
    assert "--rule" in refused.value.hint
    assert names(debugging.debug(folder, ["loss_not_decreasing"])) == ["LossNotDecreasing"]


def test_a_running_job_can_be_asked(tmp_path: Path) -> None:
    document = debugging.debug(measured(begun(tmp_path), [1.0, 0.5]), ["overfit:ratio_threshold=9"])
    assert (document["status"], document["rules"][0]["status"]) == ("InProgress", "InProgress")


def test_asking_changes_nothing_in_the_job(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), OVERFITTED)
    debugging.debug(folder)
    before = {file: file.stat().st_mtime_ns for file in folder.path.rglob("*")}
    debugging.debug(folder, ["overfit"])
    assert {file: file.stat().st_mtime_ns for file in folder.path.rglob("*")} == before


@pytest.mark.parametrize("asked", ["overfitt", "overfit:ratio_treshold=1", "overfit:ratio_threshold=-1", "overfit:x"])
def test_a_rule_that_cannot_be_is_refused(tmp_path: Path, asked: str) -> None:
    with pytest.raises(UserError):
        debugging.debug(measured(ended(tmp_path), OVERFITTED), [asked])


@pytest.mark.parametrize(
    ("state", "said"),
    [(Outcome("Completed"), "it ended before anything was measured"), (None, "it has not measured anything yet")],
)
def test_a_job_without_records_is_refused(tmp_path: Path, state: Outcome | None, said: str) -> None:
    folder = ended(tmp_path, state) if state else begun(tmp_path)
    with pytest.raises(UserError, match=f"dogs has no records: {said}"):
        debugging.debug(folder)


def test_torn_records_are_said_and_what_is_whole_is_judged(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), OVERFITTED)
    (file,) = (folder.records / "train").iterdir()
    file.write_bytes(file.read_bytes()[:-30])
    document = debugging.debug(folder, ["overfit"])
    assert document["rules"][0]["datapoints"] == 3
    assert document["problems"] == ["The records in train/0001-000000 are torn or damaged; they are read up to there."]


def test_records_that_are_damaged_from_the_start_are_none(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), OVERFITTED)
    (file,) = (folder.records / "train").iterdir()
    file.write_bytes(b"no records" + file.read_bytes())
    with pytest.raises(UserError, match="no records that can be read"):
        debugging.debug(folder)


def test_a_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tuning" / "search").mkdir(parents=True)
    with pytest.raises(UserError, match="rules look at one job"):
        debugging.debug(JobDir(tmp_path / "tuning" / "search"))


def test_an_action_is_refused_where_nothing_is_watched(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), OVERFITTED)
    with pytest.raises(UserError, match="carries none out"):
        debugging.debug(folder, ["overfit:action=stop"])
    with pytest.raises(UserError, match="carries none out"):
        debugging.debug_records(folder.path, ["overfit:action=command echo"])


def test_a_script_that_measures_nothing_is_told_how_it_could(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no metric was named, and no hook") as refused:
        debugging.debug(as_script(ended(tmp_path)), ["loss_not_decreasing"])
    assert "--metric" in refused.value.hint


def test_a_job_is_found_by_its_name_and_by_its_folder(tmp_path: Path) -> None:
    folder = ended(tmp_path).path
    workspace = Workspace(folder.parent.parent)
    for asked in (folder.name, f"training/{folder.name}", str(folder)):
        assert debugging.find(asked, workspace).path == folder


def test_a_folder_without_records_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"There are no records in {tmp_path}"):
        debugging.find(str(tmp_path), Workspace(tmp_path / "runs"))


def test_of_a_script_that_measured_nothing_the_profilers_rules_can_be_asked(tmp_path: Path) -> None:
    taken = [machine(), *samples(START, START + 30)]
    folder = saved(as_script(ended(tmp_path)), taken)
    document = debugging.debug(folder, ["overall_system_usage", "StepOutlier"])
    assert [each["status"] for each in document["rules"]] == ["NoIssuesFound", "NotApplicable"]
    with pytest.raises(UserError, match="no metric was named"):
        debugging.debug(folder, ["overfit"])


def test_where_the_profiler_was_off_its_rules_have_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no records"):
        debugging.debug(ended(tmp_path), ["profiler_report"])
