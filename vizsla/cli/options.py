"""What several commands take, and what ends them from outside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vizsla.errors import UserError


class Terminated(BaseException):
    """SIGTERM came. Not an Exception, so that nothing on the way takes it for a failure."""


Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A setting, such as epochs=3; docs/settings.md lists all. Repeatable."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]
WorkspaceDir = Annotated[
    Path | None,
    typer.Option("--workspace", metavar="DIR", help="Where runs live. Default: VIZSLA_WORKSPACE, else ./vizsla-runs."),
]


def pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """`["epochs=3"]` → `{"epochs": "3"}`. Raises UserError for what has no `=`, or for a key given twice."""
    found: dict[str, str] = {}
    for each in given or []:
        key, equals, value = each.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{option} {each} is not a pair.", f"Write it as {option} key=value.")
        if key.strip() in found:
            raise UserError(f"{option} {key.strip()} is given twice.", "Give it once.")
        found[key.strip()] = value.strip()
    return found


def print_json(document: Any) -> None:
    """One strict JSON document on stdout."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))
