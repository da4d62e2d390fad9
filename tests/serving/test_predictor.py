"""A bundle that is asked answers as it did when it was trained, and one that was tampered with is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.photos import every_bad
from vizsla import bundle
from vizsla.errors import VizslaError
from vizsla.serving.predictor import Predictor, in_batches
from vizsla.vision.preprocess import BadImage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Trained


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return Predictor(trained.folder / "model")


@pytest.fixture(scope="module")
def arrays(trained: Trained, predictor: Predictor) -> list[np.ndarray]:
    """All good photos of the training folder, decoded."""
    return [predictor.decode(path.read_bytes()) for path in sorted(trained.photos.glob("*/*-*.jpg"))]


# ---- answers


def test_a_photo_gets_the_answer_it_got_when_the_training_was_evaluated(trained: Trained, predictor: Predictor) -> None:
    evaluation = json.loads((trained.folder / "output" / "data" / "evaluation.json").read_text())
    assert len(evaluation["predictions"]) == trained.document["images"]["test"] > 0
    for row in evaluation["predictions"]:
        array = predictor.decode((trained.photos / row["file"]).read_bytes())
        answer = predictor.encode(predictor.predict(array[None])[0], top=1)
        assert answer["label"] == row["predicted"]
        assert answer["confidence"] == pytest.approx(row["confidence"], abs=0.01)


def test_the_number_of_photos_asked_at_once_changes_no_answer(predictor: Predictor, arrays: list[np.ndarray]) -> None:
    together = in_batches(predictor, arrays)  # 60 photos: two batches
    assert len(together) == len(arrays)
    for array, found in list(zip(arrays, together, strict=True))[::7]:
        assert np.allclose(predictor.predict(array[None])[0], found, atol=1e-5)


def test_probabilities_are_one_row_a_photo_and_sum_to_one(predictor: Predictor, arrays: list[np.ndarray]) -> None:
    found = predictor.predict(np.stack(arrays[:5]))
    assert found.shape == (5, 3)
    assert found.dtype == np.float32
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


def test_the_answer_names_the_likeliest_class_and_its_place_in_the_list(predictor: Predictor) -> None:
    answer = predictor.encode(np.array([0.2, 0.125, 0.675], np.float32), top=3)
    assert answer == {
        "predicted_class": 2,
        "label": "stripes",
        "confidence": 67.5,
        "top": [
            {"label": "stripes", "confidence": 67.5},
            {"label": "checker", "confidence": 20.0},
            {"label": "disc", "confidence": 12.5},
        ],
    }


@pytest.mark.parametrize(("top", "named"), [(1, 1), (2, 2), (3, 3), (50, 3)])
def test_as_many_classes_are_named_as_asked_for_and_never_more_than_there_are(
    predictor: Predictor, top: int, named: int
) -> None:
    assert len(predictor.encode(np.array([0.2, 0.1, 0.7], np.float32), top)["top"]) == named


def test_of_equally_likely_classes_the_first_is_answered(predictor: Predictor) -> None:
    answer = predictor.encode(np.array([0.4, 0.2, 0.4], np.float32), top=2)
    assert answer["predicted_class"] == 0
    assert [each["label"] for each in answer["top"]] == ["checker", "stripes"]


def test_what_is_no_photo_cannot_be_decoded(predictor: Predictor) -> None:
    with pytest.raises(BadImage):
        predictor.decode(every_bad()["truncated_png"])


# ---- bundles that cannot be trusted


@pytest.fixture
def copy(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may spoil."""
    return shutil.copytree(trained.folder / "model", tmp_path / "model")


def test_tampered_weights_are_refused(copy: Path) -> None:
    (weights,) = copy.glob("*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(VizslaError, match="not those that the manifest was written for"):
        Predictor(copy)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the manifest by hand."""
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    change(manifest)
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda m: m["preprocessing"].update(size=64), "does not match its hash", id="another size"),
        pytest.param(lambda m: m["preprocessing"].update(version=99), "cannot be repeated here", id="a newer way"),
        pytest.param(lambda m: m["preprocessing"].pop("mean"), "cannot be repeated here", id="no mean"),
        pytest.param(lambda m: m["architecture"].update(model="no_such_net"), "no network called", id="no such model"),
        pytest.param(lambda m: m["architecture"].update(model="test_vit"), "do not fit", id="another model"),
        pytest.param(lambda m: m["classes"].reverse(), "classes_sha256", id="classes in another order"),
    ],
)
def test_a_manifest_that_was_changed_is_refused_with_a_sentence(
    copy: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(copy, change)
    with pytest.raises(VizslaError, match=message) as raised:
        Predictor(copy)
    assert raised.value.hint


def test_weights_of_another_shape_are_refused_with_a_sentence(copy: Path) -> None:
    manifest = bundle.read(copy)
    tensors = bundle.tensors(copy, manifest)
    tensors["fc.weight"] = tensors["fc.weight"][:, :-1]
    bundle.write(copy, manifest, tensors)
    with pytest.raises(VizslaError, match="do not fit its network"):
        Predictor(copy)


# ---- what a server needs


def test_a_server_can_import_it_without_torch() -> None:
    asked = "import sys, vizsla.serving.predictor; print([name for name in ('torch', 'timm') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
