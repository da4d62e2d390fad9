"""`vizsla run`: scripts that know nothing of vizsla, run as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Ended, Run
from tests.photos import write_folder
from vizsla import source

EXAMPLES = ROOT / "examples"
SHOWS = "import json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]))\n"


def put(place: Path, text: str, name: str = "train.py") -> Path:
    place.mkdir(exist_ok=True)
    (place / name).write_text(text)
    return place / name


def log(document: dict[str, Any]) -> list[str]:
    files = sorted((Path(document["folder"]) / "checkpoints/vizsla/logs/job").iterdir())
    return [line for file in files for line in file.read_text().splitlines()]


def refused(ended: Ended, *said: str) -> None:
    """It was impossible, and the message and its cure say so."""
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) >= 2, ended.err
    for each in said:
        assert each in ended.err


def test_a_file_that_is_called_like_a_module_of_pythons_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Who trains stands in a folder of his own, with files of any name in it."""
    put(tmp_path, "raise SystemExit('not the one that was meant')", "random.py")
    script = put(tmp_path / "source", "print('loss=0.5')")
    program = Path(sysconfig.get_path("scripts"), "vizsla")
    command = [str(program), "run", str(script), "--metric", r"loss=loss=(\S+)", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"] == {"loss": 0.5}


# ---- the examples


def test_a_course_projects_training_script_runs_as_at_sagemaker(vizsla: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", {"disc": 12, "rows": 12})
    ended = vizsla(
        "run", "train_model.py", "--source", EXAMPLES, "--channel", f"training={tmp_path / 'photos'}",
        "--hp", "epochs=2", "--hp", "batch-size=8",
        "--metric", "average test loss=average test loss: ([0-9.]+);", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    document = ended.document
    lines = [line for line in log(document) if line.startswith("average test loss: ")]
    assert len(lines) == 2
    assert f"average test loss: {document['metrics']['average test loss']:.4f};" in lines[-1]
    assert (document["status"], document["reason"], document["entry_point"]) == ("Completed", None, "train_model.py")
    assert document["bundle"] == str(Path(document["folder"]) / "model")
    assert sorted(file.name for file in Path(document["bundle"]).iterdir()) == ["classes.json", "model.pth"]
    assert document["name"].startswith("train-model-")


def test_a_script_that_crashes_fails_its_job_and_says_why(vizsla: Run, tmp_path: Path) -> None:
    ended = vizsla("run", EXAMPLES / "crashes.py", "--metric", "loss=loss: ([0-9.]+);", "--json")
    assert ended.code == 1
    document = ended.document
    assert document["status"] == "Failed"
    assert document["reason"].endswith("RuntimeError: the third photo ate the gradient")
    assert document["metrics"] == {"loss": 0.5}
    assert "the third photo ate the gradient" in ended.err
    failure = (Path(document["folder"]) / "output" / "failure").read_text()
    assert failure.startswith("Traceback (most recent call last)")
    assert 'raise RuntimeError("the third photo ate the gradient")' in failure


def test_max_runtime_stops_a_script_and_is_the_reason(vizsla: Run) -> None:
    ended = vizsla(
        "run", EXAMPLES / "ignores_sigterm.py", "--set", "max_runtime=2s", "--set", "stop_grace=1s", "--json"
    )
    assert ended.code == 1
    assert (ended.document["status"], ended.document["reason"]) == ("Stopped", "max_runtime of 2 s is over")


# ---- what the script gets


def test_names_and_values_reach_the_script_as_they_were_typed(vizsla: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    put(tmp_path, SHOWS)
    ended = vizsla(
        "run", "train.py", "--channel", "training=a", "--channel", "other=b", "--name", "mine",
        "--hp", "my-Name=1", "--hp", "on=true", "--hp", 'text="two words"', "--hp", "sagemaker_region=x", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    arguments, environment, place = json.loads(log(ended.document)[-1])
    assert arguments == ["--my-Name", "1", "--on", "True", "--text", "two words"]
    assert environment["SM_HP_MY-NAME"] == "1"
    assert json.loads(environment["SM_CHANNELS"]) == ["other", "training"]
    assert Path(environment["SM_CHANNEL_TRAINING"]).resolve() == tmp_path / "a"
    assert Path(environment["SM_CHANNEL_OTHER"]).resolve() == tmp_path / "b"
    assert place == str(tmp_path / "vizsla-runs" / "training" / "mine" / "code")


def test_json_is_one_document_and_the_scripts_output_goes_elsewhere(vizsla: Run, tmp_path: Path) -> None:
    put(tmp_path, "print('hello from the script'); print('loss: nan;')\n")
    ended = vizsla("run", "train.py", "--metric", "loss=loss: ([a-z0-9.]+);", "--metric", "never=x([0-9])", "--json")
    assert ended.code == 0, ended.err
    assert "hello" not in ended.out
    document = ended.document
    assert set(document) == {
        "name", "kind", "status", "created", "job", "folder", "entry_point", "hyperparameters", "metrics", "bundle",
        "seconds", "rules", "issues", "reason", "hint", "exit_code",
    }  # fmt: skip
    assert document["metrics"] == {"loss": "nan", "never": None}
    assert document["bundle"] is None


def test_a_person_sees_what_the_script_prints_and_then_a_summary(vizsla: Run, tmp_path: Path) -> None:
    put(tmp_path, "print('hello from [bold]the[/bold] script'); print('loss: 0.25;')\n")
    ended = vizsla("run", "train.py", "--metric", "loss=loss: ([0-9.]+);", "--name", "mine")
    assert ended.code == 0, ended.err
    assert "hello from [bold]the[/bold] script" in ended.out.splitlines()
    rows = [line.split() for line in ended.out.splitlines() if line]
    assert ["loss", "0.25"] in rows
    assert ["folder", str(tmp_path / "vizsla-runs" / "training" / "mine")] in rows


RISING = "import time\nfor step in range(8):\n    print('loss:', 1 + step, flush=True)\n"
WATCHED = ("--metric", "loss=loss: ([0-9.]+)", "--rule", "loss_not_decreasing:num_steps=2")


def test_a_person_reads_what_the_rules_found(vizsla: Run, tmp_path: Path) -> None:
    put(tmp_path, RISING)
    ended = vizsla("run", "train.py", "--name", "mine", *WATCHED)
    assert ended.code == 0, ended.err
    assert "vizsla.rules" in ended.out
    assert "  rules   LossNotDecreasing: vizsla debug mine" in ended.out.splitlines()
    assert ["issues", "LossNotDecreasing"] in [line.split() for line in vizsla("show", "mine").out.splitlines()]


def test_a_person_reads_that_the_rules_found_nothing(vizsla: Run, tmp_path: Path) -> None:
    put(tmp_path, RISING.replace("1 + step", "9 - step"))
    ended = vizsla("run", "train.py", "--name", "mine", *WATCHED)
    assert "  rules   1 watched and found nothing: vizsla debug mine" in ended.out.splitlines()


def test_a_script_that_failed_goes_on_and_is_shown_like_a_new_one(vizsla: Run, tmp_path: Path) -> None:
    put(tmp_path, "import os, sys\nfile = os.environ['SM_OUTPUT_DATA_DIR'] + '/x'\n"
        "print('hello, loss: 0.25;', flush=True)\n"
        "if not os.path.exists(file):\n    open(file, 'w').close()\n    sys.exit(3)\n")  # fmt: skip
    assert vizsla("run", "train.py", "--metric", "loss=loss: ([0-9.]+);", "--name", "mine").code == 1
    ended = vizsla("train", "--resume", "mine")
    assert ended.code == 0, ended.err
    assert "hello, loss: 0.25;" in ended.out.splitlines()
    assert ["loss", "0.25"] in [line.split() for line in ended.out.splitlines()]


def test_the_script_that_ran_is_kept_when_its_source_changes(vizsla: Run, tmp_path: Path) -> None:
    script = put(tmp_path, "print('first')\n")
    document = vizsla("run", "train.py", "--json").document
    script.write_text("print('second')\n")
    assert (Path(document["folder"]) / "code" / "train.py").read_text() == "print('first')\n"


# ---- what cannot be


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.py"], "no script missing.py"),
        (["train.py", "--source", "nowhere"], "no source folder"),
        (["train.sh"], "no Python script"),
        (["train.py", "--channel", "training=nowhere"], "no folder nowhere"),
        (["train.py", "--channel", "tr aining=."], "cannot be a channel's name"),
        (["train.py", "--metric", "loss=loss: [0-9]+"], "has no group"),
        (["train.py", "--metric", "loss=loss: ([0-9]+"], "is no regular expression"),
        (["train.py", "--metric", "loss"], "is not a pair"),
        (["train.py", "--set", "lr=0.1"], "--hp lr="),
        (["train.py", "--set", "stop_grase=1"], "stop_grase"),
        (["train.py", "--set", "max_runtime=soon"], "max_runtime"),
        (["train.py", "--set", "max_runtime=0s"], "max_runtime"),
        (["train.py", "--hp", "lr"], "is not a pair"),
        (["train.py", "--name", "no_such name"], "cannot be a name"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    vizsla: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    put(tmp_path, "print('ran')\n")
    refused(vizsla("run", *arguments), said)
    assert not list(tmp_path.glob("vizsla-runs/training/*"))


def test_a_source_folder_with_data_in_it_is_refused(vizsla: Run, tmp_path: Path) -> None:
    put(tmp_path, "print('ran')\n")
    with (tmp_path / "photos.bin").open("wb") as file:
        file.truncate(source.LIMIT_BYTES + 1)
    refused(vizsla("run", "train.py"), "MB", "--channel")
    assert not (tmp_path / "vizsla-runs").exists()


def test_a_name_that_is_taken_is_refused(vizsla: Run, tmp_path: Path) -> None:
    put(tmp_path, "print('ran')\n")
    assert vizsla("run", "train.py", "--name", "mine").code == 0
    refused(vizsla("run", "train.py", "--name", "mine"), "already a training job called mine")


def test_a_script_that_removes_its_model_folder_has_no_bundle(vizsla: Run, tmp_path: Path) -> None:
    script = put(tmp_path, "import os, shutil\nshutil.rmtree(os.environ['SM_MODEL_DIR'])\n")
    ended = vizsla("run", script, "--json")
    assert (ended.code, ended.document["status"], ended.document["bundle"]) == (0, "Completed", None)
