"""One script under AWS's `train` and under `vizsla run`, asked for alike. `make test-contract` makes the venv."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

TRAIN = ROOT / ".venv-contract" / "bin" / "train"
CHANNELS = ("training", "valid-2")
FILE_MODE = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
# What SageMaker writes for one machine; `local` is what the toolkit says where AWS names an instance type.
HOOK = {"LocalPath": "/opt/ml/output/tensors", "CollectionConfigurations": [{"CollectionName": "losses"}]}
PROFILER = {"DisableProfiler": False, "ProfilingIntervalInMilliseconds": 500, "LocalPath": "/opt/ml/output/profiler"}
ONE_HOST = {
    "current_host": "algo-1",
    "current_instance_type": "local",
    "hosts": ["algo-1"],
    "current_group_name": "homogeneousCluster",
    "instance_groups": [
        {"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": ["algo-1"]},
    ],
    "network_interface_name": "lo",
}


@dataclass(frozen=True)
class Ran:
    """How a script ended under one of the two."""

    source: Path
    code: int
    folder: Path
    log: str

    @property
    def found(self) -> Any:
        """What probe.py wrote down."""
        return json.loads((self.folder / "model" / "found.json").read_text())

    @property
    def failure(self) -> str:
        return (self.folder / "output" / "failure").read_text()


@dataclass(frozen=True)
class Asked:
    """One job: a script of a source folder, hyperparameters as strings, photos for each channel."""

    source: Path
    script: str
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Path]
    needs_torch: bool = False
    """The venv of the toolkit has none: it then sees this interpreter's."""

    def all_hyperparameters(self) -> dict[str, str]:
        """With those that AWS's SDK adds for the launcher."""
        own = {"sagemaker_program": self.script, "sagemaker_submit_directory": str(self.source)}
        return {**self.hyperparameters, **own, "sagemaker_job_name": "probe"}


def environment(**more: str) -> dict[str, str]:
    """The same few variables for both, so that whatever else a script sees is the launcher's doing."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **more}


def under_sagemaker(asked: Asked, place: Path) -> Ran:
    """AWS's toolkit in `place`, laid out as SageMaker lays out /opt/ml. It asks no network.

    SM_STUDIO_LOCAL_MODE leaves out the toolkit's wait for DNS to know the host algo-1.
    """
    for folder in ("code", "model", "output/data", "input/config", "input/data"):
        (place / folder).mkdir(parents=True)
    documents = {
        "hyperparameters": asked.all_hyperparameters(),
        "inputdataconfig": dict.fromkeys(asked.channels, FILE_MODE),
        "resourceconfig": ONE_HOST,
        "debughookconfig": HOOK,
        "profilerconfig": PROFILER,
    }
    for name, document in documents.items():
        (place / "input" / "config" / f"{name}.json").write_text(json.dumps(document))
    for name, photos in asked.channels.items():
        shutil.copytree(photos, place / "input" / "data" / name)
    variables = environment(
        SAGEMAKER_BASE_DIR=str(place),
        SM_STUDIO_LOCAL_MODE="true",
        TRAINING_JOB_NAME="probe",
        **({"PYTHONPATH": sysconfig.get_path("purelib")} if asked.needs_torch else {}),
    )
    done = subprocess.run([TRAIN], env=variables, capture_output=True, text=True, check=False)
    return Ran(asked.source, done.returncode, place, done.stdout + done.stderr)


def under_vizsla(asked: Asked, place: Path) -> Ran:
    """`vizsla run` in `place`."""
    place.mkdir()
    options = [f"--hp={name}={value}" for name, value in asked.all_hyperparameters().items()]
    options += [f"--channel={name}={photos}" for name, photos in asked.channels.items()]
    command = [sys.executable, "-m", "vizsla", "run", asked.script, "--source", str(asked.source)]
    done = subprocess.run(
        [*command, "--name", "probe", "--json", *options],
        cwd=place,
        env=environment(PYTHONPATH=str(ROOT), VIZSLA_CPUS="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    folder = place / "vizsla-runs" / "training" / "probe"
    logs = sorted((folder / "checkpoints" / "vizsla" / "logs" / "job").glob("*"))
    return Ran(asked.source, done.returncode, folder, "".join(file.read_text() for file in logs) or done.stderr)


@pytest.fixture(scope="session", autouse=True)
def toolkit() -> None:
    """The tests here are run by `make test-contract`, which installs what they compare with."""
    assert TRAIN.exists(), f"{TRAIN} is not there: run `make test-contract`"


@pytest.fixture(scope="session")
def channels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two folders with a file each."""
    made = {name: tmp_path_factory.mktemp(name) for name in CHANNELS}
    for name, folder in made.items():
        (folder / "a b.txt").write_text(name)
    return made
