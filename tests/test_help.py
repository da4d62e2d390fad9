"""What somebody sees who does not know vizsla yet, and that it answers without loading what trains.

Loaded modules are read from Python's own import log, in a process started as a user starts it. typer loads rich to
print help, and (0.29) pydantic as soon as a command has parameters to parse; vizsla itself loads neither there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import Run

HEAVY = {"torch", "torchvision", "timm", "numpy", "PIL", "sklearn", "scipy", "safetensors", "psutil", "optuna", "onnx"}
COMMANDS = ["train", "predict", "evaluate", "data", "data check", "data import", "models", "demo"]
COMMANDS += [
    "plan",
    "cache",
    "cache clear",
    "run",
    "tune",
    "debug",
    "profile",
    "export",
    "report",
    "ps",
    "show",
    "logs",
    "stop",
    "rm",
    "rebuild",
]


def loaded(*arguments: str) -> set[str]:
    """Full names of the modules that `vizsla ARGUMENTS` imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "vizsla", *arguments], capture_output=True, text=True, check=True
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "vizsla.cli.main" in names
    return names


def libraries(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_help_loads_nothing_heavy() -> None:
    assert not libraries(loaded("--help")) & (HEAVY | {"pydantic", "pydantic_core"})


@pytest.mark.parametrize("command", ["", "--version", "train --help", "run --help", "tune --help", "ps --help"])
def test_no_explanation_loads_what_trains(command: str) -> None:
    assert not libraries(loaded(*command.split())) & HEAVY


@pytest.mark.parametrize("command", ["", "--help", "train --help", "run --help", "tune --help", "ps --help"])
def test_an_explanation_takes_the_command_line_only(command: str) -> None:
    ours = {name for name in loaded(*command.split()) if re.fullmatch(r"vizsla(\..+)?", name)}
    assert {name for name in ours if not name.startswith("vizsla.cli")} <= {"vizsla", "vizsla.errors"}


def test_help_names_every_command(vizsla: Run) -> None:
    ended = vizsla("--help")
    assert ended.code == 0
    listed = re.findall(r"^\W*(\w+)  +\w", ended.out, flags=re.MULTILINE)
    assert set(listed) >= {name for name in COMMANDS if " " not in name}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(vizsla: Run, command: str) -> None:
    ended = vizsla(*command.split(), "--help")
    assert ended.code == 0
    assert "Usage: " in ended.out
    assert ended.err == ""


def test_a_bare_vizsla_greets_and_shows_three_things_to_do(vizsla: Run) -> None:
    ended = vizsla()
    assert (ended.code, ended.err) == (0, "")
    first, then = ended.out.split("\nthen\n")
    assert "a folder of photos becomes a classifier" in first
    assert re.findall(r"^  vizsla (\S+(?: check)?)", first, flags=re.MULTILINE) == ["demo", "data check", "train"]
    assert "vizsla predict NAME" in then


def test_the_version_is_that_of_the_package(vizsla: Run) -> None:
    ended = vizsla("--version")
    assert (ended.code, ended.out) == (0, f"vizsla {version('vizsla')}\n")


def test_the_installed_program_is_the_same(tmp_path: Path) -> None:
    program = Path(sysconfig.get_path("scripts"), "vizsla")
    done = subprocess.run([program, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"vizsla {version('vizsla')}\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("trian photos", "Did you mean 'train'?"),
        ("data chekc photos", "Did you mean 'check'?"),
        ("train --epochs 3", "No such option: --epochs"),
        ("predict", "Missing argument"),
        ("predict NAME", "Missing argument"),
        ("data import mnist photos", "'elpv'"),
        ("train", "vizsla train DIR"),
    ],
)
def test_what_cannot_be_typed_ends_with_2_and_a_hint(vizsla: Run, command: str, said: str) -> None:
    ended = vizsla(*command.split())
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_who_has_read_enough_is_told_nothing_more(tmp_path: Path, arguments: list[str]) -> None:
    """As `vizsla | head -1` does it: the pipe is closed while there is still something to say."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "vizsla", *arguments],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""


def test_the_public_names_cost_nothing_until_they_are_asked_for() -> None:
    code = "import sys, vizsla; print(*sys.modules); vizsla.Estimator; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = ({name.partition(".")[0] for name in line.split()} for line in done.stdout.splitlines())
    assert not before & (HEAVY | {"pydantic", "rich", "typer"})
    assert not after & {"torch", "torchvision", "timm", "optuna", "PIL", "sklearn"}
