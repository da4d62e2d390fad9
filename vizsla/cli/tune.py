"""`vizsla tune`: search over hyperparameters, over the built-in classifier or a script."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizsla.cli.options import (
    Channels,
    Hyperparameters,
    Json,
    Metrics,
    RuleNames,
    Settings,
    Source,
    Terminated,
    WorkspaceDir,
    pairs,
    print_json,
    rule_requests,
)
from vizsla.cli.train import channels, named
from vizsla.errors import JobError, UserError

if TYPE_CHECKING:
    from vizsla.jobdir import JobDir

LOOK_S = 0.5


def tune(
    what: Annotated[
        Path | None, typer.Argument(metavar="DIR|SCRIPT", help="A folder of photos, or a script with --source.")
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range", metavar="KEY=RANGE", help="lr=0.001..0.01, epochs=2..3 or batch_size=64,128. Repeatable."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="How many trials. Default: 4, or the whole grid.")
    ] = None,
    parallel: Annotated[int, typer.Option("--parallel", min=1, help="How many at a time; they share the cores.")] = 1,
    objective: Annotated[str, typer.Option("--objective", help="The metric to search by.")] = "average test loss",
    direction: Annotated[
        str | None,
        typer.Option("--direction", help="minimize or maximize. Default: maximize an accuracy, else minimize."),
    ] = None,
    strategy: Annotated[str, typer.Option("--strategy", help="bayesian, random, grid or hyperband.")] = "bayesian",
    early_stopping: Annotated[str, typer.Option("--early-stopping", help="auto or off.")] = "off",
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="TIME", help="Stop after this long, such as 10min.")
    ] = None,
    warm_start: Annotated[
        str | None, typer.Option("--warm-start", metavar="NAME,…", help="Earlier sweeps to learn from.")
    ] = None,
    warm_start_kind: Annotated[
        str,
        typer.Option("--warm-start-kind", metavar="KIND", help="IdenticalDataAndAlgorithm or TransferLearning."),
    ] = "IdenticalDataAndAlgorithm",
    settings: Settings = None,
    channel: Channels = None,
    source: Source = None,
    hyperparameters: Hyperparameters = None,
    metrics: Metrics = None,
    rules: RuleNames = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the sweep; at most 32 characters.")] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="NAME", help="Go on with a sweep that was stopped or killed.")
    ] = None,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Search over hyperparameters; every trial is a job."""
    from vizsla.api import requests, tuning
    from vizsla.cli.run import script
    from vizsla.tuning.space import parse_range
    from vizsla.workspace import Workspace

    place = Workspace.at(workspace)
    if resume:
        if what or ranges or settings or name:
            raise UserError("--resume goes on with a sweep as it was planned.", "Give it the sweep's name alone.")
        folder = tuning.resume(resume, place)
    else:
        if not ranges:
            raise UserError("Nothing says what to search.", "Add a range, such as --range lr=0.001..0.01")
        asked = tuning.Search(
            ranges=[parse_range(each) for each in ranges],
            jobs=jobs,
            parallel=parallel,
            objective=objective,
            direction=direction,
            strategy=strategy,
            early_stopping=early_stopping,
            budget=budget,
            warm_start=[each for each in (warm_start or "").split(",") if each],
            warm_start_kind=warm_start_kind,
        )
        own = script(what, source, hyperparameters, metrics)
        photos = named(channel) if own else channels(what, channel)
        watched = requests.Rules(rule_requests(rules))
        request = requests.Request(photos, pairs(settings, "--set"), name, own, watched)
        folder = tuning.submit(request, asked, place)
    ended = follow(folder, as_json)
    document = tuning.document(folder)
    if as_json:
        print_json(document)
    finish(ended, document, as_json, classifier=tuning.spec(folder).template.source is None)


def follow(folder: JobDir, to_stderr: bool) -> int:
    """Waits for a sweep to end; Ctrl-C and SIGTERM stop it with its trials, a second one kills.

    Returns 0, 130 or 143.
    """
    from vizsla.api import jobs, tuning
    from vizsla.console.sweep import SweepTable
    from vizsla.jobdir import advance

    made = tuning.spec(folder)
    with SweepTable(to_stderr) as shown:
        try:
            while (attempt := advance(folder)) and not attempt.finished:
                shown.show(tuning.document(folder), made.max_jobs, made.parallel)
                time.sleep(LOOK_S)
        except (KeyboardInterrupt, Terminated) as signal:
            try:
                jobs.stop(folder)
            except (KeyboardInterrupt, Terminated):  # who asks twice does not want to wait
                jobs.kill(folder)
            return 143 if isinstance(signal, Terminated) else 130
        finally:
            shown.show(tuning.document(folder), made.max_jobs, made.parallel)
    return 0


def finish(ended: int, document: Mapping[str, Any], quiet: bool, classifier: bool = True) -> None:
    """Says what was found and what to type next, and leaves with the exit code the design gives this end."""
    from vizsla.console.text import safe

    best, name = document["best"], document["name"]
    if document["status"] == "Failed" and not ended:
        raise JobError(safe(document["reason"] or "The sweep failed."), safe(document["hint"] or ""))
    if document["status"] == "Stopped":
        typer.echo(f"Stopped: {safe(document['reason'] or '')}.\nGo on with: vizsla tune --resume {name}", err=True)
    if best and not quiet:
        given = " ".join(f"{safe(key)}={safe(value)}" for key, value in best["hyperparameters"].items())
        typer.echo(f"\nBest: {best['name']}, {document['objective']['name']} {best['objective']:.4f}\n  {given}")
        final = f"Train the final model with it: vizsla train DIR --from {name}\n" if classifier else ""
        typer.echo(f"\n{final}See all: vizsla report {name}")
    if ended or not best:
        raise typer.Exit(ended or 1)
