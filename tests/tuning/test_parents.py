"""Warm start: from which earlier sweeps a new one may learn, and what it takes from them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vizsla.errors import UserError
from vizsla.tuning.parents import Basis, Kind, best_of_all, check_parents, learned
from vizsla.tuning.search import Tried, WarmTrial

KINDS: tuple[Kind, Kind] = ("IdenticalDataAndAlgorithm", "TransferLearning")
CHILD = Basis(
    name="dogs-2",
    objective="average test loss",
    direction="minimize",
    hyperparameters=frozenset({"lr", "epochs", "model"}),
    data="sha256 of dogs",
    algorithm="classifier",
)
PARENT = replace(CHILD, name="dogs-1")


@pytest.mark.parametrize("kind", KINDS)
def test_sweeps_of_the_same_question_may_be_parents(kind: Kind) -> None:
    check_parents(kind, [PARENT], CHILD)
    check_parents(kind, [replace(PARENT, name=f"dogs-{n}") for n in range(3, 8)], CHILD)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("parents", "says"),
    [
        ([], "from 0 sweeps"),
        ([replace(PARENT, name=f"dogs-{n}") for n in range(3, 9)], "from 6 sweeps"),
        ([PARENT, PARENT], "once"),
        ([CHILD], "never the new one"),
        ([replace(PARENT, objective="accuracy")], "minimize accuracy"),
        ([replace(PARENT, direction="maximize")], "maximize average test loss"),
        (
            [PARENT, replace(PARENT, name="old", hyperparameters=frozenset({"lr", "epochs", "momentum"}))],
            "old.*model, momentum",
        ),
    ],
)
def test_other_parents_are_refused(kind: Kind, parents: list[Basis], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        check_parents(kind, parents, CHILD)
    assert caught.value.hint


@pytest.mark.parametrize("changed", [{"data": "sha256 of cats"}, {"algorithm": "train.py, changed"}])
def test_another_question_is_for_transfer_learning_only(changed: dict[str, str]) -> None:
    other = replace(PARENT, **changed)  # type: ignore[arg-type]
    check_parents("TransferLearning", [other], CHILD)
    with pytest.raises(UserError, match=f"dogs-1 does not have the {next(iter(changed))}") as caught:
        check_parents("IdenticalDataAndAlgorithm", [other], CHILD)
    assert "TransferLearning" in caught.value.hint


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match="no warm start called Identical"):
        check_parents("Identical", [PARENT], CHILD)  # type: ignore[arg-type]


def test_what_has_an_objective_is_learned() -> None:
    trials = [
        Tried(4, {"lr": "0.4"}, 0.4, "Stopped"),
        Tried(1, {"lr": "0.1"}, 0.1, "Completed"),
        Tried(2, {"lr": "0.2"}, None, "Failed"),
        Tried(3, {"lr": "0.3"}, math.nan, "Completed"),
        Tried(5, {"lr": "0.5"}, 0.5, "InProgress"),
    ]
    other = [Tried(1, {"lr": "0.9"}, 9.0, "Completed")]
    same = learned("IdenticalDataAndAlgorithm", {"b": other, "a": trials})
    assert same == [WarmTrial({"lr": "0.1"}, 0.1), WarmTrial({"lr": "0.4"}, 0.4), WarmTrial({"lr": "0.9"}, 9.0)]
    transferred = learned("TransferLearning", {"b": other, "a": trials})
    assert [trial.sweep for trial in transferred] == ["a", "a", "b"]


def test_a_parents_best_is_the_sweeps_best_on_the_same_data_only() -> None:
    own = [Tried(1, {}, 0.5, "Completed"), Tried(2, {}, 0.7, "Completed")]
    parents = {"old": [Tried(1, {}, 0.6, "Completed"), Tried(2, {}, 0.2, "Completed")]}
    assert best_of_all("IdenticalDataAndAlgorithm", parents, own, "minimize") == ("old", parents["old"][1])
    assert best_of_all("TransferLearning", parents, own, "minimize") == (None, own[0])
    assert best_of_all("IdenticalDataAndAlgorithm", parents, own, "maximize") == (None, own[1])


def test_of_equals_the_sweeps_own_trial_is_the_best() -> None:
    own, parents = [Tried(3, {}, 0.2, "Completed")], {"old": [Tried(1, {}, 0.2, "Completed")]}
    assert best_of_all("IdenticalDataAndAlgorithm", parents, own, "minimize") == (None, own[0])


def test_without_an_objective_there_is_no_best_but_a_parents() -> None:
    failed = [Tried(1, {}, None, "Failed")]
    good = {"old": [Tried(1, {}, 0.2, "Completed")]}
    assert best_of_all("TransferLearning", good, failed, "minimize") is None
    assert best_of_all("IdenticalDataAndAlgorithm", good, failed, "minimize") == ("old", good["old"][0])
