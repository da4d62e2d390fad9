"""A sweep's first step: features for all trials and a probe to compare them with, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, run_vizsla
from tests.photos import write_folder
from vizsla import cache
from vizsla.backends import local
from vizsla.errors import UserError
from vizsla.job import Job
from vizsla.jobdir import JobDir
from vizsla.tuning import baseline
from vizsla.tuning.spec import Sweep

PROBED = {"epoch_train_loss": 0.2, "valid_loss": 0.3, "valid_accuracy": 0.9, "l2": 0.01, "stages": "last"}


def sweep(ranges: tuple[str, ...] = ("lr",), **changes: Any) -> Sweep:
    job = Job(name="unnamed", channels={"training": "/photos"}, hyperparameters={"method": "finetune"})
    span = {"low": 0.001, "high": 0.1, "scaling": "Auto"}
    return Sweep(**{"name": "s", "template": job, "ranges": dict.fromkeys(ranges, span), "max_jobs": 2, **changes})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the worker was asked, and answered with a probe."""
    requests: list[dict[str, Any]] = []

    def ask(verb: str, request: dict[str, Any], long: bool = False) -> Any:
        assert (verb, long) == ("features", True)
        requests.append(request)
        return {"shelves": [str(cache.root() / "features" / ("ab" * 32))], "probe": PROBED}

    monkeypatch.setattr(local, "ask", ask)
    monkeypatch.setenv("VIZSLA_CPUS", "4")
    return requests


def test_it_is_asked_once_for_the_share_of_a_trial(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    folder, made = JobDir(tmp_path), sweep(parallel=2)
    baseline.prepare(folder, made)
    baseline.prepare(folder, made)  # as a controller that goes on does
    assert [request["share"] for request in asked] == [2]
    assert baseline.read(folder) == PROBED


@pytest.mark.parametrize("name", ["model", "image.size", "data.fraction", "views", "seed"])
def test_where_trials_share_no_features_there_is_no_step(
    tmp_path: Path, asked: list[dict[str, Any]], name: str
) -> None:
    baseline.prepare(JobDir(tmp_path), sweep(("lr", name)))
    assert asked == []
    assert baseline.read(JobDir(tmp_path)) is None


def test_a_script_has_none(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    job = Job(name="unnamed", channels={"training": "/photos"}, entry_point="train.py", source="/code")
    baseline.prepare(JobDir(tmp_path), sweep(template=job))
    assert asked == []


@pytest.mark.parametrize(
    ("objective", "value"), [("average test loss", 0.3), ("valid_loss", 0.3), ("accuracy", 0.9), ("train loss", 0.2)]
)
def test_its_value_is_that_of_the_objective(
    tmp_path: Path, asked: list[dict[str, Any]], objective: str, value: float
) -> None:
    made = sweep(objective=objective)
    baseline.prepare(JobDir(tmp_path), made)
    assert baseline.value(JobDir(tmp_path), made) == value


def test_a_damaged_file_is_no_baseline(tmp_path: Path) -> None:
    (tmp_path / baseline.FILE).write_text("{")
    assert baseline.read(JobDir(tmp_path)) is None
    with baseline.held(JobDir(tmp_path)):
        pass


def test_what_every_trial_would_end_with_ends_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise UserError("All photos are bad.", "Take others.")

    monkeypatch.setattr(local, "ask", refuse)
    with pytest.raises(UserError, match="All photos are bad"):
        baseline.prepare(JobDir(tmp_path), sweep())


def test_a_real_sweep_computes_features_once_and_names_the_probe_apart_from_its_trials(tmp_path: Path) -> None:
    """Two trials from the last stage on; the photos' features are there when the first one begins."""
    write_folder(tmp_path / "photos", {"disc": 12, "rows": 12}, seed=3)
    pairs = [pair for pair in TINY if not pair.startswith(("train_from", "probe.stages", "lr"))]
    given = [part for pair in (*pairs, "probe.stages=last", "epochs=1") for part in ("--set", pair)]
    ended = run_vizsla("tune", "photos", *given, "--range", "lr=0.001..0.1", "--jobs", "2", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    probe = document["baseline"]
    assert set(probe) == {"epoch_train_loss", "valid_loss", "valid_accuracy", "l2", "stages"}
    assert [trial["epochs"] for trial in document["trials"]] == [1, 1], "the probe is none of them"
    logs = [run_vizsla("logs", trial["name"], cwd=tmp_path).out for trial in document["trials"]]
    said = f"probe of the last stage: valid loss {probe['valid_loss']:.4f}, "
    assert [said in log for log in logs] == [True, True], "both began with the probe of the first step"
    assert not any("features" in log for log in logs), "nothing was left to be computed"
