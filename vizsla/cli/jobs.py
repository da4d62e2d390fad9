"""`vizsla ps`, `show`, `logs`, `stop`, `rm`, `rebuild`: all kinds of jobs, from one workspace."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizsla.cli.options import Json, WorkspaceDir, print_json

if TYPE_CHECKING:
    from vizsla.jobdir import JobDir

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A job's name; training/NAME or tuning/NAME where it is both.")
]


def ps(as_json: Json = False, workspace: WorkspaceDir = None) -> None:
    """List the jobs, the newest first."""
    from vizsla.api import jobs
    from vizsla.console.text import duration
    from vizsla.workspace import Workspace

    rows = jobs.listed(Workspace.at(workspace))
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo("Nothing has run here yet. Start with: vizsla train DIR")
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        created = row["created"][:19].replace("T", " ")
        typer.echo(
            f"{row['name']:<{width}}  {row['kind']:<8}  {row['status']:<10}  {created}  {duration(row['seconds'])}"
        )


def show(name: Name, as_json: Json = False, workspace: WorkspaceDir = None) -> None:
    """Show one job or sweep."""
    document = _document(_folder(name, workspace))
    if as_json:
        print_json(document)
        return
    typer.echo(_shown(document))


def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Print a job's log."""
    from vizsla.api import jobs

    lines = jobs.log(_folder(name, workspace), follow)
    if as_json:
        print_json({"name": name, "lines": list(lines)})
        return
    for line in lines:
        sys.stdout.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
        sys.stdout.flush()


def stop(name: Name, as_json: Json = False, workspace: WorkspaceDir = None) -> None:
    """Stop a job: SIGTERM, and SIGKILL after its grace. What it has finished is kept."""
    from vizsla.api import jobs

    folder = _folder(name, workspace)
    jobs.stop(folder)
    document = _document(folder)
    if as_json:
        print_json(document)
    else:
        typer.echo(f"{folder.name}: {document['status']}" + (f" ({document['reason']})" if document["reason"] else ""))


def rm(name: Name, as_json: Json = False, workspace: WorkspaceDir = None) -> None:
    """Delete a finished job with everything it made."""
    from vizsla.api import jobs

    folder = _folder(name, workspace)
    jobs.remove(folder)
    if as_json:
        print_json({"name": folder.name, "kind": folder.kind, "removed": True})
    else:
        typer.echo(f"{folder.name} is gone." + " Its trials are still there." * (folder.kind == "tuning"))


def rebuild(as_json: Json = False, workspace: WorkspaceDir = None) -> None:
    """Make the index of jobs anew from their folders."""
    from vizsla.api import jobs
    from vizsla.workspace import Workspace

    count = jobs.rebuild(Workspace.at(workspace))
    if as_json:
        print_json({"jobs": count})
    else:
        typer.echo(f"The index holds {count} jobs.")


def _folder(name: str, workspace: Any) -> JobDir:
    from vizsla.api import jobs
    from vizsla.workspace import Workspace

    return jobs.find(name, Workspace.at(workspace))


def _document(folder: JobDir) -> dict[str, Any]:
    from vizsla.api import training, tuning

    return tuning.document(folder) if folder.kind == "tuning" else training.document(folder)


def _shown(document: dict[str, Any]) -> str:
    from vizsla.console.text import columns, safe

    rows = [
        (key, safe(str(value)))
        for key, value in document.items()
        if value is not None and not isinstance(value, dict | list)
    ]
    for key in ("metrics", "hyperparameters"):
        rows += [
            (safe(name), safe(str(value))) for name, value in (document.get(key) or {}).items() if value is not None
        ]
    rows += [("issues", safe(", ".join(document["issues"])))] if document.get("issues") else []
    text = columns(rows)
    if document["kind"] == "tuning":
        from vizsla.console.sweep import line

        text += "\n\n" + "\n".join(f"  {line(trial)}" for trial in document["trials"])
    return text
