"""What a script finds around it, by the names of AWS's sagemaker-training toolkit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vizsla import container, jobdir
from vizsla.job import Job, Launch, ScriptSettings
from vizsla.jobdir import JobDir


def made(place: Path, hyperparameters: dict[str, str], *channels: str, install: bool = False) -> tuple[Job, JobDir]:
    """A job of a script, laid out in a workspace."""
    source = place / "source"
    source.mkdir()
    (source / "train.py").touch()
    (source / "requirements.txt").touch()
    folder = place / "runs" / "training" / "dogs"
    folder.mkdir(parents=True)
    job = Job(
        name="dogs",
        entry_point="train.py",
        source=str(source),
        hyperparameters=hyperparameters,
        channels={name: str(place) for name in channels},
        launch=Launch(script=ScriptSettings(install=install)),
    )
    return job, jobdir.create(folder, job, None)


@pytest.mark.parametrize(
    ("typed", "handed_over"),
    [
        ({"lr": "0.003"}, ["--lr", "0.003"]),
        ({"epochs": "3"}, ["--epochs", "3"]),
        ({"augment": "true"}, ["--augment", "True"]),
        ({"augment": "false"}, ["--augment", "False"]),
        ({"augment": "True"}, ["--augment", "True"]),
        ({"net": '"resnet 18"'}, ["--net", "resnet 18"]),
        ({"net": "resnet 18"}, ["--net", "resnet 18"]),
        ({"lr": '"0.003"'}, ["--lr", "0.003"]),
        ({"b": "2"}, ["-b", "2"]),
        ({"b-s": "1", "b_s": "2", "My.Name": "3"}, ["--My.Name", "3", "--b-s", "1", "--b_s", "2"]),
        ({"sagemaker_program": "x", "_tuning_objective_metric": "y", "lr": "1"}, ["--lr", "1"]),
        ({"empty": ""}, ["--empty", ""]),
    ],
)
def test_arguments_are_those_that_aws_would_send(typed: dict[str, str], handed_over: list[str]) -> None:
    job = Job(name="dogs", entry_point="train.py", hyperparameters=typed, channels={})
    assert container.arguments(container.hyperparameters(job)) == handed_over


def compact(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def test_variables_are_those_of_the_toolkit(tmp_path: Path) -> None:
    job, folder = made(tmp_path, {"lr": "0.5", "my-Name": "x y", "deep": "true"}, "training", "valid")
    root = folder.path
    found = container.environment(job, folder, cpus=3)
    text = {
        "SM_MODEL_DIR": f"{root}/model",
        "SM_INPUT_DIR": f"{root}/input",
        "SM_INPUT_CONFIG_DIR": f"{root}/input/config",
        "SM_OUTPUT_DIR": f"{root}/output",
        "SM_OUTPUT_DATA_DIR": f"{root}/output/data",
        "SM_CHANNEL_TRAINING": f"{root}/input/data/training",
        "SM_CHANNEL_VALID": f"{root}/input/data/valid",
        "SM_HP_LR": "0.5",
        "SM_HP_MY-NAME": "x y",
        "SM_HP_DEEP": "true",
        "SM_USER_ENTRY_POINT": "train.py",
        "SM_MODULE_NAME": "train",
        "SM_MODULE_DIR": f"{root}/code",
        "SM_NUM_CPUS": "3",
        "SM_NUM_GPUS": "0",
        "SM_LOG_LEVEL": "20",
        "SM_CURRENT_HOST": "algo-1",
        "SM_NETWORK_INTERFACE_NAME": "lo",
        "TRAINING_JOB_NAME": "dogs",
    }
    assert {name: found.get(name) for name in text} == text
    documents = {
        "SM_CHANNELS": ["training", "valid"],
        "SM_HPS": {"deep": True, "lr": 0.5, "my-Name": "x y"},
        "SM_USER_ARGS": ["--deep", "True", "--lr", "0.5", "--my-Name", "x y"],
        "SM_HOSTS": ["algo-1"],
        "SM_RESOURCE_CONFIG": json.loads((folder.config / "resourceconfig.json").read_text()),
        "SM_INPUT_DATA_CONFIG": json.loads((folder.config / "inputdataconfig.json").read_text()),
    }
    assert {name: json.loads(found[name]) for name in documents} == documents


def test_folders_that_variables_name_are_there(tmp_path: Path) -> None:
    job, folder = made(tmp_path, {}, "training")
    found = container.environment(job, folder, cpus=1)
    named = ("SM_MODEL_DIR", "SM_OUTPUT_DATA_DIR", "SM_CHANNEL_TRAINING", "SM_INPUT_CONFIG_DIR", "SM_MODULE_DIR")
    assert [name for name in named if not Path(found[name]).is_dir()] == []


def test_a_name_that_a_shell_would_drop_is_handed_over(tmp_path: Path) -> None:
    variables = {"SM_HP_MY-NAME": "x y", "SM_HP_LR": "1"}
    prefix = container.spelled_out(variables)
    show = "import os; print(os.environ['SM_HP_MY-NAME'])"
    said = subprocess.run(
        ["sh", "-c", 'exec "$@"', "sh", *prefix, sys.executable, "-c", show],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "x y\n"


def test_requirements_are_not_installed_unasked(tmp_path: Path) -> None:
    job, folder = made(tmp_path, {})
    prefix, note = container.installing(job, folder)
    assert prefix == []
    assert "requirements.txt is not installed; --set script.install=true" in note
    assert str(container.packages(folder)) not in container.environment(job, folder, cpus=1)["PYTHONPATH"]


def test_installed_requirements_come_before_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    job, folder = made(tmp_path, {}, install=True)
    search = f"{folder.code}:{container.SMDEBUG}:{container.packages(folder)}:/mine"
    assert container.environment(job, folder, cpus=1)["PYTHONPATH"] == search
    prefix, note = container.installing(job, folder)
    assert prefix[0] == "sh"
    assert note == ""


def test_without_requirements_there_is_nothing_to_say(tmp_path: Path) -> None:
    job, folder = made(tmp_path, {}, install=True)
    (folder.code / "requirements.txt").unlink()
    assert container.installing(job, folder) == ([], "")


def test_a_system_without_unshare_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    _, folder = made(tmp_path, {})
    with container.at_opt_ml(folder) as (prefix, problem):
        assert (prefix, problem) == ([], "this system has no unshare")
