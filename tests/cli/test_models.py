"""`vizsla models`: which backbones there are, and which have their weights at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vizsla import backbones

if TYPE_CHECKING:
    from tests.cli.conftest import Here
    from tests.conftest import Run


@pytest.fixture(autouse=True)
def _no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was downloaded on this machine is not seen."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))


def test_every_known_backbone_is_a_row(here: Here) -> None:
    rows = here("models", "--json").document
    assert [row["model"] for row in rows] == list(backbones.KNOWN)
    for row in rows:
        assert set(row) == {"model", "default", "parameters_M", "size", "weights", "path", "package"}


def test_one_of_them_is_the_default_and_its_weights_came_with_the_installation(vizsla: Run) -> None:
    (default,) = [row for row in vizsla("models", "--json").document if row["default"]]
    assert (default["model"], default["size"], default["weights"]) == ("efficientnet_lite0", 224, "package")
    assert Path(default["path"]).is_file()


def test_weights_that_are_not_here_are_null(here: Here) -> None:
    rows = {row["model"]: row for row in here("models", "--json").document}
    assert (rows["resnet50"]["weights"], rows["resnet50"]["path"]) == (None, None)


def test_a_person_sees_which_are_at_hand_and_how_to_get_the_others(here: Here) -> None:
    ended = here("models")
    assert (ended.code, ended.err) == (0, "")
    lines = {line.split()[0]: line for line in ended.out.splitlines() if line and "px" in line}
    assert set(lines) == set(backbones.KNOWN)
    assert "at hand (package)" in lines["efficientnet_lite0"]
    assert lines["efficientnet_lite0"].endswith("(default)")
    assert "downloaded on first use" in lines["resnet18"]
