"""What tests share: the real dog photos where they are, the vizsla program, and one bundle trained once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: tests share their cores with other processes

from tests.photos import write_folder

hypothesis_settings.register_profile("shared-machine", deadline=None)  # times are measured in bench/, not in tests
hypothesis_settings.load_profile("shared-machine")

ROOT = Path(__file__).parent.parent
DOGS = Path(os.environ.get("VIZSLA_TEST_PHOTOS", ROOT.parent / "shared" / "data" / "dogs"))
NO_DOGS = f"no real photos at {DOGS}; name their folder with VIZSLA_TEST_PHOTOS"

# A network that is small and fast on pictures of 48 pixels: behaviour is tested, not accuracy.
TINY = (
    "model=test_resnet",
    "weights=none",
    "image.size=48",
    "train_from=all",
    "batch_size=16",
    "lr=0.003",
    "method=finetune",
    "probe.stages=none",
    # What is given is not measured, and a start of seconds would be most of these trainings.
    "run.threads=1",
    "run.engine=torch",
    "run.memory_format=channels_last",
    "run.loader_workers=1",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not DOGS.is_dir():
        for item in items:
            if item.get_closest_marker("dogs"):
                item.add_marker(pytest.mark.skip(reason=NO_DOGS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test on real photos may not be skipped while the photos are there."""
    report = yield
    if report.skipped and item.get_closest_marker("dogs") and DOGS.is_dir() and os.environ.get("CI"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this run of the tests' own, which all its processes share: the user's is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        shared = tmp_path_factory.getbasetemp()
        place = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
        patch.setenv("VIZSLA_CACHE", str(place / "vizsla-cache"))
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Two threads of torch wait for each other longer than small pictures take."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def dogs() -> Path:
    """The folder of real photos, one folder a breed."""
    return DOGS


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Run = Callable[..., Ended]


def run_vizsla(*arguments: str | Path, cwd: Path, **environment: str) -> Ended:
    """Runs the vizsla program as a user would, in `cwd`."""
    done = subprocess.run(
        [sys.executable, "-m", "vizsla", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", **environment},
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def vizsla(tmp_path: Path) -> Run:
    """The vizsla program, run in a folder of its own."""
    return lambda *arguments, **environment: run_vizsla(*arguments, cwd=tmp_path, **environment)


def settings(*more: str) -> list[str]:
    """--set options for the tiny network, and `more`."""
    return [part for pair in (*TINY, *more) for part in ("--set", pair)]


@dataclass(frozen=True)
class Trained:
    """A finished training on made pictures."""

    place: Path
    photos: Path
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def folder(self) -> Path:
        return Path(self.document["folder"])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One job, trained once for all tests through the vizsla program. Do not change its folder."""
    place = tmp_path_factory.mktemp("trained")
    photos = place / "photos"
    write_folder(photos, {"disc": 24, "stripes": 20, "checker": 16}, seed=1)
    (photos / "disc" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    ended = run_vizsla("train", photos, *settings("epochs=3"), "--json", "--name", "shapes", cwd=place)
    assert ended.code == 0, ended.err
    return Trained(place, photos, ended.document)
