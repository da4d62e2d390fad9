"""Rules on the records of a job, running or ended: what `vizsla debug` asks. Nothing of the job is changed."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from vizsla import records
from vizsla.analysis import defaults, facts, recommendations, rules
from vizsla.analysis.facts import JobFacts
from vizsla.errors import UserError
from vizsla.job import CLASSIFIER, PROFILER_RULES, Job, RuleRequest
from vizsla.jobdir import JobDir
from vizsla.workspace import KINDS, Workspace


def debug(folder: JobDir, asked: Sequence[str] = ()) -> dict[str, Any]:
    """{"name", "kind", "status", "created", "rules", "recommendations", "problems"}: a job held against rules.

    asked: rules as they are typed, `overfit:ratio_threshold=0.2`; without any, those the job has, or else those that
    are on by default for the built-in classifier.

    Raises UserError for an unknown rule or parameter, a sweep, and a job that recorded nothing.
    """
    requests = _requests(asked)
    if folder.kind == "tuning":
        raise UserError(f"{folder.name} is a search, and rules look at one job.", "Name one of its training jobs.")
    requests = requests or _own(folder.job())
    known = facts.read(folder, requests)
    _refuse_without_records(known, {request.rule for request in requests})
    return {
        "name": folder.name,
        "kind": folder.kind,
        "status": known.status,
        "created": known.job.created,
        "rules": [each.document() for each in known.rules],
        "recommendations": [each.document() for each in recommendations.of(known.rules)],
        "problems": list(known.problems),
    }


def find(asked: str, workspace: Workspace) -> JobDir:
    """The job that a name or a path means. Raises UserError if there is none."""
    path = Path(asked)
    if (path / "job.json").is_file():
        return JobDir(path.absolute())
    if "/" in asked and asked.partition("/")[0] not in KINDS:
        raise UserError(f"There are no records in {asked}.", "Name a job, or the folder that `watch` wrote to.")
    return JobDir(workspace.find(asked))


def debug_records(place: Path, asked: Sequence[str]) -> dict[str, Any]:
    """The same of what `vizsla.debugger.watch` has left in a folder; "kind", "status" and "created" are null.

    Raises UserError for an unknown rule or parameter, without any, and for a folder that recorded nothing.
    """
    requests = _requests(asked)
    if not requests:
        raise UserError(f"{place} is no job, so it has no rules of its own.", "Name some, such as --rule overfit")
    torn: list[str] = []
    found = records.read(place / "records", on_tear=torn.append)
    if not found:
        raise UserError(f"There are no records in {place}.", "Name the folder that `watch` wrote to.")
    known = rules.Context(others=lambda name: records.read(Path(name) / "records"))
    judged = [rules.evaluate(request, found, finished=True, context=known) for request in requests]
    return {
        "name": place.name,
        "kind": None,
        "status": None,
        "created": None,
        "rules": [each.document() for each in judged],
        "recommendations": [each.document() for each in recommendations.of(judged)],
        "problems": [f"The records are damaged in {file}; they were read up to there." for file in torn],
    }


def _requests(asked: Sequence[str]) -> tuple[RuleRequest, ...]:
    """Rules as they are typed; an action is refused: only where a training is watched would it be carried out."""
    requests = rules.distinct(rules.parse(each) for each in asked)
    for request in requests:
        if request.actions:
            raise UserError(
                f"{request.rule} has an action, and looking at records carries none out.",
                "Leave action= out; it is for `vizsla train --rule` and `vizsla run --rule`, while they train.",
            )
    return requests


def _own(job: Job) -> tuple[RuleRequest, ...]:
    if job.rules:
        return job.rules
    if job.entry_point == CLASSIFIER:
        return defaults.requests()
    raise UserError(f"{job.name} has no rules of its own.", "Name some, such as --rule loss_not_decreasing")


def _refuse_without_records(known: JobFacts, asked: Set[str]) -> None:
    """Time is recorded of every job, so that is something to look at only where a rule of the profiler's is asked."""
    kinds = {"metric", "tensor", *(("system", "phase") if asked & PROFILER_RULES else ())}
    if any(record.kind in kinds for record in known.records):
        return
    name = known.folder.name
    if known.problems:
        raise UserError(f"{name} has no records that can be read: {known.problems[0]}", "Train again.")
    if not known.finished:
        raise UserError(f"{name} has no records: it has not measured anything yet.", "Ask again in a while.")
    if known.job.entry_point != CLASSIFIER and not known.job.metrics:
        raise UserError(
            f"{name} has no records: no metric was named, and no hook of its script saved anything.",
            "Name what the script prints, --metric NAME=REGEX, or give it a hook: docs/smdebug.md.",
        )
    raise UserError(
        f"{name} has no records: it ended before anything was measured, or they were not copied with its folder.",
        f"See how it ended: vizsla show {name}",
    )
