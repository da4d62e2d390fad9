"""What a person wants to know after a training of any kind, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Rows = list[tuple[str, str]]


def of(document: Mapping[str, Any]) -> str:
    """The summary of what `training.document` says: of a script, or of the built-in classifier with its bundle."""
    return _of_script(document) if "entry_point" in document else _of_classifier(document)


def _of_script(document: Mapping[str, Any]) -> str:
    from vizsla.console.text import columns, duration, safe

    rows = [("job", f"{document['name']} ({document['status']}, {duration(document['seconds'])})")]
    rows += [(safe(name), f"{value:g}") for name, value in document["metrics"].items() if value is not None]
    rows += [*_rules(document), ("folder", document["folder"])]
    return "\n" + columns(rows)


def _of_classifier(document: Mapping[str, Any]) -> str:
    from vizsla.console.text import columns, duration, listed, percent
    from vizsla.words import count

    metrics, images = document["metrics"], document["images"]
    said = (document["status"], count(document["epochs"], "epoch"), duration(document["seconds"]))
    rows = [
        ("job", f"{document['name']} ({', '.join(said)})"),
        ("classes", f"{len(document['classes'])}: {listed(document['classes'])}"),
        ("photos", f"{images['train']} to train, {images['valid']} to validate, {images['test']} held out"),
        ("valid", f"loss {metrics['valid_loss']:.4f}, accuracy {percent(metrics['valid_accuracy'])}"),
    ]
    if images["bad"]:
        rows.insert(3, ("left out", f"{len(images['bad'])}: {listed([bad['file'] for bad in images['bad']], 3)}"))
    if metrics["test_accuracy"] is not None:
        rows.append(("held out", f"loss {metrics['test_loss']:.4f}, accuracy {percent(metrics['test_accuracy'])}"))
    rows += [*_rules(document), ("bundle", document["bundle"])]
    return f"\n{columns(rows)}\n\nAsk it: vizsla predict {document['name']} PHOTO"


def _rules(document: Mapping[str, Any]) -> Rows:
    """What the rules that watched have found; no row where none did."""
    from vizsla.console.text import listed, safe

    more = f": vizsla debug {document['name']}"
    if document["issues"]:
        return [("rules", safe(listed(document["issues"])) + more)]
    watched = len(document["rules"])
    return [("rules", f"{watched} watched and found nothing{more}")] if watched else []
