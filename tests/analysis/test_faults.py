"""Each rule on real trainings: one with the fault it is for, and the same without. docs/rules.md counts ten seeds each.

Where the documented defaults accuse healthy trainings too (docs/rules.md says how often), the rule is held to both
directions with parameters that know a healthy one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import rules_table
from bench.faults import job, named, usual
from bench.faults.loop import Training
from bench.faults.named import Case
from vizsla.analysis.rules import TENSOR_RULES, Evaluation, find, parse

SEED = 200  # neither of the table nor one that thresholds were chosen by
MILDER = {
    "overfit": "overfit:ratio_threshold=0.5,rise_percent=40,least_gap=0.2,patience=3",
    "loss_not_decreasing": "loss_not_decreasing:by_epoch=true,mode=train,num_steps=1,enough_percent=10",
    "poor_weight_initialization": "poor_weight_initialization:threshold=10000,patience=10",
    "confusion": "confusion:min_diag=0.65,max_off_diag=0.35",
}
CASES = [
    replace(case, rule=MILDER.get(case.rule, case.rule)) for case in named.CASES if case.healthy != named.EVERY_EPOCH
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Evaluation]:
    """By the place of the case; a training that several cases share is run once."""
    wanted: dict[Training, list[int]] = {}
    for at, case in enumerate(CASES):
        wanted.setdefault(case.healthy, []).append(at)
    found: dict[int, Evaluation] = {}
    for training, places in wanted.items():
        cases = [CASES[at] for at in places]
        found |= zip(places, named.judge(training, cases, SEED, tmp_path_factory.mktemp("healthy")), strict=True)
    return found


def test_every_rule_has_a_fault() -> None:
    assert {parse(case.rule).rule for case in CASES} == {rule.__name__ for rule in TENSOR_RULES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule.partition(':')[0]}: {case.fault}")
def test_a_fault_is_found(case: Case, tmp_path: Path) -> None:
    (found,) = named.judge(case.faulty, [case], SEED, tmp_path)
    assert found.status == "IssuesFound", found.reason
    assert found.findings[0].cure


@pytest.mark.parametrize("at", range(len(CASES)), ids=lambda at: f"{CASES[at].rule.partition(':')[0]}-{at}")
def test_the_same_training_without_it_is_let_be(at: int, healthy: dict[int, Evaluation]) -> None:
    assert healthy[at].status == "NoIssuesFound", (healthy[at].reason, healthy[at].findings[:1])


@pytest.mark.parametrize("rule", usual.FAULTS)
def test_the_default_rules_find_faults_of_the_built_in_classifier(rule: str, tmp_path: Path) -> None:
    found = job.judged(tmp_path, job.train(usual.FAULTS[rule][0], SEED, tmp_path))
    assert found[rule].status == "IssuesFound"


@pytest.mark.parametrize("setting", [usual.HEALTHY[3], usual.HEALTHY[6]], ids=lambda setting: setting.about)
def test_the_default_rules_let_healthy_trainings_be(setting: job.Setting, tmp_path: Path) -> None:
    found = job.judged(tmp_path, job.train(setting, SEED, tmp_path))
    assert {each.rule: each.findings for each in found.values() if each.findings} == {}
    assert "Error" not in {each.status for each in found.values()}


def test_the_page_has_a_place_for_the_table() -> None:
    page = rules_table.PAGE.read_text(encoding="utf-8")
    assert "one of one" in rules_table.fill(page, "one of one")
    with pytest.raises(ValueError, match="needs one"):
        rules_table.fill("# Rules", "one of one")


def test_what_a_rule_could_not_judge_is_not_counted_as_right() -> None:
    nothing = Evaluation("dead", find("dead_relu").__name__, "NotApplicable", 0, 0, {}, (), "no ReLU")
    with pytest.raises(RuntimeError, match="no ReLU"):
        rules_table.Count().add(nothing, 0)
