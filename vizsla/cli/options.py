"""What several commands take, and what ends them from outside."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizsla.errors import UserError

if TYPE_CHECKING:
    from vizsla.job import RuleRequest


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


Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel", metavar="NAME=DIR", help="A folder by name; for photos: train, valid and test. Repeatable."
    ),
]
Source = Annotated[
    Path | None, typer.Option("--source", metavar="DIR", help="The folder a script lies in. Default: its own.")
]
Hyperparameters = Annotated[
    list[str] | None,
    typer.Option(
        "--hp", metavar="NAME=VALUE", help="A hyperparameter of a script, handed over as --NAME VALUE. Repeatable."
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME=REGEX", help="A number in a script's output: the regex's first group. Repeatable."
    ),
]

RuleNames = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="RULE[:PARAMETER=VALUE,…]",
        help="Watch the training with a rule, such as overfit:ratio_threshold=0.2,action=stop. Repeatable.",
    ),
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


def rule_requests(typed: Sequence[str] | None) -> list[RuleRequest]:
    """Rules as they are typed. Raises UserError for one that cannot be."""
    if not typed:
        return []
    from vizsla.api.rules import parse  # a job without rules does not wait for them to load

    return parse(typed)


def print_json(document: Any) -> None:
    """One strict JSON document on stdout; a number that is not finite is the word nan, inf or -inf, as in records."""
    typer.echo(json.dumps(_strict(document), indent=2, allow_nan=False))


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _strict(part) for key, part in value.items()}
    return [_strict(part) for part in value] if isinstance(value, list | tuple) else value
