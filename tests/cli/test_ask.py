"""`vizsla predict` and `vizsla evaluate`: what a trained classifier answers, and what it refuses."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.photos import encode, picture, write_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Here
    from tests.conftest import Run, Trained


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo the model has not seen."""
    path = tmp_path / "new.png"
    path.write_bytes(encode(picture(0, 77), "PNG"))
    return path


@pytest.fixture
def model(trained: Trained) -> str:
    """The path of a bundle."""
    return str(trained.folder / "model")


# ---- predict


def test_an_answer_names_class_index_confidence_and_the_likeliest_classes(here: Here, model: str, photo: Path) -> None:
    (answer,) = here("predict", model, photo, "--json").document
    assert set(answer) == {"file", "predicted_class", "label", "confidence", "top"}
    assert answer["file"] == str(photo)
    assert ["checker", "disc", "stripes"][answer["predicted_class"]] == answer["label"]
    assert answer["top"][0] == {"label": answer["label"], "confidence": answer["confidence"]}


def test_confidences_are_percent_and_fall(here: Here, model: str, photo: Path) -> None:
    (answer,) = here("predict", model, photo, "--json").document
    confidences = [each["confidence"] for each in answer["top"]]
    assert len(confidences) == 3
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(100, abs=0.001)


def test_top_says_how_many_classes_are_named(here: Here, model: str, photo: Path) -> None:
    (answer,) = here("predict", model, photo, "--json", "--top", "2").document
    assert len(answer["top"]) == 2
    assert here("predict", model, photo, "--top", "0").code == 2


def test_a_name_means_the_same_as_the_path_of_its_bundle(here: Here, trained: Trained, photo: Path) -> None:
    workspace = ("--workspace", trained.place / "vizsla-runs")
    by_name = here("predict", "shapes", photo, "--json", *workspace).document
    by_kind = here("predict", "training/shapes", photo, "--json", *workspace).document
    by_job = here("predict", trained.folder, photo, "--json").document
    assert by_name == by_kind == by_job == here("predict", trained.folder / "model", photo, "--json").document


