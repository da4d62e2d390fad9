"""`vizsla debug`: rules on the records of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vizsla.cli.options import Json, WorkspaceDir, print_json

MOST_FINDINGS = 3  # of a rule: the first ones tell where it began


def debug(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER", help="A job's name, or a folder that vizsla.debugger.watch wrote.")
    ],
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="RULE[:PARAMETER=VALUE,…]",
            help="A rule, such as overfit:patience=2. Default: the job's, else the six of vizsla train. Repeatable.",
        ),
    ] = None,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Hold a job's records against rules: what is wrong with the training, and what to change."""
    from vizsla.api import debugging
    from vizsla.workspace import Workspace

    if (Path(name) / "records").is_dir():
        document = debugging.debug_records(Path(name), rule or ())
    else:
        document = debugging.debug(debugging.find(name, Workspace.at(workspace)), rule or ())
    if as_json:
        print_json(document)
    else:
        typer.echo(judged(document))


def judged(document: Mapping[str, Any]) -> str:
    """The rules of a job for a person: a table, what was found, and what to change."""
    from vizsla.words import listed, visible

    parts = [f"{visible(document['name'])}: {document['status'] or 'records'}", table(document["rules"])]
    parts += [_found(each) for each in document["rules"] if each["findings"] or each["reason"]]
    if document["recommendations"]:
        cures = [
            f"  {place}. {visible(each['cure'])} ({listed(each['rules'])})"
            for place, each in enumerate(document["recommendations"], 1)
        ]
        parts.append("\n".join(["What to do:", *cures]))
    parts += [f"Careful: {visible(problem)}" for problem in document["problems"]]
    return "\n\n".join(parts)


def table(rules: Sequence[Mapping[str, Any]]) -> str:
    """A line a rule: how it came out."""
    from vizsla.words import visible

    rows = [("rule", "status", "triggered", "datapoints")]
    rows += [(visible(each["name"]), each["status"], str(each["triggered"]), str(each["datapoints"])) for each in rules]
    wide = [max(len(row[place]) for row in rows) for place in range(4)]
    return "\n".join(
        f"  {name:<{wide[0]}}  {status:<{wide[1]}}  {triggered:>{wide[2]}}  {datapoints:>{wide[3]}}"
        for name, status, triggered, datapoints in rows
    )


def _found(rule: Mapping[str, Any]) -> str:
    """What a rule found first, or why it could not."""
    from vizsla.words import visible

    said = [finding["message"] for finding in rule["findings"][:MOST_FINDINGS]]
    more = rule["triggered"] - len(said)
    lines = [*said, *([f"and {more:,} more"] if more else []), *rule["reason"].splitlines()]
    return "\n".join([f"{visible(rule['name'])}:", *(f"  {visible(line)}" for line in lines)])
