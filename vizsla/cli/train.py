"""`vizsla train`: start or resume a training, wait for it, say what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizsla.cli.options import (
    Channels,
    Json,
    RuleNames,
    Settings,
    Terminated,
    WorkspaceDir,
    pairs,
    print_json,
    rule_requests,
)
from vizsla.errors import JobError, UserError

if TYPE_CHECKING:
    from vizsla.console.live import Live
    from vizsla.jobdir import JobDir


def train(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="One folder of photos a class; docs/data.md has the other layouts."),
    ] = None,
    settings: Settings = None,
    channel: Channels = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the job. Default: DIR's name and the time.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="NAME", help="Go on with a job that was stopped or killed.")
    ] = None,
    winner: Annotated[
        str | None, typer.Option("--from", metavar="SWEEP", help="With the hyperparameters of a sweep's best trial.")
    ] = None,
    rules: RuleNames = None,
    default_rules: Annotated[
        bool, typer.Option("--rules/--no-rules", help="Watch the training with the six default rules.")
    ] = True,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Train a classifier on a folder of photos."""
    from vizsla.api import requests, training, tuning
    from vizsla.cli import summary
    from vizsla.console.live import Live
    from vizsla.workspace import Workspace

    place = Workspace.at(workspace)
    if resume and (folder or settings or channel or name or winner or rules):
        raise UserError("--resume goes on with a job as it was planned.", "Give it the job's name and nothing else.")
    scripts = bool(resume) and training.is_script(training.find(resume or "", place))
    # Before the job starts, so that it never runs without somebody who hears Ctrl-C.
    with Live(as_json, raw=scripts) as live:
        if resume:
            job = training.resume(resume, place)
        else:
            given = {**(tuning.winner(winner, place) if winner else {}), **pairs(settings, "--set")}
            watched = requests.Rules(rule_requests(rules), default_rules)
            request = requests.Request(channels(folder, channel), given, name, rules=watched)
            job = training.submit(request, place)
        ended = wait(job, live)
    document = training.document(job)
    if as_json:
        print_json(document)
    elif document["bundle"] or scripts:
        typer.echo(summary.of(document))
    finish(ended, document)


def channels(folder: Path | None, given: list[str] | None) -> dict[str, Path]:
    """DIR as the training channel, or the channels that were named."""
    others = named(given)
    if folder and others:
        raise UserError("DIR and --channel exclude each other.", "Use --channel train=DIR --channel valid=DIR …")
    if not folder and not others:
        raise UserError("No photos are named.", "Say where they are: vizsla train DIR")
    return others or {"training": folder or Path()}


def named(given: list[str] | None) -> dict[str, Path]:
    """The channels that were named."""
    return {name: Path(path) for name, path in pairs(given, "--channel").items()}


def wait(job: JobDir, live: Live) -> int:
    """Follows a job to its end. Ctrl-C and SIGTERM stop it; a second Ctrl-C kills it.

    Returns 0, or the exit code of a command that was ended so: 130 or 143.
    """
    from vizsla.api import training

    watch = training.watching(job, live.line, live.progress)
    try:
        training.follow(job, watch)
    except (KeyboardInterrupt, Terminated) as signal:
        ended = 143 if isinstance(signal, Terminated) else 130
    else:
        return 0
    try:
        training.stop(job, watch)
    except (KeyboardInterrupt, Terminated):
        training.kill(job)
    return ended


def finish(ended: int, document: Mapping[str, Any]) -> None:
    """Leaves with the exit code the design gives this end; a job that failed says why."""
    from vizsla.console.text import safe

    status, reason = document["status"], document["reason"]
    if status == "Failed" and not ended:
        kind = UserError if document["exit_code"] == UserError.exit_code else JobError
        raise kind(reason, document["hint"] or "")
    if status in ("Failed", "Stopped"):
        said = safe(reason.rstrip("."))
        typer.echo(f"{status}: {said}.\nGo on with: vizsla train --resume {document['name']}", err=True)
    if ended or (status == "Stopped" and not document["bundle"]):
        raise typer.Exit(ended or 1)
