"""Search over hyperparameters: start a sweep, go on with one, say what it found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from vizsla import jobdir
from vizsla.api import requests, warm
from vizsla.api.requests import Request
from vizsla.api.training import NAME_FORMAT
from vizsla.backends import local
from vizsla.errors import UserError
from vizsla.job import CLASSIFIER, Job, duration, slug
from vizsla.jobdir import JobDir
from vizsla.keys import Section, declared, known
from vizsla.plan import Plan, resolve
from vizsla.tuning import baseline, parents, search, space, sweep, trials
from vizsla.tuning.parents import Kind
from vizsla.tuning.space import Categorical, Range, Space
from vizsla.tuning.spec import CLASSIFIER_METRICS, Sweep
from vizsla.tuning.sweep import load
from vizsla.tuning.trials import Trial
from vizsla.workspace import Workspace

MAX_NAME_LENGTH = 32  # AWS's limit for tuning jobs
MAX_JOBS = 999  # a trial's number has three digits


@dataclass(frozen=True)
class Search:
    """What a user asks of a search, beside the job that every trial is."""

    ranges: Sequence[tuple[str, Range]]
    jobs: int | None = None
    parallel: int = 1
    objective: str = "average test loss"
    direction: str | None = None
    strategy: str = "bayesian"
    early_stopping: str = "off"
    budget: str | None = None
    warm_start: Sequence[str] = ()
    warm_start_kind: str = "IdenticalDataAndAlgorithm"
    seed: int | None = None
    """Of the search; by default that of the trainings."""


def submit(request: Request, asked: Search, workspace: Workspace) -> JobDir:
    """Starts a sweep as a process of its own and returns at once. Raises UserError before anything is written."""
    template = requests.job(replace(request, rules=replace(request.rules, defaults=False)))
    own = template.entry_point == CLASSIFIER
    if own:
        resolve(template)
        asked = replace(asked, ranges=[(_as_declared(name), each) for name, each in asked.ranges])
    ranges = space.space(asked.ranges)
    if own:
        template = _with_method(template, ranges)
    if not template.rules and not any(name.startswith("debug.") for name in request.settings):
        template = _unwatched(template)
    if not any(name.replace("-", "_") == "profile.num_steps" for name in request.settings):
        template = _unprofiled(template)
    made = _sweep(request.name or "the new sweep", template, ranges, asked, request.settings)
    _check(made, ranges)
    if made.warm_start:
        warm.check(made, workspace)
    folder = _folder(request, template, workspace)
    with workspace.filling(folder):
        for place in ("attempts", "checkpoints/vizsla/outcomes"):
            (folder / place).mkdir(parents=True)
        sweep.save(JobDir(folder), made.model_copy(update={"name": folder.name}))
        local.start(JobDir(folder))
    return JobDir(folder)


def _with_method(template: Job, ranges: Space) -> Job:
    """Trials fine-tune, or probe where the probe's own settings are searched; `auto` would do both in each of them."""
    given = {_as_declared(name) for name in template.hyperparameters} | set(ranges)
    if "method" in given:
        return template
    method = "probe" if any(name.startswith("probe.") for name in ranges) else "finetune"
    return template.model_copy(update={"hyperparameters": {**template.hyperparameters, "method": method}})


def _unwatched(template: Job) -> Job:
    """The debugger records nothing of a trial, unless rules were named: a search is to be quick."""
    return _with_launch(template, debug=template.launch.debug.model_copy(update={"collections": ()}))


def _unprofiled(template: Job) -> Job:
    """Of a trial there are samples and phases; its operators are profiled where somebody asks for that."""
    return _with_launch(template, profile=template.launch.profile.model_copy(update={"num_steps": 0}))


def _with_launch(template: Job, **changed: Section) -> Job:
    return template.model_copy(update={"launch": template.launch.model_copy(update=changed)})


def resume(name: str, workspace: Workspace) -> JobDir:
    """Goes on with a sweep that was stopped, killed or failed. Raises UserError for a completed or running one."""
    folder = find(name, workspace)
    last = jobdir.advance(folder)
    if last and last.state == "Completed":
        raise UserError(f"{name} is completed: there is nothing to go on with.", f"See it: vizsla show {name}")
    local.start(folder)
    return folder


