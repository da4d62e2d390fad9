"""examples/reference.ipynb, run cell by cell as a reader would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "examples" / "reference.ipynb"


def outputs(cell: Any, kind: str) -> list[str]:
    """What a cell shows in one form: stdout, stderr, or a MIME type."""
    streams = [each["text"] for each in cell["outputs"] if each.get("name") == kind]
    return streams + [each["data"][kind] for each in cell["outputs"] if kind in each.get("data", {})]


# The kernel's own client is what warns of an event loop that it leaves open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_the_notebook_runs_from_photos_to_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIZSLA_TEST_PHOTOS", raising=False)
    monkeypatch.delenv("VIZSLA_WORKSPACE", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    read: Any = nbformat.read
    notebook = read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = {cell["source"].splitlines()[-1]: cell for cell in notebook.cells if cell["cell_type"] == "code"}
    lines = "".join(outputs(shown['tuner.fit({"training": photos})'], "stdout")).splitlines()
    assert len(lines) == 4
    assert not any("\x1b" in line for line in lines), "a notebook shows escape sequences as they are"
    assert "Completed" in outputs(shown["tuner"], "text/html")[0]
    assert "FinalObjectiveValue" in outputs(shown["tuner.analytics().dataframe()"], "text/html")[0]
    assert "held-out" in "".join(outputs(shown['best.fit({"training": photos})'], "stdout"))
    bundle = Path(outputs(shown["best.model_data"], "text/plain")[0].strip("'"))
    assert json.loads((bundle / "manifest.json").read_text())["classes"] == ["disc", "stripes"]
