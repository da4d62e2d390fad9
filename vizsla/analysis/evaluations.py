"""The rules of a job, held against what its folder records: the same for the report, `vizsla debug` and Python.

Between `rules`, which know no files, and the folder: it brings the plan's settings, other jobs and raw tensors.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vizsla import keys, records
from vizsla.analysis import rules
from vizsla.analysis.rules import Context, Evaluation
from vizsla.errors import UserError
from vizsla.files import read_json
from vizsla.job import RuleRequest
from vizsla.jobdir import Attempt, JobDir
from vizsla.plan import Plan
from vizsla.records import Record
from vizsla.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np


def evaluate(
    requests: Iterable[RuleRequest],
    found: Sequence[Record],
    last: Attempt | None,
    context: Context,
) -> tuple[Evaluation, ...]:
    """One evaluation a request. A rule that this vizsla does not know, or that fails, has the status Error.

    found: the job's records in order. last: its last attempt, which says whether more can come and when it ended.
    """
    return tuple(_evaluate(request, found, last, context) for request in requests)


def context(folder: JobDir, plan: Plan | None) -> Context:
    """What rules may know of a job besides its records. plan: None for a script."""
    return Context(
        settings=_settings(plan) if plan else None,
        others=lambda name: records.read(_other(folder, name).records),
        load=lambda record: _raw(folder, record),
        classes=_classes(folder) if plan else None,
    )


def _evaluate(request: RuleRequest, found: Sequence[Record], last: Attempt | None, known: Context) -> Evaluation:
    finished = last is not None and last.finished
    stopped = last is not None and last.state == "Stopped"
    try:
        return rules.evaluate(request, found, finished, known, stopped=stopped, now=_now(last))
    except UserError as error:  # in a job.json of another version; what a user types is checked before
        return Evaluation(request.name, request.rule, "Error", 0, 0, request.parameters, (), str(error))


def _classes(folder: JobDir) -> list[str] | None:
    """The names of the classes by index; None before the photos were divided, and where the report is damaged."""
    try:
        return [str(name) for name in read_json(folder.reports / "data_report.json")["classes"]]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _now(last: Attempt | None) -> float:
    """The moment up to which a job is judged, unix seconds: its end, or this one."""
    return datetime.fromisoformat(last.ended).timestamp() if last and last.ended else time.time()


def _settings(plan: Plan) -> Mapping[str, Any]:
    values = plan.model_dump(mode="json")
    return {key.name: _at(values, key.name) for key in keys.declared(Plan)}


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values


def _other(folder: JobDir, name: str) -> JobDir:
    """Another job: a folder, or a name in the same workspace. Raises UserError where there is none."""
    if "/" in name and (Path(name) / "job.json").is_file():
        return JobDir(Path(name))
    return JobDir(Workspace(folder.path.parent.parent).find(name))


def _raw(folder: JobDir, record: Record) -> np.ndarray[Any, Any] | None:
    """The tensor of a record as it was saved, or None if it was not. Raises OSError, and what safetensors does."""
    if record.file is None or not (folder.path / record.file).is_file():
        return None
    from safetensors import safe_open

    with safe_open(folder.path / record.file, framework="numpy") as tensors:
        found: np.ndarray[Any, Any] | None = tensors.get_tensor(record.name) if record.name in tensors.keys() else None  # noqa: SIM118 - no mapping
    return found
