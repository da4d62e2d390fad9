"""Imports go down only, as docs/architecture.md says: read from the source of every module, without running it.

A name imported for type checkers only counts as knowledge of another layer, so directions hold for it too; it loads
nothing, so it may name any library and closes no cycle. An import inside a function loads nothing at start: there only
what a side must never touch is forbidden. Imports by a computed name are not seen; tests/test_help.py sees what loads.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

import pytest

from tests.conftest import ROOT

VALUES = (
    "errors words files backbones keys job plan machine process source container jobdir workspace segments records "
    "bundle logs memory profilerconfig cache locks"
)

# Layer → the modules and packages in it. A new module has to find its place here.
LAYERS = {
    "front door": ["vizsla"],  # the public names; each is loaded when it is asked for
    "faces": ["vizsla.__main__", "vizsla.cli", "vizsla.console", "vizsla.sdk"],
    "use cases": ["vizsla.api"],
    "tuning": ["vizsla.tuning"],
    "places": ["vizsla.backends", "vizsla.store"],
    "worker": ["vizsla.worker", "vizsla.answers", "vizsla.supervise", "vizsla.program", "vizsla.watcher"],
    "other loops": ["vizsla.debugger", "vizsla.profiler", "vizsla.compat"],  # of the user's own process
    "training": ["vizsla.training", "vizsla.observers"],  # the loop's events are what observers see
    "serving": ["vizsla.serving"],
    "vision": ["vizsla.vision"],
    "analysis": ["vizsla.analysis"],
    "values": [f"vizsla.{name}" for name in VALUES.split()],
}
MAY_KNOW = {
    "front door": {"faces", "values"},
    "faces": {"front door", "faces", "use cases", "tuning", "values"},
    "use cases": {"use cases", "tuning", "places", "analysis", "values"},
    "tuning": {"tuning", "places", "values"},
    "places": {"places", "values"},
    "worker": {"worker", "training", "serving", "vision", "analysis", "values"},
    "other loops": {"other loops", "training", "analysis", "values"},
    "training": {"training", "vision", "analysis", "values"},
    "serving": {"serving", "vision", "values"},
    "vision": {"vision", "values"},
    "analysis": {"analysis", "values"},
    "values": {"values"},
}
# Libraries that are loaded with a module; the longest name that fits decides.
MAY_LOAD = {
    "vizsla": set[str](),
    "vizsla.cli": {"typer"},
    "vizsla.console": {"rich"},
    "vizsla.sdk": set[str](),
    "vizsla.console.text": set[str](),
    "vizsla.analysis": {"pydantic", "jinja2", "markupsafe"},
    "vizsla.api.requests": {"pydantic"},
    "vizsla.backends.local": {"psutil"},
    "vizsla.tuning": {"pydantic"},
    "vizsla.debugger": {"torch"},
    "vizsla.profiler": {"torch"},
    "vizsla.compat": {"torch", "numpy", "safetensors"},
    "vizsla.training": {"numpy", "torch"},
    "vizsla.observers": {"numpy", "torch", "safetensors"},
    "vizsla.observers.system": {"psutil"},  # beside a job or a loop, without torch
    "vizsla.observers.tree": set[str](),
    "vizsla.observers.gpus": set[str](),
    "vizsla.serving": {"numpy"},
    "vizsla.training.probe": {"numpy"},
    "vizsla.training.views": {"numpy", "PIL"},
    "vizsla.vision.networks": {"torch"},
    "vizsla.vision.cutting": {"torch"},
    "vizsla.vision.halves": {"torch"},
    "vizsla.vision.pooled": {"torch"},
    "vizsla.vision.shadows": {"torch"},
    "vizsla.vision.preprocess": {"numpy", "PIL"},
    "vizsla.keys": {"pydantic", "pydantic_core"},
    "vizsla.job": {"pydantic"},
    "vizsla.plan": {"pydantic"},
    "vizsla.profilerconfig": {"pydantic"},
    "vizsla.memory": {"psutil"},
    "vizsla.process": {"psutil"},
    "vizsla.supervise": {"psutil"},
}
# What a layer must not touch even in a function: layers, and libraries.
FACES_SIDE = ("front door", "faces", "use cases", "tuning", "places", "analysis", "values")
WORKERS_SIDE = {"worker", "training", "serving", "vision"}
NEVER = {layer: WORKERS_SIDE | {"torch", "torchvision", "timm", "sklearn"} for layer in FACES_SIDE} | {
    "serving": {"training", "worker"},
    "vision": {"training", "worker", "serving"},
}


@dataclass(frozen=True)
class Import:
    """`module` imports `target`, a module of ours or the top name of a library."""

    module: str
    target: str
    when: Literal["load", "call", "types"]


def modules(root: Path) -> dict[str, Path]:
    """Dotted name → file of every module below `root`, the folder that holds the package."""
    found = {}
    for file in sorted(root.glob("vizsla/**/*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(root: Path) -> list[Import]:
    """Every import of every module that is not of the standard library."""
    ours = modules(root)
    found = []
    for module, file in ours.items():
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node, when in _statements(ast.parse(file.read_text()), "load"):
            names = (name if name in ours else name.partition(".")[0] for name in _targets(node, package, ours))
            found += [Import(module, name, when) for name in names if name not in sys.stdlib_module_names]
    return found


def _statements(
    node: ast.AST, when: Literal["load", "call", "types"]
) -> Iterator[tuple[ast.Import | ast.ImportFrom, Literal["load", "call", "types"]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, when
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _statements(child, "call")
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for inner in child.body:
                yield from _statements(ast.Module([inner], []), "types")
            for inner in child.orelse:
                yield from _statements(ast.Module([inner], []), when)
        else:
            yield from _statements(child, when)


def _targets(node: ast.Import | ast.ImportFrom, package: str, ours: Mapping[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
    origin = ".".join(part for part in (above, node.module) if part)
    return sorted({f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in ours else origin for alias in node.names})


def layer_of(module: str) -> str | None:
    """The layer a module is in; only the package itself is in a layer by the bare name `vizsla`."""
    for layer, names in LAYERS.items():
        if any(module == name or (name != "vizsla" and module.startswith(f"{name}.")) for name in names):
            return layer
    return None


def may_load(module: str) -> set[str]:
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(MAY_LOAD[name] for name in names if name in MAY_LOAD)


def breaches(root: Path) -> list[str]:
    """A sentence for each import that goes where it must not, and for each module that has no layer."""
    homeless = [f"{module} is in no layer" for module in modules(root) if layer_of(module) is None]
    return sorted({*homeless, *filter(None, map(_breach, imports(root)))})


def _breach(one: Import) -> str | None:
    layer = layer_of(one.module)
    target = layer_of(one.target)
    if layer is None:
        return None
    if NEVER.get(layer, set()) & {target, one.target}:
        return f"{one.module} must never import {one.target}"
    if target and one.when != "call" and target not in MAY_KNOW[layer]:
        return f"{one.module} must not import {one.target}"
    if target is None and one.when == "load" and one.target not in may_load(one.module):
        return f"{one.module} must not load {one.target}"
    return None


def cycle(root: Path) -> list[str]:
    """Modules that load each other in a circle, or nothing."""
    graph: dict[str, set[str]] = {module: set() for module in modules(root)}
    for one in imports(root):
        if one.when == "load" and one.target in graph:
            graph[one.module].add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


# ---- vizsla itself


def test_imports_go_down_only() -> None:
    assert breaches(ROOT) == []


def test_no_modules_load_each_other() -> None:
    assert cycle(ROOT) == []


def test_the_imports_of_vizsla_are_seen() -> None:
    found = imports(ROOT)
    assert Import("vizsla.api.training", "vizsla.backends.local", "load") in found
    assert Import("vizsla.training.loop", "torch", "load") in found
    assert Import("vizsla.worker", "vizsla.training.classifier", "call") in found
    assert Import("vizsla.serving.predictor", "torch", "types") in found


# ---- trees with one mistake


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """A package that holds the modules that `files` import, and `files`."""
    for layer in LAYERS.values():
        for name in layer:
            (root / name.replace(".", "/")).mkdir(parents=True, exist_ok=True)
            (root / name.replace(".", "/") / "__init__.py").touch()
    for name in ("training/loop", "serving/predictor", "api/jobs", "backends/local", "vision/preprocess", "cli/main"):
        (root / "vizsla" / f"{name}.py").touch()
    for name, text in files.items():
        (root / "vizsla" / name).write_text(text)
    return root


def test_a_tree_without_a_mistake_is_let_through(tmp_path: Path) -> None:
    good = {
        "cli/main.py": "import typer\nfrom vizsla.api import jobs\ndef f():\n    import rich",
        "api/jobs.py": "from vizsla.backends import local\nfrom .. import plan",
        "bundle/__init__.py": "def f():\n    import numpy",
        "worker/__init__.py": "def f():\n    from vizsla.training import loop",
        "training/loop.py": "import torch.nn\nfrom vizsla.vision.preprocess import x\nimport vizsla.plan",
        "serving/predictor.py": "import json, numpy as np\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from torch import nn\ndef f():\n    import torch",
    }
    assert breaches(tree(tmp_path, good)) == []
    assert cycle(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("cli/main.py", "from vizsla.training import loop", "vizsla.cli.main must never import vizsla.training.loop"),
        ("cli/main.py", "from vizsla.backends import local", "vizsla.cli.main must not import vizsla.backends.local"),
        ("cli/main.py", "import numpy", "vizsla.cli.main must not load numpy"),
        (
            "api/jobs.py",
            "from ..serving.predictor import P",
            "vizsla.api.jobs must never import vizsla.serving.predictor",
        ),
        ("api/jobs.py", "from vizsla import cli", "vizsla.api.jobs must not import vizsla.cli"),
        ("api/jobs.py", "def f():\n    import torch.nn", "vizsla.api.jobs must never import torch"),
        ("api/jobs.py", "f = lambda: 1\nclass C:\n    import rich", "vizsla.api.jobs must not load rich"),
        ("backends/local.py", "import vizsla.worker", "vizsla.backends.local must never import vizsla.worker"),
        ("backends/local.py", "from vizsla.api import jobs", "vizsla.backends.local must not import vizsla.api.jobs"),
        (
            "backends/local.py",
            "try:\n    import timm\nexcept ImportError:\n    pass",
            "vizsla.backends.local must never import timm",
        ),
        ("worker/__init__.py", "from vizsla.api import jobs", "vizsla.worker must not import vizsla.api.jobs"),
        (
            "training/loop.py",
            "from vizsla.backends import local",
            "vizsla.training.loop must not import vizsla.backends.local",
        ),
        ("training/loop.py", "from vizsla import worker", "vizsla.training.loop must not import vizsla.worker"),
        ("training/loop.py", "import sklearn.metrics", "vizsla.training.loop must not load sklearn"),
        ("serving/predictor.py", "import torch", "vizsla.serving.predictor must not load torch"),
        (
            "serving/predictor.py",
            "def f():\n    from vizsla.training import loop",
            "vizsla.serving.predictor must never import vizsla.training.loop",
        ),
        ("vision/preprocess.py", "from torch import nn", "vizsla.vision.preprocess must not load torch"),
        (
            "vision/preprocess.py",
            "from ..training import loop",
            "vizsla.vision.preprocess must never import vizsla.training.loop",
        ),
        ("plan/__init__.py", "import numpy as np", "vizsla.plan must not load numpy"),
        ("plan/__init__.py", "from vizsla.api import jobs", "vizsla.plan must not import vizsla.api.jobs"),
        (
            "plan/__init__.py",
            "import typing\nif typing.TYPE_CHECKING:\n    from vizsla.api.jobs import Jobs",
            "vizsla.plan must not import vizsla.api.jobs",
        ),
        ("gathering.py", "", "vizsla.gathering is in no layer"),
    ],
)
def test_a_wrong_import_is_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    assert breaches(tree(tmp_path, {file: text})) == [said]


def test_a_circle_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path, {"job/__init__.py": "from vizsla import keys", "keys/__init__.py": "import vizsla.job"})
    assert set(cycle(root)) == {"vizsla.job", "vizsla.keys"}


def test_what_is_imported_later_closes_no_circle(tmp_path: Path) -> None:
    later = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import vizsla.job\ndef f():\n    import vizsla.job"
    )
    assert cycle(tree(tmp_path, {"job/__init__.py": "from vizsla import keys", "keys/__init__.py": later})) == []
