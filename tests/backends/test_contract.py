"""The local backend keeps the contract that every backend has to keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend_contract import BackendContract
from vizsla.backends import local
from vizsla.backends.base import Backend
from vizsla.jobdir import JobDir
from vizsla.workspace import Workspace


class TestLocalBackend(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        workspace = Workspace(tmp_path / "runs")
        yield local.LocalBackend(workspace)
        for name in workspace.names("training"):
            local.kill(JobDir(workspace.find(name)))
