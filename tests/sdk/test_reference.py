"""The flow of the issue as it is written there, on real photos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

BREEDS = 10


@pytest.mark.dogs
def test_the_reference_search_as_people_type_it(place: Path, dogs: Path) -> None:
    largest = sorted(dogs.iterdir(), key=lambda breed: len(list(breed.iterdir())), reverse=True)
    for breed in largest[:BREEDS]:
        shutil.copytree(breed, place / "dogs" / breed.name)

    from vizsla import (
        CategoricalParameter,
        ContinuousParameter,
        Estimator,
        HyperparameterTuner,
        IntegerParameter,
    )

    estimator = Estimator(model="efficientnet_lite0", hyperparameters={"train_from": "head"})
    tuner = HyperparameterTuner(
        estimator,
        objective_metric_name="average test loss",
        objective_type="Minimize",
        hyperparameter_ranges={
            "lr": ContinuousParameter(0.001, 0.01),
            "batch-size": CategoricalParameter([64, 128]),
            "epochs": IntegerParameter(2, 3),
        },
        max_jobs=4,
        max_parallel_jobs=2,
        early_stopping_type="Auto",
    )
    tuner.fit({"training": "dogs/"})
    frame = tuner.analytics().dataframe()
    assert len(frame) == 4
    winner = frame.loc[frame["FinalObjectiveValue"].idxmin()]
    assert tuner.best_training_job() == winner["TrainingJobName"]
    trial = json.loads((place / "vizsla-runs/training" / winner["TrainingJobName"] / "plan.json").read_text())

    best = tuner.best_estimator()
    best.fit({"training": "dogs/"})
    assert best.latest_training_job is not None
    said = best.latest_training_job.describe()
    assert said["status"] == "Completed"
    assert said["metrics"]["test_accuracy"] > 1.5 / BREEDS, "the held-out photos were asked, and it is no guess"
    final = json.loads((Path(said["folder"]) / "plan.json").read_text())
    assert final == {**trial, "method": "auto", "evaluate": {"test": True}}, "the final training may keep its probe"
