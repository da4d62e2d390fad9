"""`vizsla train`, asked for what cannot be: exit code 2, what is wrong, and what to do about it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from tests.cli.conftest import TORN, tiny
from vizsla import jobdir
from vizsla.jobdir import JobDir
from vizsla.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Here
    from tests.conftest import Ended, Run, Trained


def refused(ended: Ended, *words: str) -> None:
    """The command said on stderr, in a message and a hint that hold `words`, why the request has to change."""
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    message, hint, *rest = ended.err.splitlines()
    assert message.startswith("vizsla: ")
    assert hint
    assert rest == []
    for word in words:
        assert word in ended.err


# ---- requests that cannot be: known before anything is started


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["nowhere"], ["There is no folder nowhere"], id="no such folder"),
        pytest.param(["photos/disc/disc-000.jpg"], ["is a file, not a folder"], id="a file"),
        pytest.param([], ["No photos are named", "vizsla train DIR"], id="nothing"),
        pytest.param(["photos", "--channel", "train=photos"], ["exclude each other"], id="DIR and channels"),
        pytest.param(["photos", "--set", "epochs"], ["epochs is not a pair", "key=value"], id="no value"),
        pytest.param(["photos", "--set", "lr=1", "--set", "lr=2"], ["lr is given twice"], id="twice"),
        pytest.param(["photos", "--set", "epoch=3"], ["no setting called epoch", "Did you mean epochs?"], id="typo"),
        pytest.param(["photos", "--set", "data.fractoin=.3"], ["Did you mean data.fraction?"], id="typo in a group"),
        pytest.param(["photos", "--set", "run.thread=1"], ["Did you mean run.threads?"], id="typo for the machine"),
        pytest.param(["photos", "--set", "epochs=many"], ["epochs=many cannot be"], id="no number"),
        pytest.param(["photos", "--set", "data.split=0.5,0.1,0.1"], ["add up to 1"], id="shares"),
        pytest.param(["photos", "--set", "optimizer=lion"], ["optimizer=lion cannot be", "adamw"], id="no such choice"),
        pytest.param(["photos", "--name", "my_job"], ["'my_job' cannot be a name", "dashes"], id="a name"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_an_impossible_request_is_refused_and_nothing_is_left_behind(
    here: Here, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    refused(here("train", *arguments), *words)
    assert not (tmp_path / "vizsla-runs").exists()


def test_a_name_that_is_taken_is_refused(here: Here, trained: Trained, photos: Path) -> None:
    ended = here("train", photos, "--name", "shapes", "--workspace", trained.place / "vizsla-runs")
    refused(ended, "There is already a training job called shapes")


def test_a_workspace_is_no_folder_of_photos(here: Here, trained: Trained) -> None:
    refused(here("train", trained.place / "vizsla-runs"), "is a workspace")


# ---- data and models that cannot be: known once the job has looked


def empty(photos: Path) -> None:
    shutil.rmtree(photos)
    photos.mkdir()


def one_class(photos: Path) -> None:
    shutil.rmtree(photos / "rows")


def many_bad(photos: Path) -> None:
    for path in list(photos.glob("rows/*"))[:2]:
        path.write_bytes(TORN)


def a_class_all_bad(photos: Path) -> None:
    for path in photos.glob("rows/*"):
        path.write_bytes(TORN)


def a_csv_that_leaves(photos: Path) -> None:
    (photos / "labels.csv").write_text("image,label\ndisc/disc-000.jpg,disc\n../../secret.jpg,rows\n")


def wrong_weights(photos: Path) -> None:
    save_file({"fc.weight": torch.zeros(2, 3)}, photos.parent / "small.safetensors")


def unchanged(_photos: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "setting", "words"),
    [
        (empty, "seed=0", ["There are no photos in", "folder named after it"]),
        (one_class, "seed=0", ["only one class, 'disc'", "two or more"]),
        (many_bad, "seed=0", ["2 of 16 photos are bad", "rows/rows-00", "--set data.max_bad=0.13"]),
        (a_class_all_bad, "data.max_bad=1", ["The class 'rows' has nothing left", "remove the class"]),
        (a_csv_that_leaves, "data.labels=labels.csv", ["'../../secret.jpg', which is outside", "relative"]),
        (unchanged, "data.labels=../labels.csv", ["'../labels.csv', which is outside", "Copy"]),
        (unchanged, "data.labels=labels.csv", ["There is no file labels.csv in"]),
        (unchanged, "model=resnt18", ["no network called 'resnt18'", "resnet18"]),
        (unchanged, "weights=nowhere.pth", ["nowhere.pth"]),
        (wrong_weights, "weights=small.safetensors", ["small.safetensors", "do not fit", "conv1."]),
        (unchanged, "train_from=layer9", ["no stage called 'layer9'", "layer4"]),
    ],
)
def test_data_or_a_model_that_cannot_be_is_refused_with_the_cure(
    here: Here, photos: Path, spoil: Callable[[Path], None], setting: str, words: list[str]
) -> None:
    spoil(photos)
    refused(here("train", photos, *tiny(setting)), *words)


def test_a_refusal_passes_from_the_job_to_the_command_that_waits_for_it(vizsla: Run, photos: Path) -> None:
    one_class(photos)
    ended = vizsla("train", photos, *tiny())
    refused(ended, "There is only one class, 'disc'.")


def test_with_json_a_refused_job_is_described_too(here: Here, photos: Path) -> None:
    one_class(photos)
    ended = here("train", photos, *tiny(), "--json")
    document = ended.document
    assert (ended.code, document["status"]) == (2, "Failed")
    assert document["reason"] == "There is only one class, 'disc'."
    assert document["hint"]
    assert document["bundle"] is None
    assert set(document["metrics"].values()) == {None}


def test_a_training_that_diverges_fails_with_a_cure(here: Here, photos: Path) -> None:
    ended = here("train", photos, *tiny("lr=1e6", "batch_size=2", "epochs=2"))
    assert ended.code != 0
    assert "diverged" in ended.err
    assert "lower learning rate" in ended.err
    assert "Traceback" not in ended.err


# ---- going on with a job


def test_what_was_never_begun_cannot_be_resumed(here: Here, trained: Trained) -> None:
    ended = here("train", "--resume", "nobody", "--workspace", trained.place / "vizsla-runs")
    refused(ended, "There is no job called nobody", "There are: shapes")


def test_what_is_completed_cannot_be_resumed(here: Here, trained: Trained) -> None:
    ended = here("train", "--resume", "shapes", "--workspace", trained.place / "vizsla-runs")
    refused(ended, "shapes is completed", "Train anew")


def test_what_still_runs_cannot_be_resumed(vizsla: Run, trained: Trained, tmp_path: Path) -> None:
    job = JobDir(trained.folder)
    running = jobdir.create(tmp_path / "vizsla-runs" / "training" / "busy", job.job(), job.plan())
    running.begin(1, Process.of(os.getpid()))
    refused(vizsla("train", "--resume", "busy"), "busy is still running", "Wait")


def test_resuming_takes_no_other_tiny(here: Here, trained: Trained) -> None:
    ended = here("train", "--resume", "shapes", *tiny(), "--workspace", trained.place / "vizsla-runs")
    refused(ended, "goes on with a job as it was planned", "nothing else")
