"""Scripts and photos for the Python face. Scripts load no torch: they start at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.photos import write_folder
from vizsla.sdk import arguments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Its loss is the distance of --batch-size from 64 and of --lr from 0.005, once an epoch.
SCRIPT = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--epochs", type=int, default=1)
given = parser.parse_args()
assert os.listdir(os.environ["SM_CHANNEL_TRAINING"])
for epoch in range(given.epochs):
    print(f"loss={abs(given.lr - 0.005) + abs(given.batch_size - 64) / 64:.6f};")
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(str(given.lr))
"""
METRICS = [{"Name": "loss", "Regex": "loss=([0-9.]+);"}]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with photos/, code/train.py and, once something ran, vizsla-runs/; nothing was said yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIZSLA_WORKSPACE", raising=False)
    write_folder(tmp_path / "photos", {"disc": 12, "rows": 12})
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(SCRIPT)
    arguments._told.cache_clear()
    yield tmp_path
    arguments._told.cache_clear()
