"""`vizsla run`: a script of the user's own, under SageMaker's contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vizsla.cli.options import (
    Channels,
    Hyperparameters,
    Json,
    Metrics,
    RuleNames,
    Settings,
    Source,
    WorkspaceDir,
    pairs,
    print_json,
    rule_requests,
)
from vizsla.cli.train import finish, named, wait
from vizsla.errors import UserError

if TYPE_CHECKING:
    from vizsla.api.requests import Script


def run(
    entry_point: Annotated[Path, typer.Argument(metavar="SCRIPT", help="A Python script, as seen from --source.")],
    source: Source = None,
    channel: Channels = None,
    hyperparameters: Hyperparameters = None,
    metrics: Metrics = None,
    rules: RuleNames = None,
    settings: Settings = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the job.")] = None,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Run a training script with SM_* variables, arguments and folders as SageMaker gives it."""
    from vizsla.api.standby import standby

    with standby() as worker:  # it loads while this process does
        from vizsla.api import requests, training
        from vizsla.cli import summary
        from vizsla.console.live import Live
        from vizsla.workspace import Workspace

        own = script(entry_point, source, hyperparameters, metrics)
        if own is None:
            raise UserError(f"{entry_point} is no Python script.", "Name a file that ends in .py.")
        watched = requests.Rules(rule_requests(rules))
        request = requests.Request(named(channel), pairs(settings, "--set"), name, own, watched)
        with Live(as_json, raw=True) as live:
            job = training.submit(request, Workspace.at(workspace), ready=worker)
            ended = wait(job, live)
    document = training.document(job)
    if as_json:
        print_json(document)
    else:
        typer.echo(summary.of(document))
    finish(ended, document)


def script(
    what: Path | None, source: Path | None, hyperparameters: list[str] | None, metrics: list[str] | None
) -> Script | None:
    """The user's script, or None if `what` is no Python file. Raises UserError for options that need one."""
    from vizsla.api.requests import Script

    if what is None or what.suffix != ".py":
        if source or hyperparameters or metrics:
            raise UserError("--source, --hp and --metric go with a script.", "Settings of vizsla's: --set KEY=VALUE")
        return None
    folder = source or what.parent
    entry_point = what if source else Path(what.name)
    return Script(entry_point.as_posix(), folder, pairs(hyperparameters, "--hp"), pairs(metrics, "--metric"))
