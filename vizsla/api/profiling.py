"""A short profile of a training: started, and said what came of it. The job is kept, its model is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vizsla.analysis import facts
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.profiling.meter import Figures
from vizsla.api import training
from vizsla.api.requests import Request
from vizsla.errors import UserError
from vizsla.jobdir import JobDir
from vizsla.workspace import Workspace

LEAST_STEPS = 10
INTERVAL_MS = "200"  # a short profile has few samples otherwise
OPERATOR_STEPS = 10
FIRST_STEP = 2  # the first ones make what the others use again


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user asks for: channels, the settings of the training as typed, and how many steps to watch."""

    channels: Mapping[str, Path]
    settings: Mapping[str, str]
    steps: int
    name: str | None = None


def submit(asked: Asked, workspace: Workspace) -> JobDir:
    """Starts the training that these settings mean, to be stopped after so many steps.

    Raises UserError for a script, for too few steps, and for settings that cannot be.
    """
    for place in asked.channels.values():
        _refuse_script(place)
    if asked.steps < LEAST_STEPS:
        raise UserError(f"{asked.steps} steps are too few to judge by.", f"Take at least --steps {LEAST_STEPS}.")
    settings = {name.replace("-", "_"): value for name, value in asked.settings.items()}
    for name, cure in _OWN.items():
        if name in settings:
            raise UserError(f"{name} is not for `vizsla profile`.", cure)
    request = Request(asked.channels, {**_usual(asked.steps, settings), **asked.settings}, asked.name)
    return training.submit(request, workspace, "profile")


_OWN = {
    "profile.stop_after": "Say how many steps: --steps 50",
    "profile.enabled": "Leave it out: a profile is what this command is for.",
}


def _usual(steps: int, given: Mapping[str, str]) -> dict[str, str]:
    """What a profile is made with where nobody said otherwise. Nothing of it changes what is trained."""
    usual = {
        "profile.stop_after": str(steps),
        "profile.interval_ms": INTERVAL_MS,
        "profile.start_step": str(FIRST_STEP),
        "profile.num_steps": str(min(OPERATOR_STEPS, steps // 3)),
    }
    if not any(name.startswith("debug.") for name in given):
        usual["debug.collections"] = "none"
    return {name: value for name, value in usual.items() if name not in given}


def _refuse_script(place: Path) -> None:
    if place.is_file() and place.suffix == ".py":
        raise UserError(
            f"{place} is a script, and `vizsla profile` trains the built-in classifier on a folder of photos.",
            f"Run it, and look at the report: vizsla run {place} …; docs/profiler.md says how its loop is watched.",
        )


def document(folder: JobDir) -> dict[str, Any]:
    """What came of it: what bounds the training, what to set, and the figures behind; null for what is not known.

    `seconds_saved` is what the cure would save of all steps of the whole training, `share_saved` its share of them, and
    `share_saved_by_settings` what the settings alone would save.
    """
    known = facts.read(folder, ())
    profile, verdict, figures = known.profile, known.profile.verdict, known.profile.figures
    saved = verdict.numbers["share_saved"] if verdict else None
    whole = whole_seconds(known)
    last = known.last
    return {
        "name": folder.name,
        "kind": folder.kind,
        "status": known.status,
        "created": known.job.created,
        "bound": verdict.bound if verdict else None,
        "message": verdict.message if verdict else None,
        "cure": verdict.cure if verdict else None,
        "settings": dict(verdict.settings) if verdict else None,
        "share_saved": saved,
        "share_saved_by_settings": verdict.numbers["share_saved_by_settings"] if verdict else None,
        "seconds_saved": round(saved * whole, 3) if saved is not None and whole is not None else None,
        "seconds_whole": None if whole is None else round(whole, 3),
        "images_per_second": _images_per_second(figures),
        "step": _step(figures),
        **{name: part for name, part in profile.document().items() if name != "verdict"},
        "reason": last.reason if last else None,
        "hint": last.hint if last else None,
        "exit_code": last.exit_code if last else 0,
        "problems": list(known.problems),
    }


def whole_seconds(known: JobFacts) -> float | None:
    """About what all training steps of this plan would take, as they are set; None where too little is known."""
    figures, plan = known.profile.figures, known.plan
    if figures is None or plan is None or not figures.steps or not figures.steps_per_epoch:
        return None
    return figures.step_seconds / figures.steps * figures.steps_per_epoch * plan.epochs


def _images_per_second(figures: Figures | None) -> float | None:
    if figures is None or not figures.batch_size or not figures.step_seconds:
        return None
    return round(figures.batch_size * figures.steps / figures.step_seconds, 2)


def _step(figures: Figures | None) -> dict[str, Any] | None:
    """A step once the training was going: milliseconds and share of each phase, and the machine meanwhile."""
    if figures is None or not figures.steps:
        return None
    return {
        "count": figures.steps,
        "ms": round(1000 * figures.step_seconds / figures.steps, 3),
        "phases": {
            name: {"ms": round(1000 * seconds / figures.steps, 3), "share": round(figures.part(name), 4)}
            for name, seconds in figures.seconds.items()
        },
        "cores": figures.cores,
        "share": figures.share,
        "cores_busy": _rounded(figures.cpu if figures.sampled_seconds else None),
        "cores_job": _rounded(figures.job_cpu),
        "cores_others": _rounded(figures.others),
        "memory_percent": _rounded(figures.memory),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
