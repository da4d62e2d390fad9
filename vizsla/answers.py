"""What the worker answers to questions: predict, evaluate, features, check, models. A JSON document in, one out."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vizsla import backbones
from vizsla.errors import UserError
from vizsla.job import RunSettings
from vizsla.machine import cpus
from vizsla.plan import Plan
from vizsla.vision.preprocess import BadImage, Preprocessing

if TYPE_CHECKING:
    from vizsla.training.check import CheckedPhoto

READ_AHEAD = 64  # photos held in memory at once


def predict(request: dict[str, Any]) -> list[dict[str, Any]]:
    """{"bundle", "files": [..], "top"} → one answer a file, in order; {"file", "error"} for what is no photo."""
    from vizsla.serving.predictor import Predictor

    predictor = Predictor(Path(request["bundle"]))
    files = list(request["files"])
    answers: list[dict[str, Any]] = []
    for start in range(0, len(files), READ_AHEAD):
        answers += _predict_some(predictor, files[start : start + READ_AHEAD], request["top"])
    return answers


def _predict_some(predictor: Any, files: list[str], top: int) -> Iterator[dict[str, Any]]:
    from vizsla.serving.predictor import in_batches

    decoded: dict[int, Any] = {}
    errors: dict[int, str] = {}
    for index, file in enumerate(files):
        try:
            decoded[index] = predictor.decode(Path(file).read_bytes())
        except BadImage as error:
            errors[index] = str(error)
        except OSError as error:
            errors[index] = (error.strerror or str(error)).lower()
    found = dict(zip(decoded, in_batches(predictor, list(decoded.values())), strict=True))
    for index, file in enumerate(files):
        rest = {"error": errors[index]} if index in errors else predictor.encode(found[index], top)
        yield {"file": file, **rest}


def evaluate(request: dict[str, Any]) -> dict[str, Any]:
    """{"bundle", "folder", "labels", "seen"} → evaluation.json's document, "bad", and "trained_on".

    In a folder laid out in splits the test photos are asked, in any other all. `seen` is the splits.csv of the job, or
    null: `trained_on` counts the asked photos that were in its train or valid.
    """
    from vizsla import bundle
    from vizsla.serving import predictor
    from vizsla.training import check, data, execution, layouts, scores
    from vizsla.training.learner import Learner

    folder = Path(request["bundle"])
    manifest = bundle.read(folder)
    listing = layouts.read({"training": Path(request["folder"])}, request["labels"])
    held_out = tuple(photo for photo in listing.photos if photo.split == "test")
    asked = replace(listing, photos=held_out or listing.photos)
    _refuse_unknown(asked.classes, manifest.classes)
    spec, chosen = predictor.preprocessing(manifest), execution.choose(RunSettings(), None)
    checked = check.check(asked, spec, chosen.threads, lambda _done, _total: None)
    if not checked.photos:
        raise UserError(f"None of the photos in {request['folder']} can be read.", "See: vizsla data check DIR")
    photos = data.Photos(checked.photos, manifest.classes, spec, chosen)
    net = predictor.network(folder, manifest)
    found = scores.evaluate(Learner.of(net), photos, scores.BATCH)
    return {
        **scores.report(found, manifest.classes, "test" if held_out else "all"),
        "bad": [asdict(bad) for bad in checked.bad],
        "trained_on": _trained_on(checked.photos, request["seen"]),
    }


def features(request: dict[str, Any]) -> dict[str, Any]:
    """A sweep's first step: see training/step.py."""
    from vizsla.training import step

    return step.answer(request)


def check(request: dict[str, Any]) -> dict[str, Any]:
    """{"channels", "plan"} → data_report.json's document, and "problem" where training would be refused."""
    from vizsla.training import check as checking
    from vizsla.training import layouts

    plan = Plan.model_validate(request["plan"])
    listing = layouts.read({name: Path(path) for name, path in request["channels"].items()}, plan.data.labels)
    spec = Preprocessing(size=plan.image.size, resize=plan.image.resize, max_pixels=plan.image.max_pixels)
    checked = checking.check(listing, spec, cpus(), lambda _done, _total: None)
    problem = None
    try:
        checking.refuse_hopeless(checked, listing, plan.data.max_bad)
    except UserError as error:
        problem = {"message": error.message, "hint": error.hint}
    divided = checking.divide(checked, plan.data.split, plan.seed, plan.data.fraction)
    return {**checking.report(listing, checked, divided), "problem": problem}


def plan(request: dict[str, Any]) -> dict[str, Any]:
    """{"channels", "plan", "launch"} → what a training would do, how, and how long it would take."""
    from vizsla.training import planning

    return planning.answer(request)


def models(_request: dict[str, Any]) -> list[dict[str, Any]]:
    """{} → the known backbones, and where the weights of each are on this machine."""
    from vizsla.vision import weights

    rows = []
    for backbone in backbones.KNOWN.values():
        found = weights.at_hand(backbone)
        rows.append(
            {
                "model": backbone.name,
                "default": backbone.name == backbones.DEFAULT,
                "parameters_M": backbone.parameters_M,
                "size": backbone.size,
                "weights": found.source if found else None,
                "path": str(found.path) if found else None,
                "package": backbone.package,
            }
        )
    return rows


def _refuse_unknown(asked: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise UserError(
            f"The bundle has never heard of {', '.join(map(repr, unknown[:5]))}{' and others' * (len(unknown) > 5)}.",
            f"Its classes are {', '.join(map(repr, known[:8]))}{' …' * (len(known) > 8)}: rename or remove the rest.",
        )


def _trained_on(photos: Sequence[CheckedPhoto], seen: str | None) -> int | None:
    if seen is None:
        return None
    with Path(seen).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        used = {row["sha256"] for row in csv.DictReader(file) if row["split"] != "test"}
    return sum(photo.sha256 in used for photo in photos)
