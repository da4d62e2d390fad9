"""ClassImbalance, Confusion, CheckInputImages: what goes in and what comes out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.rules.making import judge, labelled, tensor
from vizsla.analysis.rules import Context
from vizsla.records import Record

RARE = [0] * 990 + [1] * 10


def test_the_golden_990_and_10_are_out_of_balance() -> None:
    found = judge("class_imbalance", labelled(RARE))
    assert (found.status, found.findings[0].measured["ratio"]) == ("IssuesFound", 99)
    assert "990 are class 0 and 10 class 1" in found.findings[0].message


def test_ten_to_one_is_allowed() -> None:
    assert judge("class_imbalance", labelled([0] * 500 + [1] * 50)).status == "NoIssuesFound"
    assert judge("class_imbalance:threshold_imbalance=9", labelled([0] * 500 + [1] * 50)).status == "IssuesFound"


def test_labels_are_gathered_over_steps_of_one_mode() -> None:
    batches = [record for step in range(10) for record in labelled(RARE[step::10], step=step, mode="train")]
    assert judge("class_imbalance", batches).triggered == 2  # at 500 and at 1000
    few = judge("class_imbalance", [*batches[:4], *labelled([0] * 200)])
    assert (few.status, "400 labels" in few.reason) == ("NotApplicable", True)


def test_a_class_that_is_never_recognised() -> None:
    labels = [0] * 300 + [1] * 300
    found = judge("class_imbalance", labelled(labels, [0] * 300 + [1] * 80 + [0] * 220))
    assert found.triggered == 1
    assert found.findings[0].measured["misprediction"] == pytest.approx(220 / 300)
    assert judge("class_imbalance", labelled(labels, [0] * 300 + [1] * 90 + [0] * 210)).status == "NoIssuesFound"


def test_names_are_the_users() -> None:
    mine = [tensor("batch_truth", 0, "custom", indices=RARE)]
    assert judge("class_imbalance", mine).status == "NotApplicable"
    assert judge("class_imbalance:labels_regex=truth", mine).status == "IssuesFound"


def raw(name: str, values: np.ndarray) -> tuple[Record, Context]:
    return tensor(name, 0, name, file="tensors/0.safetensors", size=values.size), Context(load=lambda record: values)


def test_raw_probabilities_need_argmax() -> None:
    truth, scores = np.zeros(500), np.tile([0.1, 0.9], (500, 1))
    records = [raw("labels", truth)[0], raw("predictions", scores)[0]]
    context = Context(load=lambda record: truth if record.name == "labels" else scores)
    assert judge("class_imbalance:argmax=True", records, context).triggered == 1
    wrong = judge("class_imbalance", records, context)
    assert (wrong.status, "argmax=True" in wrong.reason) == ("Error", True)


def test_labels_without_values_are_no_labels() -> None:
    found = judge("class_imbalance", [tensor("labels", 0, "labels", size=64, mean=0.4)])
    assert (found.status, "raw" in found.reason) == ("NotApplicable", True)


# ---- confusion


TEN = [label for label in range(10) for _ in range(5)]


def test_the_golden_identity_does_not_fire() -> None:
    assert judge("confusion", labelled(TEN, TEN)).status == "NoIssuesFound"


@pytest.mark.parametrize("rule", ["confusion", "confusion:min_diag=0,max_off_diag=0.01"])
def test_the_golden_4_taken_for_7_fires(rule: str) -> None:
    found = judge(rule, labelled(TEN, [7 if label == 4 else label for label in TEN]))
    assert (found.status, found.triggered) == ("IssuesFound", 1)
    assert "class 7" in found.findings[0].message


NAMES = Context(classes=["cat", "dog", "fox"])


def test_classes_are_called_by_their_names() -> None:
    (unbalanced,) = judge("class_imbalance", labelled(RARE), NAMES).findings
    assert "990 are cat and 10 dog:" in unbalanced.message
    (confused,) = judge("confusion", labelled([0, 1, 1, 2], [0, 0, 1, 2]), NAMES).findings
    assert "only 50 % of the photos taken for cat are it, less than the 90 % asked for;" in confused.message
    assert "50 % of the photos taken for cat are dog, more than the 10 % allowed." in confused.message
    assert "taken for class 7" in judge("confusion", labelled([0], [7]), NAMES).findings[0].message


def test_how_many_others_is_counted_as_people_do() -> None:
    (missed,) = judge("class_imbalance:samples=4", labelled([0, 0, 1, 1, 2, 2], [2, 2, 0, 0, 2, 2]), NAMES).findings
    assert missed.message.endswith("; so it is with 1 other class.")
    (two,) = judge("confusion", labelled([0, 1, 2], [1, 2, 0]), NAMES).findings
    assert "(and so it is with 2 more classes)" in two.message
    assert "(and so it is with 2 more pairs of classes)" in two.message


def test_each_validation_is_judged_by_itself() -> None:
    first = [*labelled(TEN, TEN[::-1], 0), *labelled(TEN, TEN[::-1], 0, "train")]
    found = judge("confusion", [*first, *labelled(TEN, TEN, 1)])
    assert (found.triggered, found.datapoints, found.findings[0].step) == (1, 2, 0)


def test_chunks_of_a_validation_belong_together() -> None:
    chunks = [*labelled(TEN[:30], TEN[:30]), *labelled(TEN[30:], TEN[30:])]
    separate = [chunks[0], chunks[2], chunks[1], chunks[3]]
    for order in (chunks, separate):
        found = judge("confusion", order)
        assert (found.status, found.datapoints) == ("NoIssuesFound", 1)


def test_training_is_judged_where_there_is_nothing_else() -> None:
    assert judge("confusion", labelled(TEN, TEN[::-1], mode="train")).triggered == 1


def test_more_classes_than_said_are_an_error() -> None:
    found = judge("confusion:category_no=9", labelled(TEN, TEN))
    assert (found.status, "category_no=9" in found.reason) == ("Error", True)
    assert judge("confusion:category_no=10", labelled(TEN, TEN)).status == "NoIssuesFound"


def test_labels_alone_are_not_enough() -> None:
    assert judge("confusion", labelled(TEN)).status == "NotApplicable"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_confusion_is_the_share_of_each_column(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = zip(*pairs, strict=True)
    columns = Counter(predictions)
    shares = {(label, answer): count / columns[answer] for (label, answer), count in Counter(pairs).items()}
    low = any(shares.get((answer, answer), 0) < 0.9 for answer in columns)
    high = any(share > 0.1 for (label, answer), share in shares.items() if label != answer)
    found = judge("confusion", labelled(labels, predictions))
    assert found.status == ("IssuesFound" if low or high else "NoIssuesFound")


# ---- input images


def photos(means: list[float], samples: int, step: int = 0, name: str = "EfficientNet_input_0") -> Record:
    return tensor(name, step, "inputs", channel_mean=means, channel_variance=[1.0] * len(means), samples=samples)


def test_photos_that_were_not_normalised() -> None:
    found = judge("check_input_images", [photos([0.0, 0.45, -0.1], 500)])
    assert found.status == "IssuesFound"
    assert found.findings[0].measured["mean"] == pytest.approx(0.45)
    assert "channel 1" in found.findings[0].message


def test_the_mean_is_over_all_photos_so_far() -> None:
    assert judge("check_input_images", [photos([0.3], 250), photos([0.0], 250, 1)]).status == "NoIssuesFound"
    assert judge("check_input_images", [photos([-0.3], 400), photos([0.0], 100, 1)]).status == "IssuesFound"


def test_too_few_photos_are_not_judged() -> None:
    found = judge("check_input_images", [photos([3.0], 499)])
    assert (found.status, "499" in found.reason) == ("NotApplicable", True)
    assert judge("check_input_images:threshold_samples=499", [photos([3.0], 499)]).status == "IssuesFound"


def test_an_input_may_be_named() -> None:
    rule = "check_input_images:regex=.*Mine_input_0"
    assert judge(rule, [photos([3.0], 500)]).status == "NotApplicable"
    assert judge(rule, [photos([3.0], 500, name="Mine_input_0")]).status == "IssuesFound"


def test_another_axis_needs_the_raw_tensor() -> None:
    found = judge("check_input_images:channel=3", [photos([3.0], 500)])
    assert (found.status, "raw" in found.reason) == ("NotApplicable", True)
    last, values = photos([0.0], 500), np.tile([0.0, 0.0, 0.5], (500, 2, 2, 1))
    last = Record(**{field: getattr(last, field) for field in Record.__slots__} | {"file": "tensors/0.safetensors"})
    found = judge("check_input_images:channel=3", [last], Context(load=lambda record: values))
    assert "channel 2" in found.findings[0].message
