"""Scripts under AWS's own `train` and under `vizsla run`: what they see, name by name, and how they end.

Whatever is not equal has to be in differences.py, with its reason; whatever is there has to differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT
from tests.contract.conftest import Asked, Ran, under_sagemaker, under_vizsla
from tests.contract.differences import ABSENT, ENDINGS, ENVIRONMENT, Difference
from tests.photos import write_folder

PROBE = Path(__file__).parent / "probe.py"
PAGE = ROOT / "docs" / "sagemaker-contract.md"
HYPERPARAMETERS = {
    "lr": "0.003",
    "epochs": "3",
    "use_amp": "true",
    "Pretrained": "False",
    "arch": '"resnet 18"',
    "plain": "a=b, 'c'",
    "umlaut": "größe",
    "batch-size": "64",
    "b": "2",
    "nothing": "null",
    "sizes": "[1, 2]",
    "weights": '{"y": 0.5, "x": 1}',
    "_tuning_objective_metric": "average test loss",
    "sagemaker_region": "eu-west-1",
    "sagemaker_container_log_level": "10",
    "sagemaker_mpi_enabled": "false",
}


class Both(NamedTuple):
    """One job under each."""

    toolkit: Ran
    vizsla: Ran


def run(
    place: Path, script: Path, channels: dict[str, Path], hyperparameters: dict[str, str], needs_torch: bool = False
) -> Both:
    source = place / "source"
    (source / "parts").mkdir(parents=True)
    (source / "parts" / "part.py").touch()
    (source / script.name).write_text(script.read_text())
    asked = Asked(source, script.name, hyperparameters, channels, needs_torch)
    return Both(under_sagemaker(asked, place / "toolkit"), under_vizsla(asked, place / "vizsla"))


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory, channels: dict[str, Path]) -> Both:
    """The probe with every kind of hyperparameter under both."""
    both = run(tmp_path_factory.mktemp("probed"), PROBE, channels, HYPERPARAMETERS)
    assert (both.toolkit.code, both.vizsla.code) == (0, 0), both
    return both


@pytest.fixture(scope="module", params=["exception", "exit", "own"])
def failed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Both]:
    """A way to fail, and the probe that failed so under both."""
    how = str(request.param)
    return how, run(tmp_path_factory.mktemp(how), PROBE, {}, {"fail": how})


def seen(ran: Ran) -> dict[str, str]:
    """Each variable by its name; of SM_TRAINING_ENV, which holds all of them once more, each of its keys."""
    variables = {name: text for name, text in ran.found["environment"].items() if name != "PWD"}  # a shell's
    everything = json.loads(variables.pop("SM_TRAINING_ENV"))
    variables |= {
        f"SM_TRAINING_ENV: {key}": each if isinstance(each, str) else json.dumps(each)
        for key, each in everything.items()
    }
    return {
        name: text.replace(str(ran.source), "SOURCE").replace(str(ran.folder), "BASE")
        for name, text in variables.items()
    }


def unexplained(toolkit: dict[str, str], vizsla: dict[str, str], known: Sequence[Difference]) -> list[str]:
    """What differs and is not in the table, and what is in the table and differs otherwise or not at all."""
    table = {each.name: each for each in known}
    wrong = []
    for name in sorted({*toolkit, *vizsla, *table}):
        pair = toolkit.get(name, ABSENT), vizsla.get(name, ABSENT)
        if name not in table:
            fine = pair[0] == pair[1]
        else:
            fine = fnmatchcase(pair[0], table[name].toolkit) and fnmatchcase(pair[1], table[name].vizsla)
            fine = fine and pair[0] != pair[1]
        if not fine:
            wrong.append(f"{name}: {pair[0]} | {pair[1]}")
    return wrong


def known(name: str) -> Difference:
    return next(each for each in ENDINGS if each.name == name)


# ---- what a script sees


def test_variables_are_the_same_name_by_name(probed: Both) -> None:
    assert unexplained(seen(probed.toolkit), seen(probed.vizsla), ENVIRONMENT) == []


def test_arguments_are_the_same(probed: Both) -> None:
    assert probed.vizsla.found["arguments"] == probed.toolkit.found["arguments"]
    own = [name for name in HYPERPARAMETERS if not name.startswith(("sagemaker_", "_tuning_"))]
    assert len(probed.vizsla.found["arguments"]) == 1 + 2 * len(own)


def test_scripts_start_in_the_same_folder(probed: Both) -> None:
    assert [Path(ran.found["folder"]).relative_to(ran.folder) for ran in probed] == [Path("code")] * 2


@pytest.mark.parametrize("name", ["hyperparameters", "inputdataconfig", "resourceconfig", "debughookconfig"])
def test_configuration_is_the_same(probed: Both, name: str) -> None:
    toolkit, vizsla = (ran.found["config"][f"{name}.json"] for ran in probed)
    assert vizsla == toolkit


@pytest.mark.parametrize("name", ["code", "input", "model", "output"])
def test_a_script_finds_the_same_files(probed: Both, name: str) -> None:
    toolkit, vizsla = (ran.found["trees"][name] for ran in probed)
    assert vizsla == toolkit


# ---- how it ends


def test_a_success_is_marked_by_the_toolkit_alone(probed: Both) -> None:
    found = [
        {"output/success": mark.read_text() if (mark := ran.folder / "output" / "success").exists() else ABSENT}
        for ran in probed
    ]
    assert unexplained(found[0], found[1], [known("output/success")]) == []


def test_a_failure_ends_both_with_1(failed: tuple[str, Both]) -> None:
    _, both = failed
    assert (both.toolkit.code, both.vizsla.code) == (1, 1)


def test_a_failure_file_says_what_happened(failed: tuple[str, Both]) -> None:
    how, both = failed
    if how == "own":
        assert both.toolkit.failure == both.vizsla.failure == "the data are too few"
        return
    name = {"exception": "output/failure after an exception", "exit": "output/failure after sys.exit(3)"}[how]
    assert unexplained({name: both.toolkit.failure}, {name: both.vizsla.failure}, [known(name)]) == []


# ---- a real script


def test_a_training_prints_the_same_losses(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_folder(photos, {"disc": 16, "stripes": 16}, seed=1)
    script = ROOT / "examples" / "train_model.py"
    settings = {"epochs": "3", "batch-size": "8", "lr": "0.01"}
    both = run(tmp_path / "jobs", script, {"training": photos}, settings, needs_torch=True)
    assert (both.toolkit.code, both.vizsla.code) == (0, 0), both
    toolkit, vizsla = (re.findall(r"average test loss: [0-9.]+; accuracy: [0-9.]+;", ran.log) for ran in both)
    assert vizsla == toolkit
    assert len(vizsla) == 3
    classes = [(ran.folder / "model" / "classes.json").read_text() for ran in both]
    assert classes[0] == classes[1]
    assert all((ran.folder / "model" / "model.pth").exists() for ran in both)


# ---- the page


def test_the_page_names_every_difference() -> None:
    page = PAGE.read_text()
    assert [each.name for each in (*ENVIRONMENT, *ENDINGS) if each.row not in page] == []
    assert page.count("\n| `") == len(ENVIRONMENT) + len(ENDINGS)


def test_the_page_names_every_variable_that_is_equal(probed: Both) -> None:
    differ = {each.name for each in ENVIRONMENT} | {"PATH", "HOME", "LC_CTYPE"}  # not of the launcher's making
    names = {name for name in seen(probed.vizsla) if ":" not in name and name not in differ}
    general = {re.sub("^(SM_HP|SM_CHANNEL)_.*", r"\1_<NAME>", name) for name in names}
    page = PAGE.read_text()
    assert sorted(name for name in general if f"`{name}`" not in page) == []
