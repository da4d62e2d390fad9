"""What to do about a training: the findings of all rules and the profiler's verdict, one recommendation a cure.

First what costs accuracy, the most serious first: a fast training that learns nothing is worth nothing. Then what
costs time, in order of the seconds that would be saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vizsla.analysis.profiling.bound import Verdict
from vizsla.analysis.rules import Evaluation, Finding
from vizsla.job import PROFILER_RULES

# From what makes every other figure worthless to what costs some accuracy: where several rules fire, the cause is
# mostly above the symptom.
_SERIOUS: Final = (
    *("ExplodingTensor", "PoorWeightInitialization", "UnchangedTensor", "AllZero", "DeadRelu", "SaturatedActivation"),
    *("VanishingGradient", "WeightUpdateRatio", "LossNotDecreasing", "TensorVariance", "StalledTrainingRule"),
    *("CheckInputImages", "ClassImbalance", "Confusion", "Overfit", "Overtraining", "SimilarAcrossRuns"),
)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One cure, and why."""

    cure: str
    rules: tuple[str, ...]
    """The evaluations that ask for it, by their names; none where only the profiler's verdict does."""
    message: str
    """What the first of them found first."""
    seconds_saved: float | None = None
    """About what it would have saved of the job's time; None for what is not about time."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        saved = None if self.seconds_saved is None else round(self.seconds_saved, 3)
        return {"cure": self.cure, "rules": list(self.rules), "message": self.message, "seconds_saved": saved}


def of(
    evaluations: Iterable[Evaluation], verdict: Verdict | None = None, loop_seconds: float | None = None
) -> list[Recommendation]:
    """The cures of all findings, each once.

    verdict: what bounds the training; it counts where it is not healthy. loop_seconds: how long the whole loop took; a
    rule that has spoken before its end knows the share that would be saved, and not of what.
    """
    ranked = sorted(evaluations, key=_rank)
    learning = _by_cure([each for each in ranked if each.rule not in PROFILER_RULES], lambda _finding: None)
    slow = _by_cure(
        [each for each in ranked if each.rule in PROFILER_RULES], lambda finding: _saved(finding, loop_seconds)
    )
    if verdict and not verdict.is_healthy:
        slow = _with_verdict(slow, verdict)
    return learning + sorted(slow, key=lambda each: -(each.seconds_saved or 0.0))


def _saved(finding: Finding, loop_seconds: float | None) -> float:
    percent = finding.measured.get("percent_saved")
    if percent is not None and loop_seconds is not None:
        return percent / 100 * loop_seconds
    return finding.measured.get("seconds_saved", 0.0)


def _with_verdict(slow: Sequence[Recommendation], verdict: Verdict) -> list[Recommendation]:
    """The verdict names all that is to be set at once; what rules say of it a piece at a time is not said again."""
    pieces = [each for each in slow if all(part in verdict.cure for part in each.cure.rstrip(".").split(". "))]
    rules = tuple(dict.fromkeys(name for each in pieces for name in each.rules))
    whole = Recommendation(verdict.cure, rules, verdict.message, verdict.seconds_saved)
    return [whole, *(each for each in slow if each not in pieces)]


def _by_cure(evaluations: Iterable[Evaluation], saves: Callable[[Finding], float | None]) -> list[Recommendation]:
    by_cure: dict[str, list[Finding]] = {}
    for evaluation in evaluations:
        for finding in evaluation.findings:
            by_cure.setdefault(finding.cure, []).append(finding)
    return [
        Recommendation(
            cure,
            tuple(dict.fromkeys(finding.rule for finding in found)),
            found[0].message,
            max((saved for finding in found if (saved := saves(finding)) is not None), default=None),
        )
        for cure, found in by_cure.items()
    ]


def _rank(evaluation: Evaluation) -> int:
    return _SERIOUS.index(evaluation.rule) if evaluation.rule in _SERIOUS else len(_SERIOUS)
