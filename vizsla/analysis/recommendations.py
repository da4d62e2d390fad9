"""What to do about a training: the findings of all rules, one recommendation a cure, the most serious first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from vizsla.analysis.rules import Evaluation, Finding

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
    """The evaluations that ask for it, by their names."""
    message: str
    """What the first of them found first."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"cure": self.cure, "rules": list(self.rules), "message": self.message}


def of(evaluations: Iterable[Evaluation]) -> list[Recommendation]:
    """The cures of all findings, each once."""
    by_cure: dict[str, list[Finding]] = {}
    for evaluation in sorted(evaluations, key=_rank):
        for finding in evaluation.findings:
            by_cure.setdefault(finding.cure, []).append(finding)
    return [
        Recommendation(cure, tuple(dict.fromkeys(finding.rule for finding in found)), found[0].message)
        for cure, found in by_cure.items()
    ]


def _rank(evaluation: Evaluation) -> int:
    return _SERIOUS.index(evaluation.rule) if evaluation.rule in _SERIOUS else len(_SERIOUS)
