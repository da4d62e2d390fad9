"""A script's source folder: what is copied into the job, and what is refused before anything is."""

from __future__ import annotations

from pathlib import Path

import pytest

from vizsla import source
from vizsla.errors import UserError
from vizsla.workspace import MARKER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    (made / "train.py").write_text("print('hello')\n")
    return made


def put(file: Path, text: str = "x") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_modules_beside_the_script_come_along(folder: Path, tmp_path: Path) -> None:
    put(folder / "nets" / "small.py", "LAYERS = 2\n")
    source.copy(folder, tmp_path / "code", "train.py")
    assert (tmp_path / "code" / "nets" / "small.py").read_text() == "LAYERS = 2\n"
    assert (tmp_path / "code" / "train.py").read_text() == "print('hello')\n"


@pytest.mark.parametrize(
    "file",
    [".git/config", ".env", "__pycache__/train.pyc", "node_modules/a.js", "runs/training/job/job.json", "venv/a"],
)
def test_what_is_no_source_stays_behind(folder: Path, file: str) -> None:
    put(folder / file)
    put(folder / "runs" / MARKER)
    put(folder / "venv" / "pyvenv.cfg")
    assert source.files(folder) == [Path("train.py")]


def test_a_link_that_leads_nowhere_stays_behind(folder: Path, tmp_path: Path) -> None:
    (folder / "gone.py").symlink_to(tmp_path / "nowhere")
    source.copy(folder, tmp_path / "code", "train.py")
    assert [path.name for path in (tmp_path / "code").iterdir()] == ["train.py"]


@pytest.mark.parametrize("entry_point", ["missing.py", "../train.py", "/etc/passwd", "nets"])
def test_a_script_has_to_be_in_the_folder(folder: Path, entry_point: str) -> None:
    put(folder.parent / "train.py")
    (folder / "nets").mkdir()
    with pytest.raises(UserError):
        source.check(folder, entry_point)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no source folder") as refused:
        source.check(tmp_path / "sorce", "train.py")
    assert "--source" in refused.value.hint


def test_data_in_the_source_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LIMIT_BYTES", 2_000_000)
    put(folder / "photos.bin", "x" * 3_000_000)
    with pytest.raises(UserError, match="holds 3 MB") as refused:
        source.check(folder, "train.py")
    assert "--channel" in refused.value.hint


def test_what_is_left_out_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LIMIT_BYTES", 2_000_000)
    put(folder / ".git" / "pack", "x" * 3_000_000)
    source.check(folder, "train.py")
