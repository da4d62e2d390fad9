"""`vizsla cache`: what is kept for later runs, and `vizsla cache clear`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from vizsla.cli.options import Json, print_json

app = typer.Typer(help="See what is kept for later runs, or clear it.", invoke_without_command=True)


class Kind(StrEnum):
    """What is kept, as `vizsla cache` names it."""

    FEATURES = "features"
    NETWORKS = "networks"
    EXECUTIONS = "executions"
    PHOTOS = "photos"


@app.callback()
def show(context: typer.Context, as_json: Json = False) -> None:
    """See what is kept for later runs, or clear it."""
    if context.invoked_subcommand is not None:
        return
    from vizsla.api import caching

    document = caching.listed()
    if as_json:
        print_json(document)
    else:
        typer.echo(_table(document))


@app.command()
def clear(
    kind: Annotated[Kind | None, typer.Argument(metavar="[KIND]", help="Only these; all kinds by default.")] = None,
    as_json: Json = False,
) -> None:
    """Remove what is kept: features, networks, executions, photos, or all. What is in use stays."""
    from vizsla.api import caching

    document = caching.clear(kind)
    if as_json:
        print_json(document)
    else:
        typer.echo(_cleared(document))


def _table(document: Mapping[str, Any]) -> str:
    from vizsla.console.text import safe

    entries = document["entries"]
    most = f"may take {_size(document['allowance_bytes'])}"
    if not entries:
        return f"Nothing is kept in {safe(document['path'])}; it {most}."
    lines = _aligned([("kind", "what", "size", "last used", "in use"), *map(_cells, entries)])
    total = f"{_size(document['size_bytes'])} in {safe(document['path'])}, which {most}"
    why = f"(cache.max_gb={document['max_gb']:g}, and at most a fifth of the free disk)"
    return "\n".join([*lines, "", f"{total} {why}."])


def _cells(entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    from vizsla.console.text import safe
    from vizsla.words import moment

    in_use = "yes" if entry["in_use"] else "no"
    return entry["kind"], safe(entry["what"]), _size(entry["size_bytes"]), moment(entry["used"]), in_use


def _aligned(rows: Sequence[tuple[str, str, str, str, str]]) -> list[str]:
    kind, what, size, used, _ = (max(len(row[column]) for row in rows) for column in range(5))
    return [f"{row[0]:<{kind}}  {row[1]:<{what}}  {row[2]:>{size}}  {row[3]:<{used}}  {row[4]}" for row in rows]


def _cleared(document: Mapping[str, Any]) -> str:
    from vizsla.console.text import safe
    from vizsla.words import count

    removed, kept = document["removed"], document["kept"]
    lines = [
        f"Freed {_size(document['freed_bytes'])}: {count(len(removed), 'entry', 'entries')}."
        if removed
        else "Nothing was removed."
    ]
    for entry in kept:
        why = "is in use" if entry["in_use"] else "may not be removed"
        lines.append(f"Kept {_size(entry['size_bytes'])}: {entry['kind']} {safe(entry['what'])} {why}.")
    return "\n".join(lines)


def _size(size_bytes: int) -> str:
    """In units of 1,000: 1.2 GB, 34 MB, 5 kB."""
    if size_bytes >= 999_500_000:
        return f"{size_bytes / 1e9:.1f} GB"
    if size_bytes >= 999_500:
        return f"{size_bytes / 1e6:.0f} MB"
    return f"{size_bytes / 1e3:.0f} kB" if size_bytes >= 1000 else f"{size_bytes} B"
