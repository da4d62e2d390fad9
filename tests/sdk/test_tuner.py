"""Tuners over scripts in real processes: what they find, what they hand on, what they refuse."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.conftest import METRICS
from vizsla import (
    CategoricalParameter,
    ContinuousParameter,
    Estimator,
    HyperparameterTuner,
    IntegerParameter,
    JobError,
    UserError,
    WarmStartConfig,
    WarmStartTypes,
    attach,
)

LR = {"lr": ContinuousParameter(0.001, 0.01)}
GRID = {"batch-size": CategoricalParameter([32, 64])}


def tuner(ranges: Any = None, **changes: Any) -> HyperparameterTuner:
    """A tuner over the script of conftest.py."""
    estimator = Estimator("train.py", "code", {"lr": 0.005, "batch-size": 64}, metric_definitions=METRICS)
    return HyperparameterTuner(estimator, "loss", ranges or LR, **{"objective_type": "Minimize", **changes})


def test_a_grid_finds_the_best_and_says_what_it_tried(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched = tuner(GRID, strategy="Grid", max_parallel_jobs=2)
    searched.fit({"training": "photos"}, job_name="grid")
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == ["grid-001", "grid-002"]
    assert searched.best_training_job() == "grid-002"
    rows = searched.analytics().rows()
    assert [(row["batch-size"], row["FinalObjectiveValue"]) for row in rows] == [("32", 0.5), ("64", 0.0)]
    assert [row["TrainingJobStatus"] for row in rows] == ["Completed", "Completed"]
    assert all(row["TrainingStartTime"] <= row["TrainingEndTime"] for row in rows)
    assert searched.describe()["objective"] == {"name": "loss", "type": "Minimize"}
    page = searched._repr_html_()
    assert "grid-002" in page
    assert "batch-size=64" in page


def test_more_is_better_by_default_and_one_job_is_enough_as_at_aws(place: Path) -> None:
    estimator = Estimator("train.py", "code")
    searched = HyperparameterTuner(estimator, "loss", LR, METRICS)
    searched.fit("photos", logs=False)
    assert searched.describe()["objective"]["type"] == "Maximize"
    assert len(searched.analytics().rows()) == 1
    assert estimator.metric_definitions == {}, "the estimator that was handed over stays as it was"


def test_numbers_are_numbers_in_the_data_frame(place: Path) -> None:
    searched = tuner({**LR, "epochs": IntegerParameter(1, 2)}, max_jobs=2, random_seed=3)
    searched.fit("photos", logs=False)
    frame = searched.analytics().dataframe()
    assert len(frame) == 2
    assert frame["lr"].between(0.001, 0.01).all()
    assert set(frame["epochs"]) <= {1, 2}


def test_the_seed_decides_what_is_tried(place: Path) -> None:
    tried = []
    for seed in (3, 3, 4):
        searched = tuner(strategy="Random", random_seed=seed)
        searched.fit("photos", logs=False)
        tried.append(searched.analytics().rows()[0]["lr"])
    assert tried[0] == tried[1] != tried[2]


def test_without_pandas_the_extra_is_named_and_rows_are_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = tuner()
    searched.fit("photos", logs=False)
    found = importlib.util.find_spec
    monkeypatch.setattr("vizsla.sdk.analytics.find_spec", lambda name: None if name == "pandas" else found(name))
    with pytest.raises(UserError, match=r"vizsla\[pandas\]"):
        searched.analytics().dataframe()
    assert len(searched.analytics().rows()) == 1


def test_the_best_estimator_is_the_winner_and_trains_with_its_hyperparameters(place: Path) -> None:
    tuner(GRID, strategy="Grid").fit("photos", logs=False, job_name="grid")
    attached = attach("grid")
    assert isinstance(attached, HyperparameterTuner)
    best = attached.best_estimator()
    assert best.model_data.endswith("training/grid-002/model")
    best.fit("photos", logs=False, job_name="final")
    assert best.latest_training_job is not None
    assert best.latest_training_job.describe()["hyperparameters"] == {"lr": "0.005", "batch-size": "64"}


def test_an_attached_tuner_searches_the_same_again(place: Path) -> None:
    tuner(GRID, strategy="Grid").fit("photos", logs=False, job_name="first")
    again = HyperparameterTuner.attach("first")
    again.fit("photos", logs=False, job_name="second")
    first = HyperparameterTuner.attach("first").analytics().rows()
    assert [row["FinalObjectiveValue"] for row in again.analytics().rows()] == [
        row["FinalObjectiveValue"] for row in first
    ]


def test_a_search_can_start_from_an_earlier_one(place: Path) -> None:
    tuner().fit("photos", logs=False, job_name="parent")
    config = WarmStartConfig(WarmStartTypes.TRANSFER_LEARNING, parents={"parent"})
    tuner(warm_start_config=config).fit("photos", logs=False, job_name="child")
    asked = HyperparameterTuner.attach("child").warm_start_config
    assert asked is not None
    assert (asked.type, asked.parents) == (WarmStartTypes.TRANSFER_LEARNING, {"parent"})


def test_a_search_that_is_not_waited_for_can_be_stopped(place: Path) -> None:
    (place / "code" / "train.py").write_text("import time\ntime.sleep(600)\n")
    searched = tuner(max_jobs=3, base_tuning_job_name="slow")
    searched.fit("photos", wait=False)
    searched.stop_tuning_job()
    assert searched.describe()["status"] == "Stopped"
    assert searched.describe()["name"].startswith("slow-2")
    with pytest.raises(UserError, match="no trial with a value"):
        searched.best_training_job()


def test_a_search_in_which_nothing_works_is_a_job_error(place: Path) -> None:
    (place / "code" / "train.py").write_text("raise ValueError('no such breed')\n")
    with pytest.raises(JobError):
        tuner().fit("photos", logs=False)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tuner(strategy="bayes"), "strategy cannot be 'bayes'.\nIt is Bayesian or Random or Grid or Hyperband"),
        (lambda: tuner(objective_type="Min"), "It is Maximize or Minimize"),
        (lambda: tuner(early_stopping_type="On"), "It is Off or Auto"),
        (lambda: tuner(max_job=3), "Did you mean max_jobs?"),
        (lambda: tuner({"lr": (0.1, 0.2)}), "Give a ContinuousParameter"),
        (lambda: tuner(warm_start_config=WarmStartConfig(parents="nobody")).fit("photos"), "no job called nobody"),
        (lambda: tuner(strategy="Hyperband", early_stopping_type="Auto").fit("photos"), "exclude each other"),
        (lambda: HyperparameterTuner(Estimator(), "loss", LR, METRICS), "go with a script"),
        (lambda: HyperparameterTuner(Estimator(), "loss", LR).fit("photos"), "no metric called 'loss'"),
        (lambda: tuner().wait(), "Nothing has been searched yet"),
        (lambda: HyperparameterTuner.attach("nobody"), "There is no job called nobody"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(place: Path, make: Callable[[], object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert said in str(caught.value)
    assert not list(place.glob("vizsla-runs/tuning/*"))
