"""How a machine does the work: chosen once, written down, and kept for as long as the job lives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from vizsla.errors import VizslaError
from vizsla.job import RunSettings
from vizsla.training.execution import choose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "execution.json"


def test_a_job_uses_its_share_of_the_cores_and_as_many_threads_to_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZSLA_CPUS", "3")
    chosen = choose(RunSettings(), None)
    assert (chosen.threads, chosen.loader_workers) == (3, 3)
    assert torch.get_num_threads() == 3


def test_what_is_given_is_not_chosen() -> None:
    chosen = choose(RunSettings(threads=1, loader_workers=0, memory_format="contiguous"), None)
    assert (chosen.threads, chosen.loader_workers, chosen.memory_format) == (1, 0, "contiguous")
    assert chosen.layout is torch.contiguous_format
    assert torch.get_num_threads() == 1


def test_images_lie_channels_last_unless_told_otherwise() -> None:
    assert choose(RunSettings(), None).layout is torch.channels_last


def test_a_resumed_job_keeps_its_execution_on_a_machine_with_other_cores(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIZSLA_CPUS", "2")
    first = choose(RunSettings(), file)
    monkeypatch.setenv("VIZSLA_CPUS", "5")
    assert choose(RunSettings(), file) == first
    assert torch.get_num_threads() == 2


def test_the_file_says_all_that_decides_the_bits(file: Path) -> None:
    choose(RunSettings(threads=1), file)
    written = json.loads(file.read_text())
    assert written["threads"] == 1
    assert written["precision"] == "float32"
    assert written["engine"] == "torch"
    assert written["torch"] == torch.__version__
    assert written["memory_format"] == "channels_last"


@pytest.mark.parametrize("content", ["{}", "[1]", "not json", '{"threads": 2, "cores": 4}'])
def test_a_damaged_file_is_named_with_the_cure(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(VizslaError, match=r"execution\.json cannot be read") as raised:
        choose(RunSettings(), file)
    assert "Delete it" in raised.value.hint
