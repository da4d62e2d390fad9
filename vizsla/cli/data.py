"""`vizsla data`: look at a folder of photos, or write a known data set as one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vizsla.cli.options import Json, Settings, pairs, print_json
from vizsla.cli.train import channels
from vizsla.errors import UserError

app = typer.Typer(help="Look at a folder of photos, or write a known data set as one.", no_args_is_help=True)


class Dataset(StrEnum):
    """Data sets that pip packages carry."""

    ELPV = "elpv"


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder you would train on.")],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Say what is in a folder, what is bad and why, and how it would be split."""
    from vizsla.api import data, requests

    document = data.check(requests.Request(channels(folder, None), pairs(settings, "--set")))
    if as_json:
        print_json(document)
    else:
        typer.echo(report(document))
    if document["problem"]:
        raise UserError(document["problem"]["message"], document["problem"]["hint"])


@app.command("import")
def import_(
    dataset: Annotated[Dataset, typer.Argument(help="Which data set.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    as_json: Json = False,
) -> None:
    """Write a data set that a pip package carries as a folder of photos."""
    from vizsla.api import data

    counts = data.import_elpv(folder)
    if as_json:
        print_json({"dataset": dataset.value, "folder": str(folder.absolute()), "counts": counts})
        return
    what = ", ".join(f"{count} {name}" for name, count in counts.items())
    typer.echo(f"Wrote {sum(counts.values())} photos to {folder}: {what}.\nTrain on them: vizsla train {folder}")


def report(document: Mapping[str, Any]) -> str:
    """data_report.json's document for a person."""
    from vizsla.console.text import columns, listed, safe

    counts, bad = document["counts"], document["bad"]
    sizes = {label: sum(row.values()) for label, row in document["per_class"].items()}
    rows = [
        ("layout", document["layout"]),
        ("classes", f"{len(sizes)}: {listed(document['classes'])}"),
        (
            "photos",
            f"{sum(counts.values()) + document['left_out']} good, {len(bad)} bad, {document['ignored']} other files",
        ),
        ("split", f"{counts['train']} to train, {counts['valid']} to validate, {counts['test']} held out"),
    ]
    if sizes:
        small, large = min(sizes, key=lambda label: sizes[label]), max(sizes, key=lambda label: sizes[label])
        rows.append(("smallest", f"{safe(small)}, {sizes[small]} photos"))
        rows.append(("largest", f"{safe(large)}, {sizes[large]} photos"))
    for name, what in (("duplicates", "groups of identical photos"), ("conflicts", "of them under two classes")):
        if document[name]:
            rows.append((name, f"{len(document[name])} {what}"))
    text = columns(rows)
    if bad:
        text += "\n\nBad, and left out:\n" + columns((safe(each["file"]), safe(each["reason"])) for each in bad[:20])
        text += f"\n  … and {len(bad) - 20} more; --json names all" * (len(bad) > 20)
    return text
