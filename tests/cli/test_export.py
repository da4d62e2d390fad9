"""`vizsla export` as somebody types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.api.test_exporting import profiled

if TYPE_CHECKING:
    from tests.cli.conftest import Here


def test_export_says_what_it_wrote_and_where(tmp_path: Path, here: Here) -> None:
    profiled(tmp_path / "vizsla-runs")
    ended = here("export", "dogs", "--format", "sagemaker-profiler", "--out", "notebooks/dogs")
    assert ended.code == 0
    place = tmp_path / "notebooks" / "dogs"
    assert ended.out == f"Wrote 2 samples and 1 steps to {place}\n"
    (system,) = place.glob("system/incremental/*/*.json")
    assert json.loads(system.read_text().splitlines()[0])["Name"] == "cpu0"


def test_export_as_json(tmp_path: Path, here: Here) -> None:
    profiled(tmp_path / "vizsla-runs")
    ended = here("export", "dogs", "--format", "sagemaker-profiler", "--json")
    assert ended.code == 0
    assert ended.document["format"] == "sagemaker-profiler"
    assert Path(ended.document["folder"]).is_dir()


def test_an_unknown_format_is_the_users_mistake(tmp_path: Path, here: Here) -> None:
    profiled(tmp_path / "vizsla-runs")
    ended = here("export", "dogs", "--format", "onyx")
    assert ended.code == 2
    assert "onyx is no format" in ended.err
