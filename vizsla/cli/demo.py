"""`vizsla demo`: the whole way in one command, on real photos."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vizsla.cli import debug, tune
from vizsla.cli.data import report
from vizsla.cli.options import WorkspaceDir
from vizsla.cli.train import finish, wait
from vizsla.cli.tune import follow

INTRODUCTION = """2,624 photos of solar cells, functional or defective (the elpv-dataset package).
A quarter is held out, as in the paper the result is compared with; it is asked once, at the end.
"""


def demo(
    folder: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Where the photos are written, or already lie.")
    ] = Path("vizsla-demo/elpv"),
    workspace: WorkspaceDir = None,
) -> None:
    """Check, search, train and ask: the whole way on 2,624 real photos of solar cells."""
    from vizsla.api import demo as steps
    from vizsla.api import reporting, training, tuning
    from vizsla.console.live import Live
    from vizsla.workspace import Workspace

    typer.echo(INTRODUCTION)
    began = time.monotonic()
    place = Workspace.at(workspace)
    photos = steps.photos(folder)
    typer.echo(f"Check: vizsla data check {folder}\n\n{report(steps.check(photos))}")
    typer.echo(f"\nSearch: vizsla tune {folder} {_as_typed(steps.RANGES, steps.TRIALS)}\n")
    sweep = steps.search(photos, place)
    ended = follow(sweep, to_stderr=False)
    searched = tuning.document(sweep)
    tune.finish(ended, searched, quiet=True)
    typer.echo(f"\nFinal training: vizsla train {folder} --from {sweep.name} {_as_typed((), steps.FINAL)}\n")
    with Live(to_stderr=False) as live:
        job = steps.final(photos, sweep, place)
        ended = wait(job, live)
    document = training.document(job)
    finish(ended, document)
    if document["status"] != "Completed":  # stopped from elsewhere: there are no held-out photos to show
        return
    answers = steps.ask_two(job, photos, place)
    page, reported = reporting.write(job)
    everything = {**document, "search": searched, "rules": reported["rules"], "page": str(page)}
    typer.echo(result(everything, answers, steps.PUBLISHED, time.monotonic() - began))


def _as_typed(ranges: Sequence[str], settings: Mapping[str, str]) -> str:
    parts = [f"--range {each}" for each in ranges] + [f"--set {key}={value}" for key, value in settings.items()]
    return " ".join(parts)


def result(
    document: Mapping[str, Any], answers: Sequence[Mapping[str, Any]], published: Mapping[str, float], seconds: float
) -> str:
    """The demo's table, the two answers, and what to type next."""
    from vizsla.console.text import columns, duration, percent

    metrics, images, name = document["metrics"], document["images"], document["name"]
    search = document["search"]
    figures = [
        (
            "time",
            f"{duration(seconds)}: search {duration(search['seconds'])}, training {duration(document['seconds'])}",
        ),
        ("search", f"{len(search['trials'])} trials, the best on valid: {_settings(search['best'])}"),
        ("photos", f"{images['train']} to train, {images['valid']} to validate, {images['test']} held out"),
        ("accuracy", f"{percent(metrics['test_accuracy'])} on the held-out photos, loss {metrics['test_loss']:.4f}"),
        *((f"  {what}", f"{percent(share)} (Deitsch et al. 2019)") for what, share in published.items()),
    ]
    asked = [
        (Path(answer["file"]).name, f"{answer['label']} ({answer['confidence']:.1f} %), in truth {answer['truth']}")
        for answer in answers
    ]
    places = [("report", document["page"]), ("job", document["folder"]), ("bundle", document["bundle"])]
    following = [
        (f"vizsla predict {name} PHOTO", "ask it about a photo"),
        (f"vizsla report {search['name']}", "see the search"),
        (f"vizsla debug {name}", "what the rules make of the training, and what to change"),
        ("vizsla data check DIR", "look at photos of your own, one folder a class"),
        ("vizsla train DIR", "and train on them"),
    ]
    parts = {
        "Rules": debug.table(document["rules"]),
        "Two held-out photos": columns(asked),
        "Where it lies": columns(places),
        "Next": columns(following),
    }
    return f"\n{columns(figures)}\n" + "\n".join(f"\n{title}:\n{text}" for title, text in parts.items())


def _settings(trial: Mapping[str, Any]) -> str:
    from vizsla.console.sweep import short

    return ", ".join(f"{key}={short(value)}" for key, value in trial["hyperparameters"].items())
