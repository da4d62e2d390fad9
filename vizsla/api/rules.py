"""The rules there are, and what a user types as a request for them."""

from __future__ import annotations

from collections.abc import Sequence

from vizsla.analysis import rules
from vizsla.job import RuleRequest


def parse(typed: Sequence[str] | None) -> list[RuleRequest]:
    """Rules as they are typed, `overfit:ratio_threshold=0.2`. Raises UserError for one that cannot be."""
    return [rules.parse(each) for each in typed or ()]


def check(request: RuleRequest) -> None:
    """Raises UserError for an unknown rule or parameter (naming the nearest), or a value that cannot be."""
    rules.make(request)


def names() -> dict[str, str]:
    """Every rule: `vanishing_gradient` → `VanishingGradient`."""
    return {rules.snake(rule): rule.__name__ for rule in rules.RULES}
