"""Job folders as a training leaves them, written by the same functions but without any training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vizsla.analysis import rules
from vizsla.files import read_json, write_json
from vizsla.job import Job
from vizsla.jobdir import JobDir, Outcome, create
from vizsla.plan import resolve
from vizsla.process import Process
from vizsla.records import Record, Value, Writer
from vizsla.segments import Segments

ALIVE = Process.of(os.getpid())
GONE = replace(ALIVE, started=ALIVE.started - 60)
EVIL = "</script><img src=x onerror=alert(1)>"


def begun(place: Path, settings: Mapping[str, str] | None = None) -> JobDir:
    """A job of the built-in classifier that is running, and has written nothing yet."""
    job = Job(name="dogs", channels={"training": str(place)}, hyperparameters=dict(settings or {}))
    path = place / "training" / "dogs"
    path.mkdir(parents=True)
    folder = create(path, job, resolve(job))
    folder.begin(1, ALIVE)
    return folder


def ended(place: Path, outcome: Outcome | None = None, settings: Mapping[str, str] | None = None) -> JobDir:
    """The same job after its end."""
    folder = begun(place, settings)
    folder.begin(1, GONE)
    folder.report_outcome(1, outcome or Outcome("Completed"))
    return folder


def measured(folder: JobDir, valid_losses: Sequence[float], steps_per_epoch: int = 2) -> JobDir:
    """Writes the records of a training of as many epochs; accuracies rise, training losses fall."""
    total, at = len(valid_losses), 0
    with Writer(Segments(folder.records / "train", 1, ".jsonl")) as writer:
        start: dict[str, float | str] = {"from_global_step": 0, "from_epoch": 0, "epochs": total}
        writer.write(Record(t=1.0, kind="attempt", name="start", value=start))
        for epoch, valid_loss in enumerate(valid_losses, 1):
            for _ in range(steps_per_epoch):
                for name, value in (("train_loss", 2 / (at + 1)), ("lr", 0.01 / (at + 1))):
                    writer.write(_metric(name, value, "train", at, epoch))
                at += 1
            writer.write(_metric("epoch_train_loss", 2 / epoch, "train", at - 1, epoch))
            for name, value in (("valid_loss", valid_loss), ("valid_accuracy", epoch / (total + 1))):
                writer.write(_metric(name, value, "eval", epoch - 1, epoch))
    return folder


def reported(folder: JobDir, metrics: Mapping[str, Sequence[float]]) -> JobDir:
    """Writes records of metrics of a script, which says neither epoch nor step."""
    with Writer(Segments(folder.records / "script", 1, ".jsonl")) as writer:
        for name, values in metrics.items():
            for value in values:
                writer.write(Record(t=1.0, kind="metric", name=name, value=value))
    return folder


def _metric(name: str, value: Value, mode: str, step: int, epoch: int) -> Record:
    return Record(t=1.0 + step, kind="metric", name=name, mode=mode, step=step, epoch=epoch, value=value)


def ruled(folder: JobDir, *asked: str) -> JobDir:
    """Gives the job rules, as they are typed: `overfit:ratio_threshold=0.2`."""
    requests = [rules.parse(each).model_dump(mode="json") for each in asked]
    write_json(folder.path / "job.json", read_json(folder.path / "job.json") | {"rules": requests})
    return folder


def evaluated(folder: JobDir, confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> JobDir:
    """Writes evaluation.json for this confusion matrix."""
    total, right = sum(map(sum, confusion)), sum(row[place] for place, row in enumerate(confusion))
    rows = [
        {"label": name, "images": sum(row), "accuracy": row[place] / sum(row) if sum(row) else None, "precision": None}
        for place, (name, row) in enumerate(zip(classes, confusion, strict=True))
    ]
    document: dict[str, Any] = {
        "split": "test",
        "images": total,
        "loss": 1.25,
        "accuracy": right / total,
        "accuracy_95": [0.25, 0.75],
        "classes": list(classes),
        "per_class": rows,
        "confusion": [list(row) for row in confusion],
        "predictions": [{"file": "a.jpg", "label": classes[0], "predicted": classes[0], "confidence": 90.0}],
    }
    write_json(folder.reports / "evaluation.json", document)
    return folder


def checked(folder: JobDir, classes: Sequence[str], bad: Mapping[str, str] | None = None, test: int = 2) -> JobDir:
    """Writes data_report.json: of each class 6 photos to train, 1 to validate and `test` held out."""
    each = {"train": 6, "valid": 1, "test": test}
    document = {
        "layout": "class folders",
        "classes": list(classes),
        "counts": {split: count * len(classes) for split, count in each.items()},
        "per_class": dict.fromkeys(classes, each),
        "bad": [{"file": file, "reason": reason} for file, reason in (bad or {}).items()],
        "ignored": 0,
        "unlabelled": 0,
        "left_out": 0,
        "duplicates": [],
        "conflicts": [[{"file": f"{name}/1.jpg", "class": name} for name in classes[:2]]],
        "leaks": [],
        "fingerprint": "0" * 64,
    }
    write_json(folder.reports / "data_report.json", document)
    return folder
