"""Estimators over scripts in real processes: arguments, waiting, stopping, what is shown."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.sdk.conftest import METRICS
from vizsla import Estimator, JobError, PyTorch, UserError, attach


def script(**changes: object) -> Estimator:
    given: dict[str, object] = {"entry_point": "train.py", "source_dir": "code", "metric_definitions": METRICS}
    return Estimator(**{**given, **changes})  # type: ignore[arg-type]


def test_a_script_runs_with_its_hyperparameters_and_its_lines_are_printed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    estimator = script(hyperparameters={"lr": 0.105, "batch-size": 64, "epochs": 2})
    estimator.fit({"training": "photos"}, job_name="mine")
    assert capsys.readouterr().out.splitlines().count("loss=0.100000;") == 2
    assert estimator.latest_training_job is not None
    said = estimator.latest_training_job.describe()
    assert (said["name"], said["status"], said["metrics"]) == ("mine", "Completed", {"loss": 0.1})
    assert said["hyperparameters"] == {"lr": "0.105", "batch-size": "64", "epochs": "2"}
    assert Path(estimator.model_data, "model.txt").read_text() == "0.105"
    assert (place / "vizsla-runs" / "training" / "mine" / "job.json").exists()


def test_one_folder_is_the_training_channel_and_a_base_name_begins_the_job_name(place: Path) -> None:
    estimator = script(base_job_name="My Base")
    estimator.fit((place / "photos").as_uri(), logs=False)
    assert estimator.latest_training_job is not None
    assert estimator.latest_training_job.name.startswith("my-base-2")


@pytest.mark.parametrize("logs", [False, "None", None])
def test_who_wants_no_lines_gets_none(place: Path, capsys: pytest.CaptureFixture[str], logs: object) -> None:
    script().fit("photos", logs=logs)
    assert capsys.readouterr().out == ""


def test_logs_prints_the_log_of_a_job_that_was_not_waited_for(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimator = script()
    estimator.fit("photos", wait=False, job_name="later")
    attached = attach("later")
    assert isinstance(attached, Estimator)
    assert attached.latest_training_job is not None
    attached.latest_training_job.wait(logs=False)
    assert capsys.readouterr().out == ""
    attached.logs()
    assert "loss=0.970000;" in capsys.readouterr().out


def test_a_job_that_is_not_waited_for_can_be_stopped(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    (place / "code" / "train.py").write_text("import time\ntime.sleep(600)\n")
    estimator = script()
    estimator.fit("photos", wait=False)
    estimator.stop()
    assert estimator.latest_training_job is not None
    assert estimator.latest_training_job.describe()["status"] == "Stopped"
    estimator.latest_training_job.wait(logs=False)
    assert "was stopped: stopped by the user" in caplog.text


def test_a_script_that_crashes_is_a_job_error_with_its_reason(place: Path) -> None:
    (place / "code" / "train.py").write_text("raise ValueError('no such breed')\n")
    with pytest.raises(JobError, match="no such breed"):
        script().fit("photos", logs=False)


def test_max_run_stops_a_job(place: Path) -> None:
    (place / "code" / "train.py").write_text("import time\ntime.sleep(600)\n")
    estimator = script(max_run=1)
    estimator.fit("photos", logs=False)
    assert estimator.latest_training_job is not None
    assert estimator.latest_training_job.describe()["status"] == "Stopped"


def test_an_attached_estimator_asks_for_the_same_again(place: Path) -> None:
    script(hyperparameters={"lr": 0.25}, max_run=90).fit("photos", logs=False, job_name="first")
    again = Estimator.attach("first")
    again.fit("photos", logs=False, job_name="second")
    first, second = (
        Path("vizsla-runs/training", name, "input/config/hyperparameters.json") for name in ("first", "second")
    )
    assert first.read_text() == second.read_text()
    assert again.request("photos").settings == {"max_runtime": "90.0"}


def test_what_means_nothing_here_is_said_once(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        PyTorch(
            "train.py", "code", role="arn", framework_version="2.1", py_version="py310", instance_type="ml.m5.large"
        )
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "These arguments have no effect on this machine: framework_version, instance_type, py_version, role."
    ]


def test_this_machine_as_the_instance_type_is_nothing_to_speak_of(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    PyTorch("train.py", "code", instance_type="local", instance_count=1, sagemaker_session=None)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Estimator(hyperparameter={}), "called hyperparameter.\nDid you mean hyperparameters?"),
        (lambda: Estimator(instance_typ="local"), "Did you mean instance_type?"),
        (lambda: Estimator(model="resnet18", entry_point="train.py"), "Give one of them"),
        (lambda: Estimator(model="resnet18", hyperparameters={"model": "resnet34"}), "model is given twice"),
        (lambda: Estimator(metric_definitions=METRICS), "go with a script"),
        (lambda: Estimator("train.py", metric_definitions=[{"name": "loss"}]), "no metric definition"),
        (lambda: Estimator(hyperparameters={"lr": object()}), "cannot be a hyperparameter"),
        (lambda: Estimator().fit("photos", waits=True), "Did you mean wait?"),
        (lambda: Estimator().fit(), "No photos are named"),
        (lambda: Estimator().fit("s3://bucket/photos"), "not on this machine"),
        (lambda: Estimator().fit({"training": 3}), "no folder but 3"),  # type: ignore[dict-item]
        (lambda: Estimator(hyperparameters={"epoch": 3}).fit("photos"), "Did you mean epochs?"),
        (lambda: Estimator().model_data, "Nothing has been trained yet"),
        (lambda: Estimator.attach("nobody"), "There is no job called nobody"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(place: Path, make: Callable[[], object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert said in str(caught.value)
    assert not list(place.glob("vizsla-runs/training/*"))


def test_there_is_no_deploy_yet() -> None:
    assert not hasattr(Estimator, "deploy")


def test_the_classifier_takes_numbers_truths_and_lists(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a class whose name would end a script tag is shown as text."""
    (place / "photos" / "disc").rename(place / "photos" / "<script>&")
    settings = dict(pair.split("=") for pair in TINY if not pair.startswith("model"))
    more = {"epochs": 1, "evaluate.test": False, "data.split": [0.6, 0.4, 0]}
    estimator = Estimator(model="test_resnet", hyperparameters={**settings, **more})
    estimator.fit("photos")
    lines = capsys.readouterr().out
    assert "average test loss" in lines
    assert "vizsla.worker[" not in lines, "as `vizsla train` prints them: without time and process"
    assert estimator.latest_training_job is not None
    said = estimator.latest_training_job.describe()
    assert (said["images"]["test"], said["metrics"]["test_loss"]) == (0, None)
    page = estimator._repr_html_() + estimator.latest_training_job._repr_html_()
    assert "&lt;script&gt;&amp;" in page
    assert "<script" not in page
