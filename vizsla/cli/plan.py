"""`vizsla plan`: what a training would do, how this machine would do it, and how long that takes, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vizsla.cli.options import Channels, Json, Settings, pairs, print_json
from vizsla.cli.train import channels

WIDTH = 96
BAR = 24
NAMED = 4  # stages that are named; of more only the ends
SAID = {
    "start": "Python, its libraries, the network",
    "check": "decoding photos that nobody has looked at yet",
    "export": "what runs the frozen part",
    "features": "the frozen part, once",
    "probe": "a classifier on its features",
    "epochs": "the trained part",
    "evaluation": "the valid photos, after each epoch",
    "test": "the held-out photos, once",
    "bundle": "writing the model",
}


def plan(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="One folder of photos a class, as for vizsla train."),
    ] = None,
    settings: Settings = None,
    channel: Channels = None,
    as_json: Json = False,
) -> None:
    """Say what a training would do, how this machine would do it, and how long it would take. Nothing is trained."""
    from vizsla.api import planning, requests

    document = planning.plan(requests.Request(channels(folder, channel), pairs(settings, "--set")))
    if as_json:
        print_json(document)
    else:
        typer.echo(screen(document))


def screen(document: Mapping[str, Any]) -> str:
    """The document for a person."""
    return "\n\n".join(part for part in (_what(document), _how(document), _time(document)) if part)


def _what(document: Mapping[str, Any]) -> str:
    images, features = document["images"], document["features"]
    rows = [
        ("photos", f"{images['train']} to train, {images['valid']} to validate, {images['test']} held out"),
        ("classes", str(document["classes"])),
        ("method", _method(document)),
        ("trained", _stages(document["trained"])),
        ("frozen", _stages(document["frozen"])),
        ("features", _features(features)),
    ]
    return _columns([(name, text) for name, text in rows if text])


def _method(document: Mapping[str, Any]) -> str:
    from vizsla.words import count, visible

    epochs = count(document["epochs"], "epoch")
    said = {
        "probe": "a probe on frozen features",
        "finetune": f"fine-tuning for {epochs}",
        "auto": f"a probe, then fine-tuning for {epochs}; the better is kept",
    }
    return f"{visible(document['model'])}: {said[document['method']]}"


def _stages(names: Sequence[str]) -> str:
    from vizsla.words import visible

    shown = [visible(name) for name in names]
    return ", ".join(shown) if len(shown) <= NAMED else f"{shown[0]} … {shown[-1]}, {len(shown)} stages"


def _features(features: Mapping[str, Any]) -> str:
    if not features["needed"]:
        return features["why"] or ""
    said = f"{features['cached']:,} of {features['needed']:,} are in the cache; all take {_size(features['bytes'])}"
    return f"{said}; {features['why']}" if features["why"] else said


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def _how(document: Mapping[str, Any]) -> str:
    execution = document["execution"]
    engine = {"onnxruntime": "ONNX Runtime"}.get(execution["engine"], execution["engine"])
    short = f"{engine} {execution['precision']}, {execution['memory_format']}"
    rows = [("how", f"{short}, threads {execution['threads']}, loader workers {execution['loader_workers']}")]
    return _columns([*rows, *(("why" if not place else "", line) for place, line in enumerate(execution["why"]))])


def _time(document: Mapping[str, Any]) -> str:
    from vizsla.words import duration

    forecast = document["forecast"]
    whole = forecast["seconds"]
    parts = {name: seconds for name, seconds in forecast["parts"].items() if seconds >= 0.05}
    width = max((len(duration(seconds)) for seconds in parts.values()), default=0)
    lines = [f"About {duration(whole)}"]
    for name, seconds in parts.items():
        bar = "█" * round(BAR * seconds / whole)
        lines.append(f"  {name:<10}  {duration(seconds):>{width}}  {bar:<{BAR}}  {SAID[name]}")
    return "\n".join(lines)


def _columns(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns within WIDTH, the second filled."""
    left = max(len(name) for name, _ in rows)
    return "\n".join(line for name, text in rows for line in _row(f"  {name:<{left}}  ", text))


def _row(begin: str, text: str) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(
        text, WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin), break_on_hyphens=False
    )
