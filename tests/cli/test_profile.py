"""`vizsla profile`: what a person reads on one screen, what a program reads, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import tiny
from tests.conftest import Run
from tests.photos import write_folder
from vizsla.cli.profile import screen
from vizsla.files import read_json
from vizsla.workspace import Workspace

if TYPE_CHECKING:
    from tests.cli.conftest import Here

DOCUMENT = ("name", "kind", "status", "created", "bound", "message", "cure", "settings", "seconds_saved")
FIGURES = ("images_per_second", "phases", "system", "operators")
UNKNOWN: dict[str, Any] = {
    **dict.fromkeys((*DOCUMENT, *FIGURES, "step", "share_saved", "share_saved_by_settings", "seconds_whole")),
    "name": "p",
    "steps": {"count": 3, "seconds": 1.5},
    "problems": [],
}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Photos enough for a few steps of batches of two."""
    folder = tmp_path / "photos"
    write_folder(folder, {"disc": 16, "rows": 16})
    return folder


def test_a_real_profile_has_all_of_it_and_keeps_no_model(vizsla: Run, many: Path) -> None:
    """Processes of its own: the machine is sampled from outside only there."""
    asked = tiny("batch_size=2", "profile.interval_ms=100")
    ended = vizsla("profile", many, "--steps", "30", "--name", "short", *asked, "--json")
    assert ended.code == 0, ended.err
    document = ended.document
    assert set(document) >= {*DOCUMENT, *FIGURES}
    assert (document["name"], document["kind"], document["status"]) == ("short", "training", "Stopped")
    assert document["steps"]["count"] == 30
    assert document["bound"] is not None
    assert document["operators"]["operators"]
    assert document["system"]["samples"] > 0
    folder = Workspace(many.parent / "vizsla-runs").find("short")
    assert not (folder / "model").exists() or not list((folder / "model").iterdir())
    assert vizsla("report", "short").code == 0


def test_one_screen_says_what_bounds_it_and_where_the_time_goes(here: Here, many: Path) -> None:
    ended = here("profile", many, "--steps", "12", *tiny("batch_size=2"))
    assert ended.code == 0, ended.err
    for said in ("12 steps in", "images a second", "Bound by", "What to", "forward", "backward", "operator"):
        assert said in ended.out
    assert re.search(r"vizsla report photos-profile-\S+$", ended.out.strip())
    assert len(ended.out.splitlines()) <= 50


def test_the_training_is_the_one_that_was_asked_for_with_nobody_looking_on(here: Here, many: Path) -> None:
    assert here("profile", many, "--steps", "10", "--name", "p", *tiny("batch_size=4", "epochs=5")).code == 0
    folder = Workspace(many.parent / "vizsla-runs").find("p")
    plan, launch = read_json(folder / "plan.json"), read_json(folder / "job.json")["launch"]
    assert (plan["batch_size"], plan["epochs"]) == (4, 5)
    assert launch["debug"]["collections"] == []
    assert launch["profile"]["stop_after"] == 10
    assert read_json(folder / "job.json")["rules"] == []


def test_a_debugger_that_is_asked_for_is_profiled_too(here: Here, many: Path) -> None:
    asked = tiny("batch_size=2", "debug.collections=gradients")
    assert here("profile", many, "--steps", "10", "--name", "p", *asked).code == 0
    folder = Workspace(many.parent / "vizsla-runs").find("p")
    assert read_json(folder / "job.json")["launch"]["debug"]["collections"] == ["gradients"]


def test_a_training_shorter_than_that_is_profiled_whole(here: Here, many: Path) -> None:
    ended = here("profile", many, "--steps", "500", "--json", *tiny("batch_size=4", "epochs=2"))
    assert ended.code == 0, ended.err
    assert ended.document["status"] == "Stopped"
    assert ended.document["steps"]["count"] == 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "3"], "--steps 10"),
        (["--set", "profile.stop_after=5"], "--steps 50"),
        (["--set", "profile.enabled=false"], "Leave it out"),
        (["--set", "batchsize=4"], "batch_size"),
    ],
)
def test_what_cannot_be_profiled_is_refused_with_a_cure(
    here: Here, many: Path, arguments: list[str], said: str
) -> None:
    ended = here("profile", many, *arguments)
    assert ended.code == 2
    assert said in ended.err


def test_a_script_is_refused_with_what_to_type_instead(here: Here, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(1)")
    ended = here("profile", tmp_path / "train.py")
    assert ended.code == 2
    assert "vizsla run" in ended.err


def test_a_training_that_fails_says_why_as_training_does(here: Here, many: Path) -> None:
    for file in (many / "disc").iterdir():
        file.write_bytes(b"no picture")
    ended = here("profile", many, *tiny())
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_what_is_to_be_typed_stands_alone_to_be_copied() -> None:
    pairs = {"run.threads": "2", "batch_size": "64"}
    cure = "--set run.threads=2 --set batch_size=64. End the other programs."
    known = {"bound": "neighbours", "message": "Others are there.", "cure": cure, "settings": pairs}
    saved = {"share_saved": 0.5, "share_saved_by_settings": 0.1, "seconds_saved": 30.0, "seconds_whole": 60.0}
    lines = screen({**UNKNOWN, **known, **saved}).splitlines()
    assert "  --set run.threads=2 --set batch_size=64" in lines
    assert "  End the other programs." in lines
    assert any("50 % of the time" in line for line in lines)


def test_a_screen_of_what_was_not_measured_says_so() -> None:
    shown = screen({**UNKNOWN, "problems": ["torn"]})
    assert "too few steps" in shown
    assert "not sampled" in shown
    assert "Careful: torn" in shown