def test_a_bundle_answers_wherever_it_is_copied(here: Here, trained: Trained, photo: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(trained.folder / "model", tmp_path / "copied")
    there = here("predict", trained.folder / "model", photo, "--json").document
    assert here("predict", copied, photo, "--json").document == there


def test_photos_get_the_answers_of_the_evaluation_after_training(here: Here, trained: Trained) -> None:
    rows = json.loads((trained.folder / "output" / "data" / "evaluation.json").read_text())["predictions"]
    answers = here("predict", trained.folder, *(trained.photos / row["file"] for row in rows), "--json").document
    assert [answer["label"] for answer in answers] == [row["predicted"] for row in rows]
    for answer, row in zip(answers, rows, strict=True):
        assert answer["confidence"] == pytest.approx(row["confidence"], abs=0.01)


def test_what_is_no_photo_is_named_and_the_others_are_answered(vizsla: Run, model: str, photo: Path) -> None:
    torn = photo.with_name("torn.jpg")
    torn.write_bytes(b"\xff\xd8\xff\xe0 and no more")
    ended = vizsla("predict", model, photo, torn, "gone.jpg", photo, "--json")
    assert ended.code == 1
    assert ended.err == ""
    first, second, third, fourth = ended.document
    assert first == fourth
    assert first["label"]
    assert second == {"file": str(torn), "error": "truncated"}
    assert third == {"file": "gone.jpg", "error": "no such file or directory"}


def test_a_person_reads_one_photo_after_the_other(here: Here, model: str, photo: Path) -> None:
    torn = photo.with_name("torn.jpg")
    torn.write_bytes(b"hello")
    ended = here("predict", model, photo, torn)
    first, *others, last = ended.out.splitlines()
    assert first.startswith(f"{photo}: ")
    assert first.endswith(" %)")
    assert len(others) == 2
    assert last.startswith(f"{torn}: not an image")
    assert ended.code == 1


def test_file_names_are_printed_without_their_control_characters(here: Here, model: str, tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b[2J\nnew.png"
    hostile.write_bytes(encode(picture(0, 77), "PNG"))
    ended = here("predict", model, hostile, tmp_path / "\x1b[2Jgone.png")
    assert all(char.isprintable() for char in (ended.out + ended.err).replace("\n", ""))
    assert r"\x1b[2J\nnew.png" in ended.out


def test_a_bundle_with_other_weights_is_refused(here: Here, trained: Trained, photo: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(trained.folder / "model", tmp_path / "copied")
    (weights,) = copied.glob("*.safetensors")
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    ended = here("predict", copied, photo, "--json")
    assert (ended.code, ended.out) == (1, "")
    assert "are not those that the manifest was written for" in ended.err
    assert "another copy of the bundle" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("nobody", ["There is no job called nobody", "vizsla train DIR"]),
        ("./nowhere", ["./nowhere is no bundle", "manifest.json"]),
        ("not_a_name", ["'not_a_name' cannot be a name"]),
    ],
)
def test_what_is_neither_a_name_nor_a_bundle_is_refused(here: Here, photo: Path, asked: str, words: list[str]) -> None:
    ended = here("predict", asked, photo)
    assert (ended.code, ended.out) == (2, "")
    assert all(word in ended.err for word in words)


# ---- evaluate


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Labelled photos that the model has not seen."""
    write_folder(tmp_path / "others", {"disc": 6, "stripes": 5, "checker": 4}, seed=50)
    return tmp_path / "others"


def evaluated(here: Here, *arguments: str | Path) -> dict[str, Any]:
    ended = here("evaluate", *arguments, "--json")
    assert ended.code == 0, ended.err
    return dict(ended.document)


def test_unseen_photos_are_scored_like_the_held_out_ones(here: Here, model: str, others: Path) -> None:
    document = evaluated(here, model, others)
    right = sum(row["label"] == row["predicted"] for row in document["predictions"])
    assert (document["split"], document["images"], document["bad"]) == ("all", 15, [])
    assert document["accuracy"] == right / 15
    assert [sum(row) for row in document["confusion"]] == [4, 6, 5]
    assert document["accuracy_95"][0] < document["accuracy"] < document["accuracy_95"][1]


def test_the_held_out_photos_score_as_they_did_after_training(here: Here, trained: Trained, tmp_path: Path) -> None:
    before = json.loads((trained.folder / "output" / "data" / "evaluation.json").read_text())
    for row in before["predictions"]:
        (tmp_path / "held" / row["label"]).mkdir(parents=True, exist_ok=True)
        shutil.copy(trained.photos / row["file"], tmp_path / "held" / row["file"])
    document = evaluated(here, trained.folder, tmp_path / "held")
    assert document["confusion"] == before["confusion"]
    assert document["loss"] == pytest.approx(before["loss"], abs=1e-5)
    assert document["trained_on"] == 0


def test_photos_that_were_trained_on_are_warned_of(here: Here, trained: Trained) -> None:
    images = trained.document["images"]
    assert evaluated(here, trained.folder, trained.photos)["trained_on"] == images["train"] + images["valid"]
    ended = here("evaluate", trained.folder, trained.photos)
    assert f"Careful: {images['train'] + images['valid']} of these photos were used in training" in ended.out


def test_unseen_photos_are_not_warned_of(here: Here, trained: Trained, others: Path) -> None:
    ended = here("evaluate", trained.folder, others)
    assert ended.code == 0
    assert "Careful" not in ended.out
    assert "15 (all), 0 left out" in ended.out


def test_in_a_folder_with_splits_only_the_test_photos_are_asked(here: Here, model: str, tmp_path: Path) -> None:
    for seed, (split, count) in enumerate({"train": 5, "test": 2}.items()):
        write_folder(tmp_path / "data" / split, {"disc": count, "stripes": count, "checker": count}, seed=60 + seed)
    document = evaluated(here, model, tmp_path / "data")
    assert (document["split"], document["images"]) == ("test", 6)


def test_some_of_the_classes_are_enough(here: Here, model: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "some", {"disc": 3}, seed=50)
    document = evaluated(here, model, tmp_path / "some")
    assert [row["images"] for row in document["per_class"]] == [0, 3, 0]


def test_a_csv_gives_the_labels_here_too(here: Here, model: str, others: Path) -> None:
    rows = [f"{path.relative_to(others)},{path.parent.name}\n" for path in others.glob("*/*.jpg")]
    (others / "labels.csv").write_text("image,label\n" + "".join(sorted(rows)[:7]))
    assert evaluated(here, model, others, "--labels", "labels.csv")["images"] == 7


def test_bad_photos_are_left_out_and_named(here: Here, model: str, others: Path) -> None:
    (others / "disc" / "torn.jpg").write_bytes(b"")
    document = evaluated(here, model, others)
    assert document["bad"] == [{"file": "disc/torn.jpg", "reason": "empty file"}]
    assert document["images"] == 15


def test_classes_the_model_never_learned_are_refused(here: Here, model: str, others: Path) -> None:
    (others / "disc").rename(others / "\x1b[31mdiscs")
    ended = here("evaluate", model, others)
    assert (ended.code, ended.out) == (2, "")
    assert r"never heard of '\x1b[31mdiscs'" in ended.err
    assert "Its classes are 'checker', 'disc', 'stripes'" in ended.err
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_a_folder_without_photos_is_refused(here: Here, model: str, tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    ended = here("evaluate", model, place, "--json")
    assert (ended.code, ended.out) == (2, "")
    assert place in ended.err
    assert "Traceback" not in ended.err


def test_a_folder_of_bad_photos_alone_is_refused(here: Here, model: str, others: Path) -> None:
    for path in others.glob("*/*.jpg"):
        path.write_bytes(b"")
    ended = here("evaluate", model, others)
    assert (ended.code, ended.out) == (2, "")
    assert "None of the photos in" in ended.err
