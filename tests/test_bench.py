"""The benchmarks never run here, but stay runnable: importable, and with a --help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.report import Section, spread, write
from tests.conftest import ROOT


@pytest.mark.parametrize("program", ["run", "seed_recipe.py"])
def test_programs_explain_themselves(program: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / program, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_results_name_the_machine_and_hold_the_tables(tmp_path: Path) -> None:
    section = Section("Speed", "Two things.", ("what", "time"), [("one", spread([2.0, 1.0, 3.0]))])
    write([section], tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    assert "cores" in text
    assert "| one | 2.00 s (1.00 to 3.00) |" in text
