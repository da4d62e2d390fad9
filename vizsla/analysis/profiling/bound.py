"""What holds a training up, and what to set: samples and phases → one verdict.

`meter` gathers the figures, `causes` knows what can be wrong. Several things may be at once: the verdict is named after
the one that costs most, and its settings end all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from vizsla.analysis.profiling.causes import CAUSES, IDLE, Bound, Cause, decodes_between_steps, of_script
from vizsla.analysis.profiling.meter import Figures, Meter
from vizsla.records import Record
from vizsla.words import count, listed, percent

LEAST_STEPS = 5
LEAST_SECONDS = 3.0  # of samples, where there are no phases
WORTH_IT = 0.03  # share of the time below which nothing is advised
WORTH_ADDING = 0.01  # where something else is advised already


@dataclass(frozen=True, slots=True)
class Verdict:
    """What bounds a training."""

    bound: Bound
    message: str
    """What was measured, in a sentence for each thing that costs time."""
    cure: str
    """What to type, `--set run.loader_workers=2 --set run.threads=2.`, and what to do besides."""
    settings: Mapping[str, str]
    """The same as pairs; empty where no setting helps."""
    seconds_saved: float
    """What the cure would have saved of the loop that was measured. Each cause's share is worked out from the figures
    as `causes` says; of several, each is taken of what the others leave. An estimate, not a promise."""
    numbers: Mapping[str, float]
    """What it was concluded from: shares of a step's time by phase, cores, `share_saved`, and what of it the settings
    alone would save."""

    @property
    def is_healthy(self) -> bool:
        """Whether nothing has to be changed."""
        return self.bound == "compute" and not self.settings

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "bound": self.bound,
            "message": self.message,
            "cure": self.cure,
            "settings": dict(self.settings),
            "seconds_saved": round(self.seconds_saved, 3),
            "numbers": dict(self.numbers),
        }


class Diagnosis:
    """A fold: records in, in order, and at any time the verdict on what was seen so far.

    settings: the plan's settings by key; None for a script, which is then told in words what to change.
    """

    def __init__(self, settings: Mapping[str, Any] | None) -> None:
        self._settings = settings
        self._meter = Meter()

    def see(self, record: Record) -> None:
        """Takes in a record; those that say nothing about time are passed over."""
        self._meter.see(record)

    def figures(self) -> Figures | None:
        """What the verdict is taken from; None where neither a phase nor a sample was seen."""
        return self._meter.figures()

    def verdict(self) -> Verdict | None:
        """None while too little was seen, and where samples alone cannot tell why cores are idle."""
        figures = self.figures()
        if figures is None or not _is_enough(figures):
            return None
        if causes := _causes(figures, self._settings):
            return _slowed(figures, causes)
        if not figures.step_seconds and (figures.job_cpu or 0.0) < (1 - 2 * IDLE) * figures.share:
            return None
        return _healthy(figures, self._settings)


def _is_enough(figures: Figures) -> bool:
    return figures.steps >= LEAST_STEPS if figures.step_seconds else figures.sampled_seconds >= LEAST_SECONDS


def _causes(figures: Figures, settings: Mapping[str, Any] | None) -> list[Cause]:
    """What is wrong, the most important first; nothing where it is not worth a word."""
    found = [cause for look in CAUSES if (cause := look(figures, settings))]
    if not any(each.urgent or each.share >= WORTH_IT for each in found):
        return []
    if all(each.bound not in ("loading", "disk") for each in found):
        found += [cause] if (cause := decodes_between_steps(figures, settings)) else []
    known = [each if settings is not None else of_script(each) for each in found]
    return sorted((each for each in known if each.urgent or each.share >= WORTH_ADDING), key=_weight)


def _weight(cause: Cause) -> tuple[bool, float]:
    return not cause.urgent, -cause.share


def typed(settings: Mapping[str, str], advice: Sequence[str] = ()) -> str:
    """A cure as it is typed, and what to do besides, with a full stop."""
    pairs = " ".join(f"--set {key}={settings[key]}" for key in sorted(settings, key=_place))
    return " ".join([f"{pairs}."] * bool(pairs) + [each for each in advice if each])


def _place(key: str) -> tuple[int, str]:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER), key


_ORDER: Final = ("run.loader_workers", "run.threads", "batch_size")


def _slowed(figures: Figures, causes: Sequence[Cause]) -> Verdict:
    settings: dict[str, str] = {}
    for cause in causes:
        settings = {**cause.settings, **settings}  # of two that set the same, the one that costs more decides
    saved, by_settings = _saved(causes), _saved([cause for cause in causes if cause.settings])
    advice = list(dict.fromkeys(cause.advice for cause in causes))
    return Verdict(
        bound=causes[0].bound,
        message=" ".join(cause.message for cause in causes),
        cure=typed(settings, advice),
        settings={key: settings[key] for key in sorted(settings, key=_place)},
        seconds_saved=figures.loop_seconds * saved,
        numbers=_numbers(figures, saved, by_settings),
    )


def _saved(causes: Sequence[Cause]) -> float:
    """The share of the time that is saved where all of these end: each is taken of what the others leave."""
    return 1 - prod(1 - min(0.95, cause.share) for cause in causes)


def _healthy(figures: Figures, settings: Mapping[str, Any] | None) -> Verdict:
    """Nothing is wrong: the cores compute."""
    computing = figures.part("forward", "backward", "update")
    on = f" on {figures.job_cpu:.1f} of {count(figures.share, 'core')}" if figures.job_cpu is not None else ""
    if figures.step_seconds:
        text = f"The network computes {percent(computing, 0)} of the time of a step{on}: that is how it should be."
    else:
        text = f"The script computes{on}: that is how it should be."
    return Verdict("compute", text, _cheaper(settings), {}, 0.0, _numbers(figures, 0.0, 0.0))


def _cheaper(settings: Mapping[str, Any] | None) -> str:
    """What makes steps cheaper, at a price."""
    if settings is None:
        return "Nothing has to be set. A smaller model, smaller images or fewer trained layers make steps cheaper."
    ways = []
    if settings["train_from"] != "head":
        ways.append("--set train_from=head (fewer trained layers)")
    if settings["image.size"] > 128:
        ways.append(f"--set image.size={settings['image.size'] * 5 // 7 // 32 * 32 or 32} (smaller images)")
    ways.append("a smaller model (`vizsla models`)")
    return f"Nothing has to be set. What makes steps cheaper may cost accuracy: {listed(ways)}."


def _numbers(figures: Figures, saved: float, by_settings: float) -> dict[str, float]:
    known = {
        **{f"{phase}_share": figures.part(phase) for phase in figures.seconds},
        "cores": float(figures.cores),
        "share_saved": saved,
        "share_saved_by_settings": by_settings,
    }
    if figures.sampled_seconds:
        measured = {
            "cores_busy": figures.cpu,
            "cores_job": figures.job_cpu,
            "cores_others": figures.others,
            "cores_iowait": figures.iowait,
            "memory_percent": figures.memory,
            "running": figures.running,
        }
        known |= {name: value for name, value in measured.items() if value is not None}
    return {name: round(value, 4) for name, value in known.items()}
