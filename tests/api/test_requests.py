"""What a request becomes: the settings of a job that are not as they were typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from vizsla.api import requests
from vizsla.api.requests import Request, Script
from vizsla.errors import UserError
from vizsla.job import Job


def asked(place: Path, settings: dict[str, str], script: bool = True) -> Job:
    (place / "train.py").write_text("print(1)")
    wanted = Script("train.py", place, {}, {}) if script else None
    return requests.job(Request({"training": place}, settings, script=wanted))


def test_the_operators_of_a_script_are_profiled_only_where_that_is_asked_for(tmp_path: Path) -> None:
    assert asked(tmp_path, {}).launch.profile.num_steps == 0
    assert asked(tmp_path, {"profile.num_steps": "10"}).launch.profile.num_steps == 10
    assert asked(tmp_path, {"profile.num-steps": "7"}).launch.profile.num_steps == 7


def test_the_operators_of_the_classifier_are_profiled_in_its_first_ten_steps(tmp_path: Path) -> None:
    profile = asked(tmp_path, {}, script=False).launch.profile
    assert (profile.start_step, profile.num_steps) == (0, 10)


def test_a_scripts_loop_cannot_be_ended_after_so_many_steps(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"profile\.stop_after") as refused:
        asked(tmp_path, {"profile.stop_after": "5"})
    assert "max_runtime" in refused.value.hint
