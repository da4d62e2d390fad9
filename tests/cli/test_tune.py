"""`vizsla tune` and what follows it, as a user types them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, Ended, run_vizsla, settings
from tests.photos import write_folder
from tests.tuning.sweeping import SCRIPT, until
from vizsla import jobdir
from vizsla.jobdir import JobDir

METRIC = ("--metric", "average test loss=average test loss: ([0-9.]+);")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, and with one sweep of the classifier."""
    place = tmp_path_factory.mktemp("tune")
    write_folder(place / "photos", {"disc": 20, "rows": 20}, seed=1)
    return place


@pytest.fixture(scope="module")
def searched(place: Path) -> Ended:
    """A sweep of three trials of the tiny network, two at a time, for accuracy, over as many epochs."""
    tiny = [part for pair in TINY if not pair.startswith("lr=") for part in ("--set", pair)]
    asked = ["--range", "lr=0.001..0.01", "--range", "epochs=2..3", "--jobs", "3", "--parallel", "2"]
    more = ["--set", "data.fraction=0.8", "--objective", "accuracy", "--name", "search", "--json"]
    return run_vizsla("tune", "photos", *tiny, *asked, *more, cwd=place)


def trials(place: Path) -> list[JobDir]:
    return [JobDir(place / "vizsla-runs" / "training" / f"search-{number:03d}") for number in (1, 2, 3)]


def test_the_document_has_the_keys_that_programs_rely_on(searched: Ended) -> None:
    assert searched.code == 0, searched.err
    document = searched.document
    assert set(document) - {"reason", "hint", "overall_best"} == {
        "name", "kind", "status", "created", "sweep", "objective", "trials", "best", "baseline", "folder", "seconds"
    }  # fmt: skip
    assert (document["name"], document["sweep"], document["kind"]) == ("search", "search", "tuning")
    assert (document["status"], document["objective"]) == ("Completed", {"name": "accuracy", "type": "Maximize"})
    assert [trial["name"] for trial in document["trials"]] == ["search-001", "search-002", "search-003"]
    for trial in document["trials"]:
        assert set(trial) - {"reason"} == {"name", "status", "hyperparameters", "objective", "epochs", "seconds"}
        assert set(trial["hyperparameters"]) == {"lr", "epochs"}
        assert trial["epochs"] == int(trial["hyperparameters"]["epochs"])


def test_the_best_has_the_highest_accuracy_of_kept_epochs(searched: Ended, place: Path) -> None:
    document = searched.document
    assert document["best"]["objective"] == max(trial["objective"] for trial in document["trials"])
    for trial, folder in zip(document["trials"], trials(place), strict=True):
        shown = run_vizsla("show", folder.name, "--json", cwd=place).document
        assert trial["objective"] == shown["metrics"]["valid_accuracy"]


def test_no_trial_asks_the_held_out_photos(searched: Ended, place: Path) -> None:
    assert searched.code == 0
    for folder in trials(place):
        assert folder.job().hyperparameters["evaluate.test"] == "false"
        assert not folder.plan().evaluate.test
        assert not (folder.reports / "evaluation.json").exists()
        for file in (each for each in folder.path.rglob("*") if each.is_file() and "input" not in each.parts):
            text = file.read_bytes().decode(errors="replace")
            assert not re.search(r'held-out: loss|"test_(loss|accuracy)": *[0-9]', text), file


def test_the_final_training_takes_the_winner_and_asks_once(searched: Ended, place: Path) -> None:
    best = searched.document["best"]["hyperparameters"]
    ended = run_vizsla("train", "photos", "--from", "search", "--name", "final", "--json", cwd=place)
    assert ended.code == 0, ended.err
    plan = JobDir(Path(ended.document["folder"])).plan()
    assert (plan.lr, plan.epochs, plan.data.fraction) == (float(best["lr"]), int(best["epochs"]), 1.0)
    assert (plan.model, plan.evaluate.test) == ("test_resnet", True)
    assert ended.document["metrics"]["test_accuracy"] is not None


