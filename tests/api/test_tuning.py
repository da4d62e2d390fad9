"""What cannot be searched is refused before anything is written; what was found is used as it should be."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.jobs import GONE, measured
from tests.photos import write_folder
from vizsla import jobdir
from vizsla.api import reporting, training, tuning
from vizsla.api.requests import Request
from vizsla.backends import local
from vizsla.errors import UserError, VizslaError
from vizsla.job import Job
from vizsla.jobdir import JobDir, Outcome, create
from vizsla.plan import resolve
from vizsla.tuning import sweep
from vizsla.tuning.space import parse_range
from vizsla.tuning.spec import Sweep
from vizsla.workspace import Workspace


def refused(place: Path, *ranges: str, settings: dict[str, str] | None = None, **asked: Any) -> str:
    """Message and cure of a search over the classifier that cannot be; nothing of it is left behind."""
    photos = place / "photos"
    if not photos.exists():
        write_folder(photos, {"disc": 3, "rows": 3})
    request = Request({"training": photos}, settings or {}, asked.pop("name", "search"))
    search = tuning.Search(ranges=[parse_range(each) for each in ranges], **asked)
    with pytest.raises(UserError) as error:
        tuning.submit(request, search, Workspace(place / "runs"))
    assert not (place / "runs" / "tuning" / "search").exists()
    assert error.value.hint
    return f"{error.value.message} {error.value.hint}"


@pytest.mark.parametrize(
    ("ranges", "settings", "asked", "expected"),
    [
        (["lr=0.001..0.1"], {"lr": "0.1"}, {}, "lr is set and searched at once"),
        (["batch-size=8,16"], {"batch_size": "8"}, {}, "batch_size is set and searched at once"),
        (["learning_rate=0.001..0.1"], {}, {}, "Did you mean lr?"),
        (["dropout=0.0..1.5"], {}, {}, "dropout=1.5 cannot be"),
        (["optimizer=adam,magic"], {}, {}, "optimizer=magic cannot be"),
        (["evaluate.test=true,false"], {}, {}, "no trial asks the held-out photos"),
        (["lr=0.001..0.1", "lr=0.1..0.2"], {}, {}, "lr"),
        (["lr=0.001..0.1"], {"seed": "abc"}, {}, "seed=abc cannot be"),
        (["lr=0.001..0.1"], {}, {"objective": "test accuracy"}, "There is no metric called 'test accuracy'"),
        (["lr=0.001..0.1"], {}, {"strategy": "magic"}, "--strategy cannot be magic"),
        (["lr=0.001..0.1"], {}, {"direction": "up"}, "--direction cannot be up"),
        (["lr=0.001..0.1"], {}, {"strategy": "hyperband", "early_stopping": "auto"}, "exclude each other"),
        (["lr=0.001..0.1"], {}, {"strategy": "grid"}, "grid"),
        (["lr=0.1,0.2"], {}, {"strategy": "grid", "jobs": 3}, "The grid has 2 combinations"),
        (["lr=0.001..0.1"], {}, {"budget": "soon"}, "--budget soon is no time"),
        (["lr=0.001..0.1"], {}, {"jobs": 1000}, "at most 999 jobs"),
        (["lr=0.001..0.1"], {}, {"name": "s" * 33}, "at most 32 characters"),
        (["lr=0.001..0.1"], {}, {"warm_start": ["nobody"]}, "There is no job called nobody"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_a_cure(
    tmp_path: Path, ranges: list[str], settings: dict[str, str], asked: dict[str, Any], expected: str
) -> None:
    assert expected in refused(tmp_path, *ranges, settings=settings, **asked)


@pytest.mark.parametrize(
    ("given", "steps"), [({}, 0), ({"profile.num_steps": "5"}, 5), ({"profile.num-steps": "5"}, 5)]
)
def test_trials_are_sampled_and_profile_no_operators_unless_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], steps: int
) -> None:
    monkeypatch.setattr(local, "start", lambda _folder: None)
    write_folder(tmp_path / "photos", {"disc": 3, "rows": 3})
    request = Request({"training": tmp_path / "photos"}, given)
    search = tuning.Search(ranges=[parse_range("lr=0.001..0.1")])
    trial = sweep.load(tuning.submit(request, search, Workspace(tmp_path / "runs"))).template
    assert (trial.launch.profile.enabled, trial.launch.profile.num_steps) == (True, steps)


def finished(place: Path, name: str, channel: str = "", **changes: Any) -> JobDir:
    """A sweep over lr with one finished trial, as its processes leave it."""
    template = Job(
        name="unnamed",
        channels={"training": channel or str(place / "photos")},
        hyperparameters={
            "epochs": "3",
            "data.fraction": "0.3",
            "method": "finetune",
            **changes.pop("hyperparameters", {}),
        },
    )
    folder = JobDir(place / "runs" / "tuning" / name)
    (folder.path / "attempts").mkdir(parents=True)
    ranges = {"lr": {"low": 0.001, "high": 0.1, "scaling": "Auto"}}
    made = Sweep(**{"name": name, "template": template, "ranges": ranges, "max_jobs": 1, **changes})
    sweep.save(folder, made)
    trial_path = place / "runs" / "training" / f"{name}-001"
    trial_path.mkdir(parents=True)
    own = {**template.hyperparameters, "lr": "0.02", "evaluate.test": "false"}
    job = template.model_copy(update={"name": trial_path.name, "hyperparameters": own})
    trial = create(trial_path, job, resolve(job))
    for each in (folder, trial):
        each.begin(1, GONE)
        each.report_outcome(1, Outcome("Completed"))
    measured(trial, [0.5, 0.4, 0.6])
    return folder


def test_the_winner_leaves_out_what_only_made_trials_quick(tmp_path: Path) -> None:
    finished(tmp_path, "early")
    assert tuning.winner("early", Workspace(tmp_path / "runs")) == {"epochs": "3", "lr": "0.02"}


def test_a_sweep_without_a_value_has_no_winner(tmp_path: Path) -> None:
    folder = finished(tmp_path, "early")
    for records in (folder.path.parent.parent / "training" / "early-001").rglob("*.jsonl"):
        records.unlink()
    with pytest.raises(UserError, match="early has no trial with a value yet"):
        tuning.winner("early", Workspace(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ({"objective": "accuracy", "direction": "maximize"}, "needs the same objective"),
        ({"hyperparameters": {"dropout": "0.1"}}, "dropout is in one of them only"),
        ({"channel": "/elsewhere"}, "TransferLearning"),
    ],
)
def test_a_parent_that_cannot_teach_is_refused(tmp_path: Path, parent: dict[str, Any], expected: str) -> None:
    finished(tmp_path, "early", **parent)
    settings = {"epochs": "3", "data.fraction": "0.3"}
    assert expected in refused(tmp_path, "lr=0.001..0.1", settings=settings, warm_start=["early"])


def test_a_parent_that_still_runs_is_refused(tmp_path: Path) -> None:
    folder = finished(tmp_path, "early")
    (folder.path / "attempts" / "1.json").unlink()
    settings = {"epochs": "3", "data.fraction": "0.3"}
    assert "early has not ended yet" in refused(tmp_path, "lr=0.001..0.1", settings=settings, warm_start=["early"])


def test_a_name_whose_trials_are_there_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs" / "training" / "Search-002").mkdir(parents=True)
    assert "There is a job called Search-002" in refused(tmp_path, "lr=0.001..0.1")


def test_a_sweep_that_was_laid_out_by_half_is_no_sweep(tmp_path: Path) -> None:
    (tmp_path / "runs" / "tuning" / "torn").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no sweep"):
        tuning.document(tuning.find("torn", Workspace(tmp_path / "runs")))


@pytest.mark.parametrize("kind", ["training", "tuning"])
def test_a_full_disk_leaves_the_name_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_folder(tmp_path / "photos", {"disc": 3, "rows": 3})
    monkeypatch.setattr(jobdir if kind == "training" else sweep, "write_json", full)
    request = Request({"training": tmp_path / "photos"}, {}, "mine")
    workspace = Workspace(tmp_path / "runs")
    search = tuning.Search(ranges=[parse_range("lr=0.001..0.1")])
    with pytest.raises(VizslaError, match="The disk is full"):
        _ = training.submit(request, workspace) if kind == "training" else tuning.submit(request, search, workspace)
    assert not (tmp_path / "runs" / kind / "mine").exists()


@pytest.mark.parametrize(("scaling", "linear"), [("Linear", {"lr"}), ("Auto", set[str]())])
def test_a_report_knows_what_was_searched_linearly(tmp_path: Path, scaling: str, linear: set[str]) -> None:
    span = {"type": "Continuous", "low": 0.001, "high": 0.1, "scaling": scaling}
    folder = finished(tmp_path, "early", ranges={"lr": span})
    view, _ = reporting.views(folder, {"status": "Completed", "seconds": 1.0, "best": None})
    assert view.linear == linear


@pytest.mark.parametrize(
    ("searched", "given", "method"),
    [
        ("lr=0.001..0.1", {}, "finetune"),
        ("probe.l2=0.001..0.1", {}, "probe"),
        ("lr=0.001..0.1", {"method": "auto"}, "auto"),
    ],
)
def test_trials_fine_tune_or_probe_where_the_probes_own_settings_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searched: str, given: dict[str, str], method: str
) -> None:
    monkeypatch.setattr(local, "start", lambda _folder: None)
    write_folder(tmp_path / "photos", {"disc": 3, "rows": 3})
    search = tuning.Search(ranges=[parse_range(searched)])
    submitted = tuning.submit(Request({"training": tmp_path / "photos"}, given), search, Workspace(tmp_path / "runs"))
    assert sweep.load(submitted).template.hyperparameters["method"] == method
