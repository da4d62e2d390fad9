"""The probe: a linear classifier that says the same of features as they come as of standardised ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from vizsla.errors import UserError, VizslaError
from vizsla.plan import ProbePlan
from vizsla.training import probe
from vizsla.training.probe import PATH, Floats, Labels, Probe, Rows

AUTO = ProbePlan()


def clusters(photos: int, classes: int, width: int = 12, apart: float = 1.0, seed: int = 0) -> Rows:
    """Photos of each class around a place of its own; the places are the same for every seed."""
    places = np.random.default_rng(99).normal(size=(classes, width)) * apart
    draw = np.random.default_rng(seed)
    labels = np.arange(photos) % classes
    features: Floats = (places[labels] + draw.normal(size=(photos, width))).astype(np.float32)
    return features, labels


def accuracy(found: Probe, rows: Rows) -> float:
    return float((found.logits(rows[0]).argmax(axis=1) == rows[1]).mean())


def softmax(logits_NC: Floats) -> Floats:
    shares_NC: Floats = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    shares_NC /= shares_NC.sum(axis=1, keepdims=True)
    return shares_NC


def test_it_learns_what_can_be_learned() -> None:
    found = probe.fit(clusters(300, 4), clusters(100, 4, seed=1), 4, AUTO)
    assert found.weight_CD.shape == (4, 12)
    assert found.bias_C.shape == (4,)
    assert accuracy(found, clusters(400, 4, seed=2)) > 0.9


def test_its_figures_are_those_of_its_weights_on_the_features_as_they_came() -> None:
    train, valid = clusters(200, 3), clusters(60, 3, seed=1)
    found = probe.fit(train, valid, 3, AUTO)
    for (features, labels), loss in ((train, found.train_loss), (valid, found.valid_loss)):
        of_label = softmax(found.logits(features))[np.arange(len(labels)), labels]
        assert loss == pytest.approx(-np.log(of_label).mean(), rel=1e-4)
    assert found.valid_accuracy == accuracy(found, valid)


def test_its_strength_is_the_one_with_the_lowest_valid_loss() -> None:
    found = probe.fit(clusters(60, 3, apart=0.5), clusters(60, 3, apart=0.5, seed=1), 3, AUTO)
    assert found.l2 == min(found.tried, key=lambda each: each.valid_loss).l2
    assert [each.l2 for each in found.tried] == list(PATH[: len(found.tried)])
    assert PATH[0] > found.l2 > PATH[-1]


def test_near_a_known_strength_only_that_and_up_to_ten_times_it_is_tried() -> None:
    rows = clusters(60, 3), clusters(60, 3, seed=1)
    tried = probe.fit(*rows, 3, AUTO, "all", near=0.1).tried
    assert [each.l2 for each in tried] == pytest.approx([1, 0.316, 0.1], rel=0.01)
    assert [each.l2 for each in probe.fit(*rows, 3, AUTO, "all", near=77.0).tried] == [77]
    assert [each.l2 for each in probe.fit(*rows, 3, ProbePlan(l2=3), "all", near=0.1).tried] == [3]


def test_labels_that_are_chance_are_answered_with_how_frequent_they_are() -> None:
    draw = np.random.default_rng(3)
    chance = [(draw.normal(size=(n, 20)).astype(np.float32), (draw.random(n) < 0.3).astype(int)) for n in (60, 4000)]
    found = probe.fit(chance[0], chance[1], 2, AUTO)
    assert found.l2 >= 1
    assert softmax(found.logits(chance[1][0]))[:, 1].mean() == pytest.approx(chance[0][1].mean(), abs=0.05)


@pytest.mark.parametrize("l2", [0.003, 0.1, 2.0])
def test_a_given_strength_is_the_only_one(l2: float) -> None:
    found = probe.fit(clusters(100, 3), clusters(30, 3, seed=1), 3, ProbePlan(l2=l2))
    assert [each.l2 for each in found.tried] == [l2]
    assert found.l2 == l2


@pytest.mark.parametrize("l2", [0.003, 0.1, 2.0])
def test_it_is_the_regression_that_scikit_learn_fits_on_standardised_features(l2: float) -> None:
    (features, labels), valid = clusters(150, 3, apart=0.5), clusters(80, 3, apart=0.5, seed=1)
    mean, std = features.mean(axis=0), features.std(axis=0)
    theirs = LogisticRegression(C=1 / (l2 * len(features)), tol=1e-8, max_iter=5000).fit(
        (features - mean) / std, labels
    )
    ours = softmax(probe.fit((features, labels), valid, 3, ProbePlan(l2=l2)).logits(valid[0]))
    assert np.abs(ours - theirs.predict_proba((valid[0] - mean) / std)).max() < 0.02


@st.composite
def rows_and_scales(draw: st.DrawFn) -> tuple[Rows, Floats, Floats]:
    """Photos in clusters, and another unit for each feature."""
    width, classes = draw(st.integers(1, 8)), draw(st.integers(2, 4))
    photos = draw(st.integers(classes, 40))
    units = draw(st.lists(st.floats(-3, 3), min_size=width, max_size=width))
    shifts = draw(st.lists(st.floats(-20, 20), min_size=width, max_size=width))
    rows = clusters(photos, classes, width, seed=draw(st.integers(0, 99)))
    return rows, np.power(10, units).astype(np.float32), np.array(shifts, dtype=np.float32)


@settings(deadline=None, max_examples=40)
@given(rows_and_scales())
def test_the_unit_and_the_zero_of_a_feature_change_no_answer(given_rows: tuple[Rows, Floats, Floats]) -> None:
    (features, labels), units, shifts = given_rows
    classes = int(labels.max()) + 1
    other = (features + shifts) * units
    here = probe.fit((features, labels), (features, labels), classes, ProbePlan(l2=0.1))
    there = probe.fit((other, labels), (other, labels), classes, ProbePlan(l2=0.1))
    assert np.abs(softmax(here.logits(features)) - softmax(there.logits(other))).max() < 0.02


@settings(deadline=None, max_examples=8)
@given(rows_and_scales())
def test_the_same_rows_give_the_same_probe_and_are_left_alone(given_rows: tuple[Rows, Floats, Floats]) -> None:
    (features, labels), _, _ = given_rows
    classes, before = int(labels.max()) + 1, features.copy()
    first, again = (probe.fit((features, labels), (features, labels), classes, AUTO) for _ in range(2))
    assert np.array_equal(first.weight_CD, again.weight_CD)
    assert np.array_equal(first.bias_C, again.bias_C)
    assert first.tried == again.tried
    assert np.array_equal(features, before)


def test_what_can_be_told_apart_without_error_still_ends_in_finite_weights() -> None:
    found = probe.fit(clusters(40, 2, apart=30), clusters(20, 2, apart=30, seed=1), 2, AUTO)
    assert np.isfinite(found.weight_CD).all()
    assert found.valid_accuracy == 1
    assert len(found.tried) > 5


@pytest.mark.parametrize("value", [0.0, 0.1, 5.0, 1e6])
def test_a_feature_that_never_varies_counts_for_nothing(value: float) -> None:
    (features, labels), valid = clusters(90, 3), clusters(30, 3, seed=1)
    without = probe.fit((features, labels), valid, 3, AUTO)
    same = [np.insert(rows, 4, np.float32(value), axis=1) for rows in (features, valid[0])]
    found = probe.fit((same[0], labels), (same[1], valid[1]), 3, AUTO)
    assert not found.weight_CD[:, 4].any()
    assert found.logits(same[1]) == pytest.approx(without.logits(valid[0]), abs=0.02)


def test_features_that_say_nothing_at_all_leave_the_shares_of_the_classes() -> None:
    features, labels = np.ones((50, 5), dtype=np.float32), np.array([0] * 40 + [1] * 10)
    found = probe.fit((features, labels), (features, labels), 2, AUTO)
    assert softmax(found.logits(features))[0] == pytest.approx([0.8, 0.2], abs=0.02)


def test_one_photo_of_each_class_is_enough() -> None:
    found = probe.fit(clusters(30, 30, width=64), clusters(30, 30, width=64, seed=1), 30, AUTO)
    assert found.valid_accuracy > 0.5


def test_classes_without_valid_photos_are_learned_all_the_same() -> None:
    train, (features, labels) = clusters(120, 4, apart=2), clusters(60, 4, apart=2, seed=1)
    kept = labels < 2
    found = probe.fit(train, (features[kept], labels[kept]), 4, AUTO)
    assert accuracy(found, clusters(100, 4, apart=2, seed=2)) > 0.9


def test_a_class_without_training_photos_keeps_its_place_and_is_never_the_answer() -> None:
    features, labels = clusters(120, 4, apart=2)
    kept = labels != 3
    found = probe.fit((features[kept], labels[kept]), (features, labels), 4, AUTO)
    assert found.weight_CD.shape == (4, 12)
    assert 3 not in found.logits(features[kept]).argmax(axis=1)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("split", ["training", "valid"])
def test_features_that_are_not_finite_are_refused_with_what_to_try(broken: float, split: str) -> None:
    rows = {"training": clusters(40, 2, width=300), "valid": clusters(20, 2, width=300, seed=1)}
    rows[split][0][7, 280] = rows[split][0][9, 1] = broken
    with pytest.raises(VizslaError, match=f"2 of {len(rows[split][0])} {split} photos") as refused:
        probe.fit(rows["training"], rows["valid"], 2, AUTO)
    assert "run.precision=float32" in str(refused.value.hint)


def test_features_too_large_for_their_squares_are_refused_or_fitted_but_never_nan() -> None:
    train, valid = clusters(40, 2), clusters(20, 2, seed=1)
    try:
        found = probe.fit((train[0] * np.float32(1e37), train[1]), (valid[0] * np.float32(1e37), valid[1]), 2, AUTO)
    except UserError:
        return
    assert np.isfinite(found.valid_loss)
    assert np.isfinite(found.weight_CD).all()


def named(loss: float, stages: probe.Stages) -> Probe:
    nothing: Floats = np.zeros((2, 1), dtype=np.float32)
    return Probe(nothing, nothing[:, 0], 1.0, stages, loss, loss, 0.5, 0.0, ())


@pytest.mark.parametrize(("several", "kept"), [(0.39, "all"), (0.4, "last"), (0.41, "last")])
def test_several_stages_are_kept_only_where_valid_says_so(several: float, kept: str) -> None:
    assert probe.better(named(0.4, "last"), named(several, "all")).stages == kept


def test_the_worker_can_fit_a_probe_without_torch() -> None:
    code = "import sys; from vizsla.training import probe; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_labels_may_be_of_any_integer_type() -> None:
    features, labels = clusters(60, 3)
    small: Labels = labels.astype(np.uint8)
    assert probe.fit((features, small), (features, small), 3, AUTO).valid_accuracy > 0.9
