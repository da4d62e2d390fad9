"""Scores: what a network gets right, how sure that is, and what it takes for what."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from tests.photos import write_folder
from tests.training.ready import photos_in
from vizsla.training.check import CheckedPhoto
from vizsla.training.learner import Learner
from vizsla.training.scores import Scores, evaluate, report, wilson
from vizsla.vision.preprocess import preprocess

if TYPE_CHECKING:
    from vizsla.training.data import Photos

CLASSES = ("cat", "dog", "eel")


# ---- the interval


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_one_in_the_literature(correct: int, total: int, low: float, high: float) -> None:
    assert wilson(correct, total) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(("correct", "total"), [(0, 1), (1, 1), (3, 7), (90, 100), (578, 656), (9_999, 10_000)])
def test_the_interval_is_the_one_of_scipy(correct: int, total: int) -> None:
    interval = importlib.import_module("scipy.stats").binomtest(correct, total).proportion_ci(0.95, "wilson")
    assert wilson(correct, total) == pytest.approx((interval.low, interval.high), abs=1e-6)


# ---- the report


def scores(shown: list[int], answered: list[int], confidence: float = 0.8) -> Scores:
    """Scores of photos that show `shown` and were taken for `answered`, each with `confidence`."""
    rest = (1 - confidence) / (len(CLASSES) - 1)
    probabilities_NC = torch.full((len(shown), len(CLASSES)), rest)
    for row, index in enumerate(answered):
        probabilities_NC[row, index] = confidence
    photos = tuple(_photo(number, CLASSES[index]) for number, index in enumerate(shown))
    return Scores(photos, torch.tensor(shown), probabilities_NC, loss=0.5)


def _photo(number: int, label: str) -> CheckedPhoto:
    file = f"{label}/{number}.jpg"
    return CheckedPhoto(Path(file), file, label, None, f"{number:064x}", 1000)


def test_rows_of_the_confusion_are_what_is_shown_and_columns_what_is_answered() -> None:
    document = report(scores(shown=[0, 0, 0, 1, 1], answered=[0, 1, 1, 1, 2]), CLASSES, "test")
    assert document["confusion"] == [[1, 2, 0], [0, 1, 1], [0, 0, 0]]


def test_each_class_has_its_accuracy_and_its_precision() -> None:
    document = report(scores(shown=[0, 0, 0, 1, 1], answered=[0, 1, 1, 1, 2]), CLASSES, "test")
    assert document["per_class"] == [
        {"label": "cat", "images": 3, "accuracy": pytest.approx(1 / 3), "precision": 1.0},
        {"label": "dog", "images": 2, "accuracy": 0.5, "precision": pytest.approx(1 / 3)},
        {"label": "eel", "images": 0, "accuracy": None, "precision": 0.0},
    ]


def test_a_class_that_is_never_answered_has_no_precision() -> None:
    rows = report(scores(shown=[0, 1], answered=[0, 0]), CLASSES, "test")["per_class"]
    assert [row["precision"] for row in rows] == [0.5, None, None]


def test_the_whole_is_summed_up_with_its_interval() -> None:
    document = report(scores(shown=[0, 0, 1, 2], answered=[0, 1, 1, 2]), CLASSES, "valid")
    assert (document["split"], document["images"], document["classes"]) == ("valid", 4, ["cat", "dog", "eel"])
    assert (document["accuracy"], document["loss"]) == (0.75, 0.5)
    assert document["accuracy_95"] == list(wilson(3, 4))


def test_every_photo_is_listed_with_the_answer_and_its_confidence_in_percent() -> None:
    rows = report(scores(shown=[0, 2], answered=[1, 2], confidence=0.8), CLASSES, "test")["predictions"]
    assert rows == [
        {"file": "cat/0.jpg", "label": "cat", "predicted": "dog", "confidence": pytest.approx(80, abs=1e-4)},
        {"file": "eel/1.jpg", "label": "eel", "predicted": "eel", "confidence": pytest.approx(80, abs=1e-4)},
    ]


# ---- asking a network


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    """Eleven pictures of two classes, 16 pixels square."""
    folder = tmp_path_factory.mktemp("pictures")
    write_folder(folder, {"disc": 6, "gradient": 5})
    return photos_in(folder)


@pytest.fixture
def learner() -> Learner:
    """A linear network with a dropout that would change every answer if it were not off."""
    torch.manual_seed(3)
    return Learner.of(nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(3 * 16 * 16, 2)))


def test_the_loss_is_the_mean_cross_entropy_of_all_photos(learner: Learner, photos: Photos) -> None:
    weight_CF, bias_C = (parameter.detach().double().numpy() for parameter in learner.whole.parameters())
    losses = []
    for photo in photos.photos:
        pixels_F = preprocess(photo.path.read_bytes(), photos.spec).astype(np.float64).reshape(-1)
        logits_C = weight_CF @ pixels_F + bias_C
        losses.append(math.log(np.exp(logits_C).sum()) - logits_C[photos.classes.index(photo.label)])
    assert evaluate(learner, photos, 4).loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_size_of_batches_changes_no_score(learner: Learner, photos: Photos) -> None:
    small, large = evaluate(learner, photos, 2), evaluate(learner, photos, 128)
    assert small.photos == large.photos
    assert small.loss == pytest.approx(large.loss, rel=1e-5)
    assert torch.allclose(small.probabilities_NC, large.probabilities_NC, atol=1e-6)


def test_probabilities_and_labels_are_in_the_order_of_the_photos(learner: Learner, photos: Photos) -> None:
    found = evaluate(learner, photos, 4)
    assert [photos.classes[label] for label in found.labels_N.tolist()] == [photo.label for photo in found.photos]
    assert torch.allclose(found.probabilities_NC.sum(dim=1), torch.ones(len(photos)), atol=1e-6)
    right = sum(a == b for a, b in zip(found.predicted_N.tolist(), found.labels_N.tolist(), strict=True))
    assert (found.correct, found.accuracy) == (right, right / 11)


def test_progress_is_told_after_every_batch(learner: Learner, photos: Photos) -> None:
    said: list[tuple[int, int]] = []
    evaluate(learner, photos, 5, lambda done, total: said.append((done, total)))
    assert said == [(5, 11), (11, 11)]
