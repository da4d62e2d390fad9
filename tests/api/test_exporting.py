"""A job's records in other tools' formats: whole or not at all, and nothing of somebody else's is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis.jobs import ended, measured
from vizsla.api import exporting
from vizsla.errors import UserError, VizslaError
from vizsla.jobdir import JobDir
from vizsla.records import Record, Writer
from vizsla.segments import Segments

PROFILER = "sagemaker-profiler"
TRACE = "checkpoints/vizsla/profile/1-trace.json.gz"


def profiled(place: Path, trace: bool = True) -> JobDir:
    """A finished job with two samples, a step and the trace of its operators."""
    folder = ended(place)
    with Writer(Segments(folder.records / "system", 1)) as writer:
        for t in (10.0, 10.5):
            value: dict[str, float | list[float]] = {"seconds": 0.5, "cores": [50.0], "iowait": [0.0], "memory": 20.0}
            writer.write(Record(t, "system", "sample", value=value))
    with Writer(Segments(folder.records / "profile", 1)) as writer:
        writer.write(Record(10.0, "phase", "load", mode="train", step=0, value=0.1))
        writer.write(Record(10.1, "phase", "forward", mode="train", step=0, value=0.1))
        writer.write(Record(10.0, "phase", "profile", mode="train", step=0, value={"seconds": 0.2}, file=TRACE))
    if trace:
        (folder.path / TRACE).parent.mkdir(parents=True)
        (folder.path / TRACE).write_bytes(b"a trace")
    return folder


def test_what_a_job_recorded_is_laid_out_in_its_folder(tmp_path: Path) -> None:
    folder = profiled(tmp_path)
    document = exporting.export(folder, PROFILER)
    place = folder.path / "profiler-output"
    assert {name: document[name] for name in ("name", "kind", "status", "folder", "samples", "steps", "files")} == {
        "name": "dogs",
        "kind": "training",
        "status": "Completed",
        "folder": str(place),
        "samples": 2,
        "steps": 1,
        "files": 3,
    }
    assert document["problems"] == []
    (copied,) = place.rglob("*trace.json.gz")
    assert copied.read_bytes() == b"a trace"
    assert not [each for each in folder.path.iterdir() if each.name.startswith(".")]


def test_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    folder = profiled(tmp_path)
    exporting.export(folder, PROFILER, tmp_path / "out")
    (tmp_path / "out" / "system" / "old.json").touch()
    exporting.export(folder, PROFILER, tmp_path / "out")
    assert not list(tmp_path.rglob("old.json"))
    assert list((tmp_path / "out").rglob("*.algo-1.json"))


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    folder = profiled(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other things"):
        exporting.export(folder, PROFILER, tmp_path / "mine")
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_an_export_that_fails_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = profiled(tmp_path)
    exporting.export(folder, PROFILER, tmp_path / "out")
    before = sorted(tmp_path.rglob("out/**/*"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(VizslaError, match="disk is full"):
        exporting.export(folder, PROFILER, tmp_path / "out")
    assert sorted(tmp_path.rglob("out/**/*")) == before
    assert not list(tmp_path.glob(".out*"))


def test_a_trace_that_is_gone_is_named(tmp_path: Path) -> None:
    document = exporting.export(profiled(tmp_path, trace=False), PROFILER)
    assert document["problems"] == [f"{TRACE} is not there any more, so it was left out."]


def test_a_job_without_samples_has_nothing_to_export(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), [1.0, 0.5])
    with pytest.raises(UserError, match="no samples and no phases") as error:
        exporting.export(folder, PROFILER)
    assert "profile.enabled" in str(error.value.hint)
    assert not (folder.path / "profiler-output").exists()


def test_an_unknown_format_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gif is no format") as error:
        exporting.export(profiled(tmp_path), "gif")
    assert PROFILER in str(error.value.hint)