def find(name: str, workspace: Workspace) -> JobDir:
    """The sweep called `name`. Raises UserError if there is none."""
    return JobDir(workspace.find(name, "tuning"))


def spec(folder: JobDir) -> Sweep:
    """What the sweep in a folder was asked for."""
    return load(folder)


def document(folder: JobDir) -> dict[str, Any]:
    """What `tune --json` prints."""
    made, found, last = load(folder), look(folder), jobdir.advance(folder)
    winner = trials.best(found, made)
    return {
        "name": folder.name,
        "kind": folder.kind,
        "status": last.state if last else "InProgress",
        "created": made.created,
        "sweep": folder.name,
        "objective": {"name": made.objective, "type": made.direction.capitalize()},
        "trials": [trial_document(trial) for trial in found],
        "best": trial_document(winner) if winner else None,
        "baseline": baseline.read(folder),
        "overall_best": _overall_best(folder, made, found),
        "folder": str(folder.path),
        "seconds": round(sum(attempt.seconds for attempt in folder.attempts()), 3),
        "reason": last.reason if last else None,
        "hint": last.hint if last else None,
    }


def _overall_best(folder: JobDir, made: Sweep, found: Sequence[Trial]) -> dict[str, Any] | None:
    """SageMaker's OverallBestTrainingJob: the best trial of this sweep and of those that it goes on from.

    None without a warm start, and where nothing has a value. A parent that was removed since is left out.
    """
    workspace = Workspace(folder.path.parent.parent)
    there = [name for name in made.warm_start if (workspace.path / "tuning" / name / "sweep.json").exists()]
    earlier = {name: [trial.tried() for trial in look(find(name, workspace))] for name in there}
    own = [trial.tried() for trial in found]
    best = parents.best_of_all(made.warm_start_kind, earlier, own, made.direction) if made.warm_start else None
    if best is None:
        return None
    name, trial = best[0] or folder.name, best[1]
    parent = load(find(name, workspace))
    return {"sweep": name, "name": parent.trial_name(trial.number), "objective": trial.value}


def trial_document(trial: Trial) -> dict[str, Any]:
    """One trial as the documents show it."""
    return {
        "name": trial.folder.name,
        "status": trial.status,
        "hyperparameters": dict(trial.hyperparameters),
        "objective": trial.objective,
        "epochs": len(trial.curve),
        "seconds": round(trial.seconds, 3),
        "reason": trial.reason,
    }


def look(folder: JobDir) -> list[Trial]:
    """The trials of a sweep as they are now."""
    return trials.read_all(load(folder), Workspace(folder.path.parent.parent))


def winner(name: str, workspace: Workspace) -> dict[str, str]:
    """The hyperparameters of a sweep's best trial, for the final training.

    What only made trials quick or kept them from the held-out photos is left out: the final training may keep its
    probe. Raises UserError if there is no
    trial with a value.
    """
    folder = find(name, workspace)
    best = trials.best(look(folder), load(folder))
    if best is None:
        raise UserError(f"{name} has no trial with a value yet.", f"Go on with it: vizsla tune --resume {name}")
    job = best.folder.job()
    if job.entry_point != CLASSIFIER:
        given = " ".join(f"--hp {key}={value}" for key, value in job.hyperparameters.items())
        raise UserError(
            f"{name} searched over {job.entry_point}, which is no classifier of vizsla's.",
            f"Run it with what was found: vizsla run {job.entry_point} --source {job.source} {given}",
        )
    own = job.hyperparameters
    only_trials = {"data.fraction", "evaluate.test"} | ({"method"} if own.get("method") == "finetune" else set())
    return {key: value for key, value in own.items() if _as_declared(key) not in only_trials}


