"""`vizsla train`: what it prints and what it leaves behind."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from tests.cli.conftest import TORN, tiny
from tests.photos import write_folder
from vizsla import bundle
from vizsla.cli.train import finish
from vizsla.jobdir import JobDir

if TYPE_CHECKING:
    from tests.cli.conftest import Here
    from tests.conftest import Run, Trained

ONE_EPOCH = tiny("epochs=1")


# ---- the document


def test_the_document_has_the_keys_that_programs_rely_on(trained: Trained) -> None:
    document = trained.document
    assert set(document) - {"reason", "hint", "issues"} == {
        "name", "kind", "status", "created", "job", "folder", "model", "classes", "images", "metrics", "epochs",
        "probe", "seconds", "bundle", "exit_code", "rules",
    }  # fmt: skip
    assert set(document["images"]) == {"train", "valid", "test", "bad"}
    assert set(document["metrics"]) == {"train_loss", "valid_loss", "valid_accuracy", "test_loss", "test_accuracy"}


def test_the_document_says_what_was_done(trained: Trained) -> None:
    document = trained.document
    assert (document["name"], document["job"], document["kind"]) == ("shapes", "shapes", "training")
    assert (document["status"], document["reason"], document["epochs"]) == ("Completed", None, 3)
    assert document["model"] == "test_resnet"
    assert document["classes"] == ["checker", "disc", "stripes"]
    assert document["seconds"] > 0


def test_the_moment_of_creation_is_iso_8601_in_utc(trained: Trained) -> None:
    created = datetime.fromisoformat(trained.document["created"])
    assert created.utcoffset() == timedelta(0)
    assert created <= datetime.now(UTC)


def test_good_photos_are_counted_by_use_and_bad_ones_named_with_their_reason(trained: Trained) -> None:
    images = trained.document["images"]
    assert images["train"] + images["valid"] + images["test"] == 24 + 20 + 16
    assert images["bad"] == [{"file": "disc/torn.jpg", "reason": "truncated"}]


def test_the_folder_and_the_bundle_are_where_the_document_says(trained: Trained) -> None:
    assert trained.folder == trained.place / "vizsla-runs" / "training" / "shapes"
    assert trained.document["bundle"] == str(trained.folder / "model")
    manifest = bundle.read(trained.folder / "model", verify=True)
    assert manifest.name == "shapes"
    assert list(manifest.classes) == trained.document["classes"]


def test_its_figures_are_those_of_the_manifest_and_of_the_evaluation(trained: Trained) -> None:
    metrics = trained.document["metrics"]
    assert metrics == bundle.read(trained.folder / "model").metrics
    evaluation = json.loads((trained.folder / "output" / "data" / "evaluation.json").read_text())
    assert (metrics["test_loss"], metrics["test_accuracy"]) == (evaluation["loss"], evaluation["accuracy"])
    assert evaluation["split"] == "test"
    assert evaluation["images"] == trained.document["images"]["test"]


def test_runs_are_kept_out_of_git(trained: Trained) -> None:
    assert (trained.place / "vizsla-runs" / ".gitignore").read_text() == "*\n"


def test_every_photo_is_in_one_split_of_the_table(trained: Trained) -> None:
    with (trained.folder / "output" / "data" / "splits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    good = {f"{path.parent.name}/{path.name}" for path in trained.photos.glob("*/*-*.jpg")}
    assert len(rows) == len(good)
    assert {row["file"] for row in rows} == good


# ---- what a person sees


def test_without_a_terminal_there_are_plain_lines_and_then_a_summary(vizsla: Run, photos: Path) -> None:
    (photos / "rows" / "torn.jpg").write_bytes(TORN)
    ended = vizsla("train", photos, *tiny("epochs=2", "data.max_bad=0.1"), "--name", "mine")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert any(line.startswith("epoch 1/2 train loss: ") for line in lines)
    assert any(line.startswith("epoch 2/2 train loss: ") for line in lines)
    assert "warning: left out: rows/torn.jpg: truncated" in lines
    assert lines[-1] == "Ask it: vizsla predict mine PHOTO"
    assert "\x1b" not in ended.out + ended.err


@pytest.mark.parametrize("status", ["Completed", "Stopped", "Failed"])
@pytest.mark.parametrize("code", [130, 143])
def test_ended_by_a_signal_the_exit_code_says_so_whatever_the_job_left(status: str, code: int) -> None:
    document = {
        "status": status,
        "name": "mine",
        "bundle": None,
        "reason": "It was so.",
        "hint": None,
        "exit_code": 1,
    }
    with pytest.raises(typer.Exit) as left:
        finish(code, document)
    assert left.value.exit_code == code


# ---- settings


def train(here: Here, *arguments: str | Path) -> dict[str, Any]:
    ended = here("train", *arguments, "--json")
    assert ended.code == 0, ended.err
    return dict(ended.document)


def reports(document: dict[str, Any]) -> Path:
    return JobDir(Path(document["folder"])).reports


def test_a_test_split_that_is_left_alone_has_no_figures(here: Here, photos: Path) -> None:
    document = train(here, photos, *ONE_EPOCH, "--set", "evaluate.test=false")
    assert document["metrics"]["test_loss"] is None
    assert document["metrics"]["test_accuracy"] is None
    assert document["metrics"]["valid_loss"] is not None
    assert document["images"]["test"] > 0
    assert not (reports(document) / "evaluation.json").exists()


def test_a_fraction_takes_from_train_only_and_from_every_class(here: Here, trained: Trained) -> None:
    document = train(here, trained.photos, *ONE_EPOCH, "--set", "data.fraction=0.5")
    whole, half = trained.document["images"], document["images"]
    assert (half["valid"], half["test"]) == (whole["valid"], whole["test"])
    assert abs(half["train"] - whole["train"] / 2) <= 1
    report = json.loads((reports(document) / "data_report.json").read_text())
    assert all(row["train"] > 0 for row in report["per_class"].values())


def test_three_channels_are_train_valid_and_test(here: Here, tmp_path: Path) -> None:
    counts = {"train": 8, "validation": 3, "test": 2}
    options = []
    for seed, (name, count) in enumerate(counts.items()):
        write_folder(tmp_path / name, {"disc": count, "rows": count}, seed=seed)
        options += ["--channel", f"{name}={tmp_path / name}"]
    document = train(here, *options, *ONE_EPOCH)
    assert document["images"] == {"train": 16, "valid": 6, "test": 4, "bad": []}


def test_a_folder_of_split_folders_keeps_its_splits(here: Here, tmp_path: Path) -> None:
    for seed, (name, count) in enumerate({"train": 8, "val": 3}.items()):
        write_folder(tmp_path / "data" / name, {"disc": count, "rows": count}, seed=seed)
    document = train(here, tmp_path / "data", *ONE_EPOCH)
    assert document["images"] == {"train": 16, "valid": 6, "test": 0, "bad": []}
    assert document["metrics"]["test_accuracy"] is None


def test_a_csv_gives_the_labels(here: Here, photos: Path) -> None:
    rows = [(path.stem, "round" if path.parent.name == "disc" else "striped") for path in photos.glob("*/*.jpg")]
    (photos / "labels.csv").write_text("id,breed\n" + "".join(f"{image},{label}\n" for image, label in rows))
    document = train(here, photos, *ONE_EPOCH, "--set", "data.labels=labels.csv")
    assert document["classes"] == ["round", "striped"]
    assert sum(document["images"][split] for split in ("train", "valid", "test")) == 16


def test_a_job_without_a_name_is_called_after_its_folder(here: Here, tmp_path: Path) -> None:
    write_folder(tmp_path / "My Photos!", {"disc": 6, "rows": 6})
    names = [train(here, tmp_path / "My Photos!", *ONE_EPOCH)["name"] for _ in range(2)]
    assert names[0] != names[1]
    assert all(name.startswith("my-photos-") for name in names)


def test_runs_go_where_the_workspace_option_says(here: Here, photos: Path, tmp_path: Path) -> None:
    document = train(here, photos, *ONE_EPOCH, "--workspace", tmp_path / "elsewhere")
    assert document["folder"].startswith(str(tmp_path / "elsewhere" / "training"))
    assert not (tmp_path / "vizsla-runs").exists()


# ---- names from a disk that is not ours


HOSTILE = ("<img src=x onerror=alert(1)>", "two\nlines", "\x1b[31mred", os.fsdecode(b"caf\xe9"))


def test_hostile_class_names_are_trained_on_and_printed_without_a_control_character(
    vizsla: Run, tmp_path: Path
) -> None:
    write_folder(tmp_path / "photos", dict.fromkeys(HOSTILE, 6))
    (tmp_path / "photos" / HOSTILE[2] / "\x1b[2Jtorn\r.jpg").write_bytes(TORN)
    ended = vizsla("train", tmp_path / "photos", *tiny("epochs=1"), "--name", "hostile")
    assert ended.code == 0, ended.err
    assert all(char.isprintable() for char in (ended.out + ended.err).replace("\n", ""))
    assert r"\x1b[31mred" in ended.out
    assert r"caf\xe9" in ended.out
    manifest = bundle.read(tmp_path / "vizsla-runs" / "training" / "hostile" / "model", verify=True)
    assert manifest.classes == tuple(sorted(HOSTILE))


def test_a_label_may_hold_what_no_folder_can(here: Here, photos: Path) -> None:
    label = "</script><img onerror=…>"
    rows = [(f"disc-00{index}.jpg", label if index < 4 else "other") for index in range(8)]
    (photos / "labels.csv").write_text("image,label\n" + "".join(f"{image},{name}\n" for image, name in rows))
    document = train(here, photos, *ONE_EPOCH, "--set", "data.labels=labels.csv")
    assert document["classes"] == [label, "other"]
