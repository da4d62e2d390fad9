"""Scripts written for smdebug, as processes: by hand with its folder on the path, and under `vizsla run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from smdebug import modes
from smdebug.trials import create_trial

from tests.conftest import ROOT, Run
from tests.photos import write_folder
from vizsla import container, records
from vizsla.job import ProfileSettings
from vizsla.jobdir import JobDir

EXAMPLE = ROOT / "examples" / "smdebug_train_model.py"
LOSS = "CrossEntropyLoss_output_0"
STEPS_AN_EPOCH = 4  # of 20 photos 16 are trained on, by fours
EVERYTHING = {
    "LocalPath": "out",
    "HookParameters": {"train.save_interval": "3", "eval.save_interval": "1"},
    "CollectionConfigurations": [
        {"CollectionName": "gradients", "CollectionParameters": {"save_interval": "2"}},
        {"CollectionName": "relu_output", "CollectionParameters": {"include_regex": ".*relu_output"}},
    ],
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write_folder(folder, {"disc": 10, "rows": 10})
    return folder


def by_hand(place: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in `place` as somebody starts it who put the folder on the path."""
    search = os.pathsep.join([str(container.SMDEBUG), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": search, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def metric_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "loss:" in line]


def log(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted((folder / "checkpoints/vizsla/logs/job").iterdir()))


def test_a_course_projects_script_runs_by_hand(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "hook.json").write_text(json.dumps(EVERYTHING))
    script: list[str | Path] = [EXAMPLE, "--data", photos, "--batch-size", "4"]
    done = by_hand(tmp_path, *script, SMDEBUG_CONFIG_FILE_PATH="hook.json")
    assert (done.returncode, done.stderr) == (0, "")
    trial = create_trial(tmp_path / "out")
    assert trial.loaded_all_steps
    assert trial.modes() == [modes.TRAIN, modes.EVAL]
    steps = 2 * STEPS_AN_EPOCH
    assert trial.tensor(LOSS).steps(modes.TRAIN) == list(range(0, steps, 3))
    assert trial.tensor("gradient/Net_fc.weight").steps(modes.TRAIN) == list(range(0, steps, 2))
    assert trial.tensor(LOSS).steps(modes.EVAL) == [0, 1]
    assert (trial.tensor("relu1_output_0").value(0, modes.TRAIN) >= 0).all()
    assert len(trial.tensor("scalar/test_accuracy").values(modes.EVAL)) == 2
    off = by_hand(tmp_path, *script, SMDEBUG_CONFIG_FILE_PATH="hook.json", USE_SMDEBUG="0")
    assert (off.returncode, metric_lines(off.stdout)) == (0, metric_lines(done.stdout))
    assert trial.tensor_names() == create_trial(tmp_path / "out").tensor_names()  # the second run wrote nothing


def test_a_course_projects_script_runs_as_a_job(vizsla: Run, tmp_path: Path, photos: Path) -> None:
    ended = vizsla(
        "run", EXAMPLE.name, "--source", EXAMPLE.parent, "--channel", f"training={photos}",
        "--hp", "batch-size=4", "--hp", "debug=true", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    folder = Path(ended.document["folder"])
    config = json.loads((folder / "input" / "config" / "debughookconfig.json").read_text())
    assert config["CollectionConfigurations"] == [{"CollectionName": "losses"}]
    found = records.read(folder / "checkpoints/vizsla/records", ["hook"])
    losses = [record for record in found if record.name == LOSS]
    assert [(record.mode, record.step, record.global_step) for record in losses] == [("train", 0, 0), ("eval", 0, 4)]
    accuracies = [record for record in found if record.kind == "metric"]
    assert [(record.name, record.mode) for record in accuracies] == [("test_accuracy", "eval")] * 2
    trial = create_trial(folder)
    assert trial.loaded_all_steps
    value = trial.tensor(LOSS).value(0, mode=modes.TRAIN)
    assert value == np.float32(losses[0].value["value"])  # type: ignore[index,arg-type]
    assert "smdebug:" not in log(folder)  # nothing failed


OWN_HOOK = """
import torch, smdebug.pytorch as smd
from smdebug import modes
from smdebug.trials import create_trial

often = smd.SaveConfig(save_interval=1)
hook = smd.Hook(out_dir="/opt/ml/output/tensors", include_collections=["weights"], save_config=often)
model = torch.nn.Linear(2, 1)
hook.register_module(model)
hook.set_mode(modes.TRAIN)
model(torch.ones(1, 2)).sum().backward()
hook.close()
for path in ("/opt/ml/output/tensors", hook.out_dir):
    trial = create_trial(path)
    assert trial.tensor("Linear_weight").value(0, modes.TRAIN).tolist() == model.weight.tolist(), path
"""


def test_in_a_job_a_hook_with_a_folder_of_its_own_writes_into_the_jobs(vizsla: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(OWN_HOOK)
    ended = vizsla("run", "train.py", "--json")
    assert ended.code == 0, ended.err
    folder = Path(ended.document["folder"])
    (file,) = {record.file for record in records.read(folder / "checkpoints/vizsla/records") if record.file}
    assert file == "checkpoints/vizsla/tensors/train/000000000.safetensors"
    assert (folder / file).is_file()


def test_a_job_with_the_kill_switch_has_no_tensors(vizsla: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(OWN_HOOK.partition("for path")[0])
    ended = vizsla("run", "train.py", "--json", USE_SMDEBUG="0")
    assert ended.code == 0, ended.err
    assert not (Path(ended.document["folder"]) / "checkpoints/vizsla/records/hook").exists()


def test_a_hook_is_told_what_the_job_asks_for(tmp_path: Path) -> None:
    folder = JobDir(tmp_path)
    asked: dict[str, Any] = {"CollectionConfigurations": [{"CollectionName": "gradients"}]}
    variables = container.hooked(folder, 2, asked, ProfileSettings(interval_ms=200, num_steps=3))
    assert variables == {
        "SMDEBUG_CONFIG_FILE_PATH": str(folder.config / "debughookconfig.json"),
        "SMPROFILER_CONFIG_PATH": str(folder.config / "profilerconfig.json"),
        "VIZSLA_JOB": str(tmp_path),
        "VIZSLA_ATTEMPT": "2",
    }
    assert json.loads((folder.config / "debughookconfig.json").read_text()) == asked
    assert json.loads((folder.config / "profilerconfig.json").read_text()) == {
        "DisableProfiler": False,
        "ProfilingIntervalInMilliseconds": 200,
        "ProfilingParameters": {
            "ProfilerEnabled": "true",
            "LocalPath": "/opt/ml/output/profiler",
            "DetailedProfilingConfig": '{"StartStep": 0, "NumSteps": 3}',
        },
    }


def test_a_scripts_phases_are_recorded_by_mode_and_its_operators_where_they_are_asked_for(
    vizsla: Run, photos: Path
) -> None:
    ended = vizsla("run", EXAMPLE, "--channel", f"training={photos}", "--set", "profile.num_steps=3", "--json")
    assert ended.code == 0, ended.err
    folder = Path(ended.document["folder"])
    found = [one for one in records.read(folder / "checkpoints/vizsla/records") if one.kind == "phase"]
    trained = {(one.name, one.step) for one in found if one.mode == "train" and isinstance(one.value, float)}
    assert trained == {
        (name, step) for name in ("load", "observe", "forward", "backward", "update") for step in range(2)
    }
    assert [(one.step, one.global_step) for one in found if one.name == "evaluate"] == [(0, 1), (1, 3)]
    (profile,) = (one for one in found if one.name == "profile")
    assert profile.file == "checkpoints/vizsla/profile/1-trace.json.gz"
    assert (folder / profile.file).is_file()
    operators = [one.value for one in found if one.name == "operator"]
    assert "aten::convolution_backward" in {one["operator"] for one in operators if isinstance(one, dict)}
    assert "USDT" not in log(folder)


def test_a_script_whose_profiler_is_off_has_no_phases(vizsla: Run, photos: Path) -> None:
    ended = vizsla("run", EXAMPLE, "--channel", f"training={photos}", "--set", "profile.enabled=false", "--json")
    assert ended.code == 0, ended.err
    found = records.read(Path(ended.document["folder"]) / "checkpoints/vizsla/records")
    assert {one.kind for one in found} == {"attempt", "tensor", "metric"}


# ---- and nowhere else


def test_smdebug_is_not_in_the_users_environment(tmp_path: Path) -> None:
    done = by_hand(tmp_path, "-c", "import vizsla, smdebug", PYTHONPATH=str(ROOT))
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'smdebug'"


def test_only_smdebug_is_put_on_a_scripts_path() -> None:
    assert [each.name for each in container.SMDEBUG.iterdir() if each.name != "__pycache__"] == ["smdebug"]


def test_no_module_of_torch_is_patched(tmp_path: Path) -> None:
    code = (
        "import torch\n"
        "before = {name: vars(torch.nn.Module)[name] for name in vars(torch.nn.Module)}\n"
        "import smdebug.pytorch as smd\n"
        "smd.Hook(out_dir='out').register_module(torch.nn.Linear(1, 1))\n"
        "assert before == {name: vars(torch.nn.Module)[name] for name in vars(torch.nn.Module)}\n"
    )
    done = by_hand(tmp_path, "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
