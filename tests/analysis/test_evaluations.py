"""The rules of a job, held against its folder, whatever state the job is in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.analysis.jobs import begun, checked, ended, measured, ruled
from tests.analysis.tensors import gradients, saved, tensor
from vizsla.analysis import evaluations, facts
from vizsla.analysis.rules import Evaluation, parse
from vizsla.files import read_json, write_json
from vizsla.jobdir import JobDir, Outcome
from vizsla.records import Record

FALLING, RISING = [1.5, 0.9, 0.7], [0.9, 1.5, 2.5]


def rules_of(folder: JobDir) -> list[Evaluation]:
    return list(facts.read(folder).rules)


def only(folder: JobDir) -> Evaluation:
    (found,) = rules_of(folder)
    return found


def test_a_job_without_rules_has_no_evaluations(tmp_path: Path) -> None:
    assert rules_of(measured(ended(tmp_path), FALLING)) == []


def test_a_running_job_is_in_progress_until_something_is_found(tmp_path: Path) -> None:
    folder = ruled(measured(begun(tmp_path), RISING), "overfit", "overfit:ratio_threshold=100", "dead_relu")
    assert [each.status for each in rules_of(folder)] == ["IssuesFound", "InProgress", "InProgress"]


def test_a_job_that_has_ended_is_judged(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path), RISING), "overfit", "overfit:ratio_threshold=100", "dead_relu")
    assert [each.status for each in rules_of(folder)] == ["IssuesFound", "NoIssuesFound", "NotApplicable"]


def test_what_a_stopped_job_never_came_to_is_stopped_too(tmp_path: Path) -> None:
    folder = ruled(ended(tmp_path, Outcome("Stopped", "stopped by the user")), "overfit")
    assert only(folder).status == "Stopped"


def test_a_rule_of_another_version_is_an_error_and_the_others_are_judged(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path), FALLING), "overfit:ratio_threshold=100")
    document = read_json(folder.path / "job.json")
    strange = {"name": "Tomorrow", "rule": "RuleOfTomorrow"}
    write_json(folder.path / "job.json", document | {"rules": [strange, *document["rules"]]})
    first, second = rules_of(folder)
    assert (first.name, first.status, second.status) == ("Tomorrow", "Error", "NoIssuesFound")
    assert "RuleOfTomorrow" in first.reason


def test_a_job_is_judged_up_to_its_end_not_up_to_now(tmp_path: Path) -> None:
    """The records are of 1970; the job ended today, and rules are asked on any later day."""
    folder = ruled(measured(ended(tmp_path), FALLING), "stalled_training_rule")
    once, again = only(folder), only(folder)
    assert once.status == "IssuesFound"
    assert once.findings == again.findings


def test_a_cure_names_the_settings_of_the_plan(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path, settings={"lr": "0.5"}), [float("nan")]), "exploding_tensor")
    assert "--set lr=0.05" in only(folder).findings[0].cure


# ---- what rules are given besides records


def test_another_job_is_found_by_its_name(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), FALLING)
    (twin := folder.path.with_name("twin")).mkdir()
    write_json(twin / "job.json", read_json(folder.path / "job.json") | {"name": "twin"})
    measured(JobDir(twin), [*FALLING[:2], 0.8])
    ruled(folder, "similar_across_runs:other_trials=twin", f"similar_across_runs:other_trials={twin}")
    by_name, by_path = rules_of(folder)
    assert [finding.message for finding in by_name.findings] == [
        "valid_loss at epoch 3 differs from twin: its value is 0.7, there 0.8."
    ]
    assert by_path.triggered == 1


def test_another_job_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path), FALLING), "similar_across_runs:other_trials=nobody")
    assert only(folder).status == "Error"
    assert "no job called nobody" in only(folder).reason


def test_raw_tensors_are_read_where_they_were_saved(tmp_path: Path) -> None:
    folder = ended(tmp_path)
    place = "checkpoints/vizsla/tensors/train/000000000.safetensors"
    (folder.path / place).parent.mkdir(parents=True)
    save_file({"Net_a.weight": np.arange(4.0)}, folder.path / place)
    load = evaluations.context(folder, None).load
    assert load is not None
    record = tensor("Net_a.weight", 0, "weights")
    assert load(record) is None
    found = load(type(record)(t=1.0, kind="tensor", name="Net_a.weight", file=place))
    assert found is not None
    assert found.tolist() == [0, 1, 2, 3]
    for name, file in (("Net_b.weight", place), ("Net_a.weight", place.replace("train", "eval"))):
        assert load(type(record)(t=1.0, kind="tensor", name=name, file=file)) is None


def test_classes_have_their_names_where_the_photos_were_checked(tmp_path: Path) -> None:
    folder = ended(tmp_path)
    assert evaluations.context(folder, folder.plan()).classes is None
    checked(folder, ["cat", "dog"])
    assert evaluations.context(folder, folder.plan()).classes == ["cat", "dog"]
    (folder.reports / "data_report.json").write_text('{"classes": 3}')
    assert evaluations.context(folder, folder.plan()).class_name(1) == "class 1"


# ---- records that cannot be read to their end


@pytest.mark.parametrize("suffix", ["", ".open"])
def test_torn_records_are_judged_up_to_the_tear_and_it_is_said(tmp_path: Path, suffix: str) -> None:
    folder = ruled(ended(tmp_path), "vanishing_gradient")
    saved(folder, gradients({"Net_a.weight": [1e-3, 1e-3, 1e-9]}, steps=(0, 1, 2)))
    (file,) = (folder.records / "debugger").iterdir()
    content = file.read_bytes()
    file.unlink()
    file.with_name(file.name + suffix).write_bytes(content[:-20])
    found = facts.read(folder)
    assert (found.rules[0].status, found.rules[0].datapoints) == ("NoIssuesFound", 2)
    assert found.problems == ("The records in debugger/0001-000000 are torn or damaged; they are read up to there.",)


def test_a_line_that_is_being_written_is_no_tear(tmp_path: Path) -> None:
    folder = saved(ruled(begun(tmp_path), "vanishing_gradient"), gradients({"Net_a.weight": [1e-3]}, steps=(0,)))
    (folder.records / "debugger" / "0001-000001.jsonl.open").write_bytes(b'{"v":1,"t":')
    assert facts.read(folder).problems == ()


def test_an_observer_that_failed_is_named(tmp_path: Path) -> None:
    failed = Record(t=1.0, kind="attempt", name="switched_off", value={"debugger": "it ran out of memory"})
    folder = saved(ended(tmp_path), [failed])
    assert facts.read(folder).problems == (
        "debugger failed while the job ran, and was switched off: it ran out of memory",
    )


def test_the_rules_asked_for_take_the_place_of_the_jobs_own(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path), FALLING), "overfit")
    assert [each.name for each in facts.read(folder, [parse("overtraining")]).rules] == ["Overtraining"]
