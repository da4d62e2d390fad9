"""`vizsla debug`: what a person reads, what a program reads, and how it ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.analysis.jobs import EVIL, ended, measured, ruled
from tests.conftest import Trained
from vizsla.files import read_json, write_json
from vizsla.jobdir import JobDir

if TYPE_CHECKING:
    from tests.cli.conftest import Here


@pytest.fixture
def judged(tmp_path: Path) -> JobDir:
    """A job called dogs in the workspace ./vizsla-runs, that learns its photos by heart."""
    place = tmp_path / "vizsla-runs"
    place.mkdir()
    return measured(ended(place), [1.5, 1.6, 2.0, 2.5])


def test_a_table_then_what_was_found_then_what_to_do(here: Here, judged: JobDir) -> None:
    ended = here("debug", "dogs", "--rule", "overfit", "--rule", "dead_relu")
    assert (ended.code, ended.err) == (0, "")
    table, *found, cures = ended.out.strip().split("\n\n")[1:]
    assert [line.split() for line in table.splitlines()] == [
        ["rule", "status", "triggered", "datapoints"],
        ["Overfit", "IssuesFound", "3", "4"],
        ["DeadRelu", "NotApplicable", "0", "0"],
    ]
    assert [each.splitlines()[0] for each in found] == ["Overfit:", "DeadRelu:"]
    assert "at epoch 2 is 1.6" in found[0]
    assert "No ReLU was seen" in found[1]
    assert cures.startswith("What to do:\n  1. ")
    assert cures.endswith("(Overfit)")


def test_many_findings_are_told_by_the_first_three(here: Here, judged: JobDir) -> None:
    ended = here("debug", "dogs", "--rule", "loss_not_decreasing:by_epoch=true,num_steps=1,mode=eval,diff_percent=99")
    assert ended.out.count("it should fall by more than") == 3
    assert "and 1 more" not in ended.out
    more = here("debug", "dogs", "--rule", "loss_not_decreasing:num_steps=1,mode=train,diff_percent=99")
    assert "  and " in more.out


def test_the_document_is_all_there_is_on_stdout(here: Here, judged: JobDir) -> None:
    document = here("debug", "dogs", "--rule", "overfit:ratio_threshold=0.2", "--json").document
    assert {"name": "dogs", "kind": "training", "status": "Completed"}.items() <= document.items()
    assert document["rules"][0]["parameters"]["ratio_threshold"] == 0.2
    assert document["recommendations"][0]["cure"]


def test_a_job_that_was_really_trained_is_held_against_the_defaults(here: Here, trained: Trained) -> None:
    shutil.copytree(trained.place / "vizsla-runs", "vizsla-runs", symlinks=True)
    ended = here("debug", "shapes")
    assert ended.code == 0
    assert "LossNotDecreasing" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "There is no job called nobody"),
        (["dogs", "--rule", "overfitt"], "Did you mean overfit?"),
        (["dogs", "--rule", "overfit:ratio_treshold=1"], "Did you mean ratio_threshold?"),
        (["dogs", "--rule", "overfit:ratio_threshold=-1"], "ratio_threshold=-1 cannot be"),
        (["dogs", "--rule", "overfit:ratio_threshold"], "is no parameter"),
    ],
)
def test_what_cannot_be_asked_ends_with_2_and_a_cure(
    here: Here, judged: JobDir, arguments: list[str], said: str
) -> None:
    ended = here("debug", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_a_finished_job_without_records_ends_with_2(here: Here, judged: JobDir) -> None:
    shutil.rmtree(judged.records)
    ended = here("debug", "dogs")
    assert (ended.code, ended.out) == (2, "")
    assert "dogs has no records: " in ended.err


def test_torn_records_are_a_warning(here: Here, judged: JobDir) -> None:
    (file,) = (judged.records / "train").iterdir()
    file.write_bytes(file.read_bytes()[:-30])
    ended = here("debug", "dogs", "--rule", "overfit")
    assert ended.code == 0
    assert "Careful: The records in train/0001-000000 are torn" in ended.out


def test_no_name_moves_the_cursor(here: Here, judged: JobDir) -> None:
    ruled(judged, "overfit")
    document = read_json(judged.path / "job.json")
    document["rules"][0]["name"] = f"\x1b[2J{EVIL}\n"
    write_json(judged.path / "job.json", document)
    assert "\x1b" not in here("debug", "dogs").out