def _sweep(name: str, template: Job, ranges: Space, asked: Search, settings: Mapping[str, str]) -> Sweep:
    direction = asked.direction or ("maximize" if "accuracy" in asked.objective else "minimize")
    choices = {
        "direction": (direction, ("minimize", "maximize")),
        "strategy": (asked.strategy, ("bayesian", "random", "grid", "hyperband")),
        "early-stopping": (asked.early_stopping, ("auto", "off")),
        "warm-start-kind": (asked.warm_start_kind, get_args(Kind)),
    }
    for option, (given, allowed) in choices.items():
        if given not in allowed:
            raise UserError(f"--{option} cannot be {given}.", f"It is {' or '.join(allowed)}.")
    grid_size = len(space.grid(ranges)) if asked.strategy == "grid" else None
    return Sweep(
        name=name,
        template=template,
        ranges=space.to_json(ranges),
        objective=asked.objective,
        direction=direction,
        strategy=asked.strategy,
        early_stopping=asked.early_stopping,
        max_jobs=asked.jobs or grid_size or 4,
        parallel=asked.parallel,
        budget_s=_budget(asked.budget),
        seed=_seed(settings) if asked.seed is None else asked.seed,
        warm_start=tuple(asked.warm_start),
        warm_start_kind=asked.warm_start_kind,
    )


def _seed(settings: Mapping[str, str]) -> int:
    given = settings.get("seed", "0")
    if not given.isdecimal():
        raise UserError(f"seed={given} cannot be: it is no whole number.", "Say it as --set seed=3.")
    return int(given)


def _budget(text: str | None) -> float | None:
    try:
        return duration(text) if text else None
    except ValueError as error:
        raise UserError(f"--budget {text} is no time.", f"{error}.".capitalize()) from error


def _check(made: Sweep, ranges: Space) -> None:
    if made.max_jobs > MAX_JOBS:
        raise UserError(f"A sweep has at most {MAX_JOBS} jobs.", "Start another one from it with --warm-start.")
    search.check(made.strategy, ranges, jobs=made.max_jobs, early_stopping=made.early_stopping == "auto")
    own = made.template.entry_point == CLASSIFIER
    fixed = {_as_declared(name) if own else name for name in made.template.hyperparameters}
    both = [name for name in ranges if name in fixed]
    if both:
        raise UserError(f"{both[0]} is set and searched at once.", "Give it either a value or a range.")
    if own and "evaluate.test" in ranges:
        raise UserError("evaluate.test cannot be searched: no trial asks the held-out photos.", "Leave it away.")
    known = CLASSIFIER_METRICS if made.template.entry_point == CLASSIFIER else [m.name for m in made.template.metrics]
    if made.objective not in known:
        raise UserError(
            f"There is no metric called {made.objective!r} to search by.",
            f"There are: {', '.join(known) or 'none'}. A script's are named with --metric NAME=REGEX.",
        )
    if own:
        _check_ends(made.template, ranges)


def _check_ends(template: Job, ranges: Space) -> None:
    """Raises UserError where a plan could not be made of the ends of a range."""
    for name, each in ranges.items():
        ends = each.values if isinstance(each, Categorical) else (each.text(each.low), each.text(each.high))
        for end in ends:
            resolve(template.model_copy(update={"hyperparameters": {**template.hyperparameters, name: end}}))


def _as_declared(name: str) -> str:
    """A setting's name as the plan has it: `-` and `_` are one for the built-in classifier."""
    return known(name, [key.name for key in declared(Plan)])


def _folder(request: Request, template: Job, workspace: Workspace) -> Path:
    if request.name:
        if len(request.name) > MAX_NAME_LENGTH:
            raise UserError(f"{request.name} is too long.", f"A sweep's name has at most {MAX_NAME_LENGTH} characters.")
        trial = re.compile(re.escape(request.name) + "-[0-9]{3}", re.IGNORECASE)
        if taken := next((name for name in workspace.names("training") if trial.fullmatch(name)), None):
            raise UserError(
                f"There is a job called {taken}, as a trial of {request.name} would be.",
                "Choose another name, or remove what an earlier sweep of this name has left.",
            )
        return workspace.take("tuning", request.name)
    named = Path(template.entry_point).stem if template.source else Path(next(iter(template.channels.values()))).name
    stem = slug(named, MAX_NAME_LENGTH - 17)
    return workspace.take_like("tuning", f"{stem}-{datetime.now().strftime(NAME_FORMAT)}")
