"""Rules, hooks and actions in SageMaker's words, as the job that comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.analysis.jobs import ended, measured, ruled
from vizsla import CollectionConfig, DebuggerHookConfig, Estimator, ProfilerRule, Rule, UserError, rule_configs
from vizsla.api import requests
from vizsla.job import Action, Job
from vizsla.sdk.jobs import TrainingJob
from vizsla.sdk.rule_configs import RuleConfig


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def job(estimator: Estimator, photos: Path) -> Job:
    return requests.job(estimator.request(str(photos)))


def test_the_words_people_type(photos: Path) -> None:
    estimator = Estimator(
        model="resnet18",
        rules=[
            Rule.sagemaker(rule_configs.vanishing_gradient()),
            Rule.sagemaker(rule_configs.overfit(), rule_parameters={"ratio_threshold": "0.2"}),
        ],
        debugger_hook_config=DebuggerHookConfig(
            hook_parameters={"train.save_interval": "100", "eval.save_interval": "10"},
            collection_configs=[CollectionConfig("gradients")],
        ),
    )
    asked = job(estimator, photos)
    assert [(rule.name, rule.parameters) for rule in asked.rules] == [
        ("VanishingGradient", {}),
        ("Overfit", {"ratio_threshold": "0.2"}),
    ]
    debug = asked.launch.debug
    assert (debug.save_every, debug.eval_save_every, debug.raw) == (100, 10, ("gradients",))


def test_a_training_without_rules_has_the_default_ones_and_one_with_an_empty_list_none(photos: Path) -> None:
    assert len(job(Estimator(), photos).rules) == 6
    assert job(Estimator(rules=[]), photos).rules == ()


@pytest.mark.parametrize(
    "rules",
    [["overfit:patience=2"], "overfit:patience=2", [rule_configs.overfit(patience=2)]],
)
def test_a_rule_may_be_typed_or_a_config(photos: Path, rules: list[RuleConfig | str]) -> None:
    assert [(rule.name, rule.parameters) for rule in job(Estimator(rules=rules), photos).rules] == [
        ("Overfit", {"patience": "2"})
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rules": [3]}, "3 is no rule"),
        ({"rules": [rule_configs.overfit]}, "is no rule"),
        ({"rules": 7}, "7 is no rule"),
        ({"rules": ["overfitt"]}, "no rule called 'overfitt'"),
        ({"debugger_hook_config": {"train.save_interval": 5}}, "debugger_hook_config is"),
        ({"debugger_hook_config": DebuggerHookConfig}, "debugger_hook_config is"),
    ],
)
def test_what_is_no_rule_and_no_hook_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Estimator(**arguments)


def test_of_several_intervals_the_shortest_holds_for_all() -> None:
    collections = [
        CollectionConfig("weights", {"save_interval": "50"}),
        CollectionConfig("losses", {"save_interval": "9"}),
    ]
    hook = DebuggerHookConfig(hook_parameters={"train.save_interval": "100"}, collection_configs=collections)
    assert hook.settings() == {"debug.save_every": "9", "debug.raw": "weights,losses"}


def test_no_hook_records_nothing(photos: Path) -> None:
    assert job(Estimator(debugger_hook_config=False), photos).launch.debug.collections == ()


def test_actions_become_the_rules(photos: Path) -> None:
    both = rule_configs.ActionList(rule_configs.StopTraining(), rule_configs.Command(["notify-send", "look"]))
    estimator = Estimator(rules=[Rule.sagemaker(rule_configs.dead_relu(), name="ears", actions=both)])
    (rule,) = job(estimator, photos).rules
    assert rule.name == "ears"
    assert rule.actions == (Action(name="stop"), Action(name="command", command=("notify-send", "look")))


def test_another_job_is_compared_with(photos: Path) -> None:
    rule = Rule.sagemaker(rule_configs.similar_across_runs(), other_trials_s3_input_paths=["monday"])
    assert job(Estimator(rules=[rule]), photos).rules[0].parameters == {"other_trials": "monday"}


def test_a_script_gets_its_hook_with_what_its_rules_look_at(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("pass\n")
    estimator = Estimator(
        entry_point="train.py",
        source_dir=tmp_path,
        rules=[Rule.sagemaker(rule_configs.vanishing_gradient())],
        debugger_hook_config=DebuggerHookConfig(hook_parameters={"train.save_interval": 5}),
    )
    hook = requests.job(estimator.request(None)).hook
    assert hook is not None
    assert hook["HookParameters"] == {"train.save_interval": "5"}
    assert {each["CollectionName"] for each in hook["CollectionConfigurations"]} == {"losses", "gradients"}


def test_a_job_of_the_estimator_is_asked_for_again_with_its_rules(photos: Path) -> None:
    first = job(Estimator(rules=[Rule.sagemaker(rule_configs.overfit(), name="mine")]), photos)
    again = Estimator._of(first, None)
    assert job(again, photos).rules == first.rules
    assert job(again, photos).launch == first.launch


def whole(name: str, parameters: dict[str, Any]) -> DebuggerHookConfig:
    return DebuggerHookConfig(collection_configs=[CollectionConfig(name, parameters)])


def test_what_a_hook_is_told_that_smdebug_knows_is_passed_on(tmp_path: Path) -> None:
    made = DebuggerHookConfig(hook_parameters={"predict.save_steps": "1,2", "include_regex": "fc"}, collection_configs=[
        CollectionConfig("heads", {"train.end_step": 5, "reductions": "mean"})]).document()  # fmt: skip
    assert made == {
        "HookParameters": {"predict.save_steps": "1,2", "include_regex": "fc"},
        "CollectionConfigurations": [
            {"CollectionName": "heads", "CollectionParameters": {"train.end_step": "5", "reductions": "mean"}}
        ],
    }


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (lambda: Rule.sagemaker(rule_configs.overfit(), rule_parameters={"ratio": "1"}), "no parameter 'ratio'"),
        (lambda: Rule.sagemaker(rule_configs.ProfilerReport()), "ProfilerReport is a rule of the profiler's"),
        (lambda: ProfilerRule.sagemaker(rule_configs.overfit()), "is no rule of the profiler's"),
        (lambda: Rule.sagemaker("overfit"), "'overfit' is no built-in rule"),  # type: ignore[arg-type]
        (lambda: Rule.sagemaker(rule_configs.overfit(), actions="stop"), "'stop' is no action"),  # type: ignore[arg-type]
        (lambda: Rule.sagemaker(rule_configs.overfit(), rule_parameters=["a"]), "rule_parameters is"),  # type: ignore[arg-type]
        (lambda: Rule.sagemaker(rule_configs.overfit(), collections_to_save=["a"]), "collections_to_save has 'a'"),  # type: ignore[list-item]
        (lambda: Rule.custom("image"), "container at AWS"),
        (lambda: ProfilerRule.custom("image"), "container at AWS"),
        (lambda: ProfilerRule.sagemaker(rule_configs.StepOutlier(stdev=5)), "no parameter 'stdev'"),
        (lambda: ProfilerRule.sagemaker(rule_configs.ProfilerReport(StepOutlier_sigma=5)), "no parameter 'sigma'"),
        (lambda: rule_configs.Email("me@here"), "No mail to me@here"),
        (lambda: rule_configs.SMS("+49"), "No message to"),
        (lambda: rule_configs.Command("echo hello"), "is no command"),
        (lambda: DebuggerHookConfig(hook_parameters={"save_all": True}).settings(), "no parameter 'save_all'"),
        (lambda: DebuggerHookConfig(hook_parameters={"trian.save_interval": 5}).settings(), "'trian.save_interval'"),
        (lambda: DebuggerHookConfig(hook_parameters={"trian.save_interval": 5}).document(), "'trian.save_interval'"),
        (lambda: DebuggerHookConfig(hook_parameters={"predict.save_interval": 5}).settings(), "'predict.save_int"),
        (lambda: DebuggerHookConfig(hook_parameters={"eval.start_step": 5}).settings(), "'eval.start_step'"),
        (lambda: DebuggerHookConfig(hook_parameters=["a"]), "hook_parameters is"),  # type: ignore[arg-type]
        (lambda: DebuggerHookConfig(collection_configs="gradients"), "collection_configs has 'gradients'"),  # type: ignore[arg-type]
        (lambda: CollectionConfig("weights", ["a"]), "parameters is"),  # type: ignore[arg-type]
        (lambda: CollectionConfig("weights", {"sav": 1}).document(), "no parameter 'sav'"),
        (lambda: whole("weights", {"sav": 1}).settings(), "no parameter 'sav'"),
        (lambda: whole("weights", {"start_step": 5}).settings(), "no parameter 'start_step'"),
        (lambda: whole("weights", {"include_regex": "fc"}).settings(), "no parameter 'include_regex'"),
        (lambda: DebuggerHookConfig(collection_configs=[CollectionConfig("ears")]).settings(), "no collection 'ears'"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(attempt: object, said: str) -> None:
    assert callable(attempt)
    with pytest.raises(UserError, match=said):
        attempt()


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match="Did you mean overfit"):
        rule_configs.overfitt()


def test_a_training_job_says_how_its_rules_stand(tmp_path: Path) -> None:
    made = TrainingJob(ruled(measured(ended(tmp_path), [1.5, 1.6, 2.0]), "overfit"))
    assert [(rule["name"], rule["status"]) for rule in made.rules()] == [("Overfit", "IssuesFound")]
    assert made.describe()["rules"] == ["Overfit"]
