"""`vizsla predict` and `vizsla evaluate`: ask a bundle about photos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vizsla.cli.options import Json, WorkspaceDir, print_json

Asked = Annotated[str, typer.Argument(metavar="NAME|BUNDLE", help="A job's name, or a bundle's folder.")]


def predict(
    asked: Asked,
    photos: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Photos to ask about.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to name, the likeliest first.")] = 5,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Ask a trained classifier about photos."""
    from vizsla.api import asking
    from vizsla.workspace import Workspace

    answers = asking.predict(asked, photos, top, Workspace.at(workspace))
    if as_json:
        print_json(answers)
    else:
        for answer in answers:
            typer.echo(_answered(answer))
    if any("error" in answer for answer in answers):
        raise typer.Exit(1)


def evaluate(
    asked: Asked,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Labelled photos, in any layout training takes.")],
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="CSV", help="A CSV of image and label inside DIR.")
    ] = None,
    as_json: Json = False,
    workspace: WorkspaceDir = None,
) -> None:
    """Measure a trained classifier on labelled photos."""
    from vizsla.api import asking
    from vizsla.workspace import Workspace

    document = asking.evaluate(asked, folder, labels, Workspace.at(workspace))
    if as_json:
        print_json(document)
    else:
        typer.echo(scores(document))


def scores(document: Mapping[str, Any]) -> str:
    """evaluation.json's document for a person: the figures, the classes that did worst, the likeliest confusions."""
    from vizsla.console.text import columns, percent, safe

    low, high = document["accuracy_95"]
    rows = [
        ("photos", f"{document['images']} ({document['split']}), {len(document['bad'])} left out"),
        ("loss", f"{document['loss']:.4f}"),
        ("accuracy", f"{percent(document['accuracy'])} (95 % between {percent(low)} and {percent(high)})"),
    ]
    shown = [row for row in document["per_class"] if row["images"]]
    worst = sorted(shown, key=lambda row: (row["accuracy"], row["label"]))[:5]
    rows += [(safe(row["label"]), f"{percent(row['accuracy'])} of {row['images']}") for row in worst]
    text = columns(rows)
    if document["trained_on"]:
        text += (
            f"\n\nCareful: {document['trained_on']} of these photos were used in training, so the figures flatter."
            " Use photos the model has never seen."
        )
    return text


def _answered(answer: Mapping[str, Any]) -> str:
    from vizsla.console.text import safe

    if "error" in answer:
        return f"{safe(answer['file'])}: {answer['error']}"
    first, *rest = answer["top"]
    lines = [f"{safe(answer['file'])}: {safe(first['label'])} ({first['confidence']:.1f} %)"]
    lines += [f"    {safe(other['label'])} ({other['confidence']:.1f} %)" for other in rest]
    return "\n".join(lines)
