"""What to do about a training, out of what all rules found."""

from __future__ import annotations

from vizsla.analysis import recommendations
from vizsla.analysis.profiling.bound import Verdict
from vizsla.analysis.rules import Evaluation, Finding
from vizsla.job import PROFILER_RULES


def found(rule: str, *cures: str) -> Evaluation:
    """How a rule comes out that found as many things."""
    findings = tuple(Finding(rule, f"{rule} {place}", cure) for place, cure in enumerate(cures))
    return Evaluation(rule, rule, "IssuesFound" if cures else "NoIssuesFound", len(cures), 9, {}, findings)


def test_a_cure_is_named_once_with_all_who_ask_for_it() -> None:
    (only,) = recommendations.of([found("Overfit", "lower it", "lower it"), found("Confusion", "lower it")])
    said = {"cure": "lower it", "rules": ["Confusion", "Overfit"], "message": "Confusion 0"}
    assert only.document() == said | {"seconds_saved": None}


def test_what_makes_the_other_figures_worthless_comes_first() -> None:
    asked = [found("Overfit", "a"), found("DeadRelu", "b"), found("ExplodingTensor", "c"), found("VanishingGradient")]
    assert [each.cure for each in recommendations.of(asked)] == ["c", "b", "a"]


def test_every_rule_of_the_debugger_has_its_place_and_an_unknown_one_comes_after_them() -> None:
    from vizsla.analysis.rules import RULES

    known = [rule.__name__ for rule in RULES if rule.__name__ not in PROFILER_RULES]
    asked = [found("SomeRuleOfTomorrow", "z"), *(found(name, name) for name in known)]
    cures = [each.cure for each in recommendations.of(asked)]
    assert (cures[-1], set(cures)) == ("z", {"z", *known})
    assert cures[-2] == "SimilarAcrossRuns"


def test_rules_that_found_nothing_recommend_nothing() -> None:
    assert recommendations.of([found("Overfit"), found("DeadRelu")]) == []


# ---- what costs time


def slow(rule: str, cure: str, seconds_saved: float) -> Evaluation:
    finding = Finding(rule, f"{rule} is slow", cure, numbers={"seconds_saved": seconds_saved})
    return Evaluation(rule, rule, "IssuesFound", 1, 9, {}, (finding,))


def verdict(seconds_saved: float, cure: str = "--set run.threads=2.") -> Verdict:
    return Verdict("oversubscription", "8 threads on 2 cores.", cure, {"run.threads": "2"}, seconds_saved, {})


def test_what_costs_accuracy_comes_before_what_costs_time() -> None:
    asked = [slow("Dataloader", "more workers", 900.0), found("Overfit", "stop earlier")]
    assert [each.cure for each in recommendations.of(asked)] == ["stop earlier", "more workers"]


def test_what_costs_time_is_in_order_of_the_seconds_it_costs() -> None:
    asked = [slow("StepOutlier", "look", 5.0), slow("Dataloader", "load", 90.0), slow("IOBottleneck", "copy", 20.0)]
    cures = [each.cure for each in recommendations.of(asked, verdict(50.0))]
    assert cures == ["load", "--set run.threads=2.", "copy", "look"]


def test_a_rule_that_spoke_early_is_ranked_by_its_share_of_the_whole_loop() -> None:
    early = Finding("Dataloader", "slow", "load", numbers={"seconds_saved": 1.0, "percent_saved": 50.0})
    asked = [
        slow("IOBottleneck", "copy", 20.0),
        Evaluation("Dataloader", "Dataloader", "IssuesFound", 1, 9, {}, (early,)),
    ]
    found = recommendations.of(asked, None, loop_seconds=100.0)
    assert [(each.cure, each.seconds_saved) for each in found] == [("load", 50.0), ("copy", 20.0)]


def test_a_verdict_that_a_rule_has_said_already_is_not_said_again() -> None:
    (only,) = recommendations.of([slow("CPUBottleneck", "--set run.threads=2.", 50.0)], verdict(50.0))
    assert (only.rules, only.seconds_saved) == (("CPUBottleneck",), 50.0)


def test_pieces_of_a_verdict_are_gathered_in_it() -> None:
    cure = "--set run.loader_workers=2 --set run.threads=2. End the other programs."
    asked = [
        slow("Dataloader", "--set run.loader_workers=2.", 9.0),
        slow("CPUBottleneck", "End the other programs.", 5.0),
    ]
    (only,) = recommendations.of(asked, verdict(50.0, cure))
    assert (only.cure, set(only.rules)) == (cure, {"CPUBottleneck", "Dataloader"})


def test_a_training_that_computes_needs_no_advice() -> None:
    assert recommendations.of([], Verdict("compute", "As it should be.", "Nothing has to be set.", {}, 0.0, {})) == []
