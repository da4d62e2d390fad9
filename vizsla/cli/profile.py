"""`vizsla profile`: where the time of a training goes, and what to set, on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vizsla.cli.options import Channels, Json, Settings, WorkspaceDir, pairs, print_json
from vizsla.cli.train import channels, wait
from vizsla.errors import JobError, UserError

MOST_OPERATORS = 5
BAR = 24
WIDTH = 96
OWN_MEMORY = "Memory of the job"  # among the figures of the system


def profile(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="One folder of photos a class, as for vizsla train."),
    ] = None,
    settings: Settings = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Training steps to watch, at least 10.")] = 50,
    channel: Channels = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the job. Default: DIR's name and the time.")
    ] = None,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Train for a few steps, and say what holds the training up and what to set. No model is kept."""
    from vizsla.api import profiling
    from vizsla.console.live import Live
    from vizsla.workspace import Workspace

    place = Workspace.at(workspace)
    asked = profiling.Asked(channels(folder, channel), pairs(settings, "--set"), steps, name)
    with Live(as_json) as live:
        job = profiling.submit(asked, place)
        ended = wait(job, live)
    document = profiling.document(job)
    _refuse_unmade(document, ended)
    if as_json:
        print_json(document)
    else:
        typer.echo(screen(document))
    if ended:
        raise typer.Exit(ended)


def _refuse_unmade(document: Mapping[str, Any], ended: int) -> None:
    """Leaves where there is no profile: the training failed, or was stopped before it had begun."""
    status, reason = document["status"], document["reason"] or "it was not said why"
    if status == "Failed" and not ended:
        kind = UserError if document["exit_code"] == UserError.exit_code else JobError
        raise kind(reason, document["hint"] or "")
    if document["steps"] is None:
        typer.echo(f"{status}: {reason}. Nothing was profiled.", err=True)
        raise typer.Exit(ended or 1)


def screen(document: Mapping[str, Any]) -> str:
    """What came of it, for a person."""
    from vizsla.words import visible

    name = visible(document["name"])
    parts = [_speed(document), _bound(document), _set(document), _phases(document), _machine(document)]
    parts += [_operators(document), *(f"Careful: {visible(problem)}" for problem in document["problems"])]
    parts.append(f"The job is kept, its model is not. All figures: vizsla report {name}")
    return "\n" + "\n\n".join(part for part in parts if part)


def _speed(document: Mapping[str, Any]) -> str:
    from vizsla.words import count, duration, visible

    steps, speed = document["steps"], document["images_per_second"]
    seen = f"{visible(document['name'])}: {count(steps['count'], 'step')} in {duration(steps['seconds'])}"
    return f"{seen}, {speed:.1f} images a second" if speed else seen


def _bound(document: Mapping[str, Any]) -> str:
    if document["bound"] is None:
        return "There were too few steps to say what holds the training up."
    return f"Bound by {document['bound']}\n{_filled(document['message'])}"


def _set(document: Mapping[str, Any]) -> str:
    if document["bound"] is None:
        return ""
    typed = " ".join(f"--set {key}={value}" for key, value in document["settings"].items())
    advice = document["cure"].removeprefix(f"{typed}.").replace("`", "").strip()
    said = [_filled(text) for text in (typed, advice) if text]  # what is typed stands alone, to be copied
    return "\n".join(["What to set" if typed else "What to do", *said, *_saves(document)])


def _saves(document: Mapping[str, Any]) -> list[str]:
    """What the cure would save of the whole training; apart, where the settings are only a part of it."""
    from vizsla.words import duration, percent

    saved, by_settings, whole = (document[name] for name in ("share_saved", "share_saved_by_settings", "seconds_whole"))
    if not saved:
        return []
    text = f"That would save about {percent(saved, 0)} of the time"
    if whole is not None:
        text += f", {duration(document['seconds_saved'])} of the {duration(whole)} that all its steps would take"
    if 0 < by_settings < saved:
        text += f"; the settings alone {percent(by_settings, 0)}"
    return [_filled(f"{text}.")]


def _filled(text: str) -> str:
    import textwrap

    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _phases(document: Mapping[str, Any]) -> str:
    from vizsla.words import percent, visible

    step = document["step"]
    if step is None:
        return ""
    rows = [("phase", "ms a step", "share", "")]
    rows += [
        (visible(name), f"{phase['ms']:.1f}", percent(phase["share"], 0), "█" * round(BAR * phase["share"]))
        for name, phase in step["phases"].items()
    ]
    rows.append(("a step", f"{step['ms']:.1f}", "", ""))
    return _table(rows, right={1, 2})


def _machine(document: Mapping[str, Any]) -> str:
    from vizsla.console.text import columns

    step, system = document["step"], document["system"]
    if system is None or step is None or step["cores_busy"] is None:
        return "  The machine was not sampled."
    said = f"{step['cores_busy']:.1f} of {step['cores']} busy"
    if step["cores_job"] is not None:
        said += f": {step['cores_job']:.1f} by the training, {step['cores_others']:.1f} by others"
    rows = [("cores", said)]
    if step["memory_percent"] is not None:
        own = [f", {row['max']:.1f} GB by the training" for row in system["usage"] if row["metric"] == OWN_MEMORY]
        rows.append(("memory", "".join([f"{step['memory_percent']:.0f} % full", *own])))
    return columns(rows)


def _operators(document: Mapping[str, Any]) -> str:
    from vizsla.words import percent, visible

    profile = document["operators"]
    if profile is None or not profile["operators"]:
        return ""
    rows = [("operator", "ms a step", "share", "calls")]
    steps = max(1, profile["steps"])
    rows += [
        (
            visible(each["operator"]),
            f"{1000 * (each['cpu_s'] + each['cuda_s']) / steps:.1f}",
            percent(each["share"], 0),
            f"{each['calls']:,}",
        )
        for each in profile["operators"][:MOST_OPERATORS]
    ]
    return _table(rows, right={1, 2, 3})


def _table(rows: Sequence[tuple[str, str, str, str]], right: set[int]) -> str:
    wide = [max(len(row[place]) for row in rows) for place in range(4)]
    return "\n".join(
        "  "
        + "  ".join(
            text.rjust(wide[place]) if place in right else text.ljust(wide[place]) for place, text in enumerate(row)
        ).rstrip()
        for row in rows
    )
