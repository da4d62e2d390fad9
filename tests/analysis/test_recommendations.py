"""What to do about a training, out of what all rules found."""

from __future__ import annotations

from vizsla.analysis import recommendations
from vizsla.analysis.rules import Evaluation, Finding


def found(rule: str, *cures: str) -> Evaluation:
    """How a rule comes out that found as many things."""
    findings = tuple(Finding(rule, f"{rule} {place}", cure) for place, cure in enumerate(cures))
    return Evaluation(rule, rule, "IssuesFound" if cures else "NoIssuesFound", len(cures), 9, {}, findings)


def test_a_cure_is_named_once_with_all_who_ask_for_it() -> None:
    (only,) = recommendations.of([found("Overfit", "lower it", "lower it"), found("Confusion", "lower it")])
    assert only.document() == {"cure": "lower it", "rules": ["Confusion", "Overfit"], "message": "Confusion 0"}


def test_what_makes_the_other_figures_worthless_comes_first() -> None:
    asked = [found("Overfit", "a"), found("DeadRelu", "b"), found("ExplodingTensor", "c"), found("VanishingGradient")]
    assert [each.cure for each in recommendations.of(asked)] == ["c", "b", "a"]


def test_every_rule_has_its_place_and_an_unknown_one_is_last() -> None:
    from vizsla.analysis.rules import RULES

    asked = [found("SomeRuleOfTomorrow", "z"), *(found(rule.__name__, rule.__name__) for rule in RULES)]
    cures = [each.cure for each in recommendations.of(asked)]
    assert (cures[-1], set(cures)) == ("z", {"z", *(rule.__name__ for rule in RULES)})
    assert cures[-2] == "SimilarAcrossRuns"


def test_rules_that_found_nothing_recommend_nothing() -> None:
    assert recommendations.of([found("Overfit"), found("DeadRelu")]) == []
