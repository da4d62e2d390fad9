"""`vizsla export`: what a job has recorded, in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vizsla.cli.options import Json, WorkspaceDir, print_json


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A job's name.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="sagemaker-profiler: samples and phases as in SageMaker's profiler-output/.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to. Default: profiler-output in the job's folder."),
    ] = None,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Write what a job has recorded in the format of another tool."""
    from vizsla.api import exporting, jobs
    from vizsla.words import visible
    from vizsla.workspace import Workspace

    document = exporting.export(jobs.find(name, Workspace.at(workspace)), form, out)
    if as_json:
        print_json(document)
        return
    samples, steps = document["samples"], document["steps"]
    typer.echo(f"Wrote {samples:,} samples and {steps:,} steps to {visible(document['folder'])}")
    for problem in document["problems"]:
        typer.echo(f"Careful: {visible(problem)}", err=True)
