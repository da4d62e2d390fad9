"""How a machine does the work: chosen once, written down, and kept for as long as the job lives."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
import torch

from vizsla.errors import UserError, VizslaError
from vizsla.job import RunSettings
from vizsla.training import execution
from vizsla.training.execution import Execution, Subject, choose

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


# ---- the cache: one choice for a machine and a network

SUBJECT = Subject("resnet18", "layer3", 224, share=2)


@dataclass
class Measured:
    """Measuring that only counts how often it is asked."""

    threads: int = 1
    times: int = 0

    def __call__(self, usual: Execution) -> Execution:
        self.times += 1
        return replace(usual, threads=self.threads, why=("because",), rates={"frozen": 137.5})


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIZSLA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("root")
def test_a_choice_is_measured_once_and_kept_with_its_reasons() -> None:
    measured = Measured()
    first = choose(RunSettings(), None, SUBJECT, measured)
    assert choose(RunSettings(), None, SUBJECT, measured) == first
    assert measured.times == 1
    assert (first.threads, first.why, first.rates) == (1, ("because",), {"frozen": 137.5})


def crowded(usual: Execution) -> Execution:
    return replace(usual, threads=1, crowded=True)


@pytest.mark.parametrize(("hours", "times"), [(1, 0), (23, 0), (25, 1)])
def test_a_choice_of_a_crowded_machine_counts_for_a_day(root: Path, hours: float, times: int) -> None:
    choose(RunSettings(), None, SUBJECT, crowded)
    made_earlier(root, hours)
    again = Measured()
    choose(RunSettings(), None, SUBJECT, again)
    assert again.times == times


def test_a_choice_of_a_quiet_machine_stays(root: Path) -> None:
    choose(RunSettings(), None, SUBJECT, Measured())
    made_earlier(root, 24 * 1000)
    again = Measured()
    choose(RunSettings(), None, SUBJECT, again)
    assert again.times == 0


def made_earlier(root: Path, hours: float) -> None:
    (kept,) = (root / "executions").glob("*.json")
    said = json.loads(kept.read_text())
    kept.write_text(json.dumps({**said, "made": said["made"] - 3600 * hours}))


@pytest.mark.usefixtures("root")
def test_a_resumed_job_keeps_its_own_choice_whatever_the_cache_says(file: Path) -> None:
    mine = choose(RunSettings(), file, SUBJECT, Measured(threads=1))
    choose(RunSettings(), None, replace(SUBJECT, cut="layer2"), Measured(threads=2))
    never = Measured()
    assert choose(RunSettings(), file, replace(SUBJECT, cut="layer2"), never) == mine
    assert never.times == 0


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "other",
    [
        replace(SUBJECT, share=1),
        replace(SUBJECT, model="resnet50"),
        replace(SUBJECT, cut="layer2"),
        replace(SUBJECT, image_size=128),
    ],
    ids=["share", "model", "cut", "size"],
)
def test_another_share_or_network_is_measured_anew(other: Subject) -> None:
    choose(RunSettings(), None, SUBJECT, Measured())
    again = Measured()
    choose(RunSettings(), None, other, again)
    assert again.times == 1


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("name", ["torch", "onnxruntime", "timm"])
def test_another_version_is_measured_anew(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(RunSettings(), None, SUBJECT, Measured())
    monkeypatch.setattr(execution, "version", lambda each: "99" if each == name else version(each))
    again = Measured()
    choose(RunSettings(), None, SUBJECT, again)
    assert again.times == 1


@pytest.mark.usefixtures("root")
def test_what_is_given_has_a_choice_of_its_own_for_the_rest() -> None:
    choose(RunSettings(), None, SUBJECT, Measured())
    again = Measured()
    choose(RunSettings(loader_workers=0), None, SUBJECT, again)
    assert again.times == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"threads": 2}', b'{"threads": "2"}', b"\xff\xfe", b"NaN"])
def test_a_damaged_file_in_the_cache_is_measured_anew_and_mended(root: Path, content: bytes) -> None:
    first = choose(RunSettings(), None, SUBJECT, Measured())
    (kept,) = (root / "executions").glob("*.json")
    kept.write_bytes(content)
    again = Measured()
    assert choose(RunSettings(), None, SUBJECT, again) == first
    assert again.times == 1
    assert choose(RunSettings(), None, SUBJECT, Measured(threads=2)) == first


def test_of_two_processes_at_once_the_first_one_decides(root: Path) -> None:
    def slow(usual: Execution) -> Execution:
        choose(RunSettings(), None, SUBJECT, Measured(threads=1))  # another process is done meanwhile
        return replace(usual, threads=2)

    assert choose(RunSettings(), None, SUBJECT, slow).threads == 1
    assert len(list((root / "executions").glob("*.json"))) == 1


def test_a_cache_that_cannot_be_written_costs_only_the_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("VIZSLA_CACHE", str(tmp_path / "file"))
    measured = Measured()
    assert choose(RunSettings(), None, SUBJECT, measured).threads == 1
    choose(RunSettings(), None, SUBJECT, measured)
    assert measured.times == 2


def test_the_cache_can_say_what_a_choice_is_for(root: Path) -> None:
    choose(RunSettings(), None, SUBJECT, Measured())
    (kept,) = (root / "executions").glob("*.json")
    said = json.loads(kept.read_text())
    assert (said["model"], said["cut"], said["share"]) == ("resnet18", "layer3", 2)


def test_without_a_subject_nothing_is_measured_or_kept(root: Path) -> None:
    assert choose(RunSettings(), None).why == ()
    assert not root.exists()


def test_onnx_runtime_in_bfloat16_is_refused_with_the_cure() -> None:
    with pytest.raises(UserError, match="not in bfloat16") as raised:
        choose(RunSettings(engine="onnxruntime", precision="bfloat16"), None)
    assert "run.engine=torch" in raised.value.hint


def test_compiling_is_refused_and_not_silently_left_out() -> None:
    with pytest.raises(UserError, match=r"run\.compile is not offered"):
        choose(RunSettings(compile=True), None)


def test_what_decides_the_bits_is_told_without_reasons() -> None:
    facts = choose(RunSettings(threads=1), None).facts
    assert facts["threads"] == 1
    assert {"engine", "precision", "memory_format", "torch"} <= set(facts)
    assert not {"why", "rates"} & set(facts)
