"""`vizsla export --format sagemaker-profiler`, read by smdebug itself: what notebooks of SageMaker's find in it."""

from __future__ import annotations

import cProfile
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.jobs import ended
from tests.conftest import ROOT, Trained
from vizsla import records
from vizsla.api import exporting
from vizsla.jobdir import JobDir
from vizsla.records import Record, Writer
from vizsla.segments import Segments

PYTHON = ROOT / ".venv-contract" / "bin" / "python"
READER = Path(__file__).parent / "reader.py"


def read(folder: JobDir, place: Path) -> dict[str, Any]:
    """What smdebug's readers find in the export of a job."""
    exporting.export(folder, "sagemaker-profiler", place / "profiler-output")
    found = place / "found.json"
    subprocess.run([PYTHON, READER, place / "profiler-output", found], check=True, capture_output=True)
    document: dict[str, Any] = json.loads(found.read_text())
    return document


@pytest.fixture(scope="module")
def found(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a real training."""
    return read(JobDir(trained.folder), tmp_path_factory.mktemp("export"))


def recorded(trained: Trained, kind: str, name: str) -> list[Record]:
    whole = records.read(trained.folder / "checkpoints" / "vizsla" / "records")
    return [record for record in whole if (record.kind, record.name) == (kind, name)]


def test_every_sample_is_found_at_its_time(trained: Trained, found: dict[str, Any]) -> None:
    samples = {record.t: record.value for record in recorded(trained, "system", "sample")}
    for number, dimension, figure in ((0, "CPUUtilization", "cores"), (0, "I/OWaitPercentage", "iowait")):
        read_back = {
            each["t"]: each["value"]
            for each in found["system"]
            if (each["name"], each["dimension"]) == (f"cpu{number}", dimension)
        }
        assert read_back == {t: value[figure][number] for t, value in samples.items()}  # type: ignore[index]
    assert {each["node"] for each in found["system"]} == {"algo-1"}


def test_every_step_is_found_with_its_phases(trained: Trained, found: dict[str, Any]) -> None:
    steps = len({record.step for record in recorded(trained, "phase", "update")})
    phases = Counter(each["phase"] for each in found["framework"])
    assert {phase: phases[phase] for phase in ("Step:ModeKeys.TRAIN", "DataLoaderIter", "Forward")} == dict.fromkeys(
        ("Step:ModeKeys.TRAIN", "DataLoaderIter", "Forward"), steps
    )
    assert phases["Step:ModeKeys.EVAL"] == len(recorded(trained, "phase", "evaluate"))
    numbers = [int(each["step"]) for each in found["framework"] if each["phase"] == "Step:ModeKeys.TRAIN"]
    assert numbers == list(range(steps))


def test_a_phase_begins_and_lasts_as_it_was_recorded(trained: Trained, found: dict[str, Any]) -> None:
    first = recorded(trained, "phase", "forward")[0]
    (same,) = [each for each in found["framework"] if (each["phase"], each["step"]) == ("Forward", "0")]
    assert abs(same["start_us"] - first.t * 1e6) < 2
    assert abs(same["length_us"] - float(str(first.value)) * 1e6) < 2


def test_notebooks_get_their_data_frames(found: dict[str, Any]) -> None:
    assert found["frames"] == {"system": len(found["system"]), "framework": len(found["framework"])}


def test_pythons_own_profile_is_found(tmp_path: Path) -> None:
    folder = ended(tmp_path)
    profile = cProfile.Profile()
    profile.runcall(sum, range(10))
    profile.dump_stats(folder.checkpoints / "python.pstats")
    with Writer(Segments(folder.records / "profile", 1)) as writer:
        writer.write(Record(10.0, "phase", "forward", mode="train", step=3, value=0.1))
        value = {"seconds": 2.0, "steps": 4}
        writer.write(
            Record(10.0, "phase", "python", mode="train", step=3, value=value, file="checkpoints/python.pstats")
        )
    (stats,) = read(folder, tmp_path)["python"]
    assert (stats["start_step"], stats["end_step"]) == (3, 6)
    assert Path(stats["file"]).read_bytes() == (folder.checkpoints / "python.pstats").read_bytes()
