"""`vizsla report`: the page of a job or sweep."""

from __future__ import annotations

from typing import Annotated

import typer

from vizsla.cli.options import Json, WorkspaceDir, print_json


def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A job's or sweep's name.")],
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Write a page with curves and results that opens offline."""
    from vizsla.api import jobs, reporting
    from vizsla.workspace import Workspace

    page, document = reporting.write(jobs.find(name, Workspace.at(workspace)))
    if as_json:
        print_json(document)
    else:
        typer.echo(f"Wrote {page}")