def test_the_report_has_a_page_for_the_sweep_and_one_for_each_trial(searched: Ended, place: Path) -> None:
    assert searched.code == 0
    ended = run_vizsla("report", "search", "--json", cwd=place)
    page = Path(ended.document["page"])
    links = re.findall(r'<a href="([^"#:]+)"', page.read_text())
    assert {(page.parent / link).resolve() for link in links} >= {each.path / "report.html" for each in trials(place)}
    assert all((page.parent / link).exists() for link in links)


def test_a_completed_sweep_cannot_be_gone_on_with(searched: Ended, place: Path) -> None:
    assert searched.code == 0
    ended = run_vizsla("tune", "--resume", "search", cwd=place)
    assert (ended.code, ended.out) == (2, "")
    assert "search is completed" in ended.err
    assert "vizsla show search" in ended.err


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], "Nothing says what to search"),
        (["--range", "lr"], "lr"),
        (["--range", "lr=0.1..0.2", "--set", "lr=0.1"], "set and searched at once"),
        (["--range", "lr=0.1..0.2", "--strategy", "grid"], "grid"),
        (["--range", "lr=0.1..0.2", "--name", "n" * 33], "at most 32"),
        (["--resume", "search", "--range", "lr=0.1..0.2"], "as it was planned"),
    ],
)
def test_what_cannot_be_searched_ends_with_2_and_a_cure(place: Path, asked: list[str], expected: str) -> None:
    ended = run_vizsla("tune", "photos", *asked, cwd=place)
    assert ended.code == 2
    assert expected in ended.err
    assert len(ended.err.splitlines()) >= 2
    assert "Traceback" not in ended.err


# ---- over a script


def write_script(place: Path) -> None:
    (place / "trial.py").write_text(SCRIPT)


def test_a_script_is_searched_over_and_its_winner_is_not_for_the_classifier(tmp_path: Path) -> None:
    write_script(tmp_path)
    write_folder(tmp_path / "photos", {"disc": 3, "rows": 3})
    ended = run_vizsla(
        "tune", "trial.py", "--source", ".", *METRIC, "--range", "width=0.1,0.3", "--strategy", "grid", cwd=tmp_path
    )
    assert ended.code == 0, ended.err
    assert re.search(r"Best: trial-[0-9-]+-002, average test loss 0\.0500\n  width=0\.3\n", ended.out)
    name = re.search(r"--from (\S+)|vizsla report (\S+)", ended.out)
    assert name
    refused = run_vizsla("train", "photos", "--from", name[1] or name[2], *settings(), cwd=tmp_path)
    assert refused.code == 2
    assert "vizsla run trial.py" in refused.err
    assert "--hp width=0.3" in refused.err


def begin(place: Path) -> tuple[subprocess.Popen[str], JobDir]:
    """A sweep of slow trials, two at a time, that has begun two."""
    write_script(place)
    command = ["tune", "trial.py", "--source", ".", *METRIC, "--range", "width=0.1,0.2,0.3", "--strategy", "grid"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vizsla", *command, "--parallel", "2", "--hp", "sleep=1", "--name", "slow", "--json"],
        cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    second = JobDir(place / "vizsla-runs" / "training" / "slow-002")
    until((second.path / "attempts" / "1.json").exists)
    return process, second


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_sweep_that_was_ended_by_a_signal_ends_its_trials_and_goes_on_later(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process, second = begin(tmp_path)
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate()
    document: dict[str, Any] = json.loads(out)
    assert process.returncode == code, err
    assert document["status"] == "Stopped"
    assert "Go on with: vizsla tune --resume slow" in err
    assert (attempt := jobdir.advance(second)) is not None
    assert attempt.finished
    assert not attempt.process.alive()
    after = run_vizsla("tune", "--resume", "slow", "--json", cwd=tmp_path)
    assert (after.code, after.document["status"]) == (0, "Completed")
    assert [trial["epochs"] for trial in after.document["trials"]] == [2, 2, 2]
