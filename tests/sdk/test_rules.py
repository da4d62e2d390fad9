"""Rules, hooks and actions in SageMaker's words, as the job that comes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vizsla import CollectionConfig, DebuggerHookConfig, Estimator, ProfilerRule, Rule, UserError, rule_configs
from vizsla.api import requests
from vizsla.job import Action, Job
from vizsla.sdk import arguments


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


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (lambda: Rule.sagemaker(rule_configs.overfit(), rule_parameters={"ratio": "1"}), "no parameter 'ratio'"),
        (lambda: Rule.sagemaker(rule_configs.ProfilerReport()), "ProfilerReport is a rule of the profiler's"),
        (lambda: ProfilerRule.sagemaker(rule_configs.overfit()), "is no rule of the profiler's"),
        (lambda: Rule.custom("image"), "container at AWS"),
        (lambda: rule_configs.Email("me@here"), "No mail to me@here"),
        (lambda: rule_configs.SMS("+49"), "No message to"),
        (lambda: rule_configs.Command("echo hello"), "is no command"),
        (lambda: DebuggerHookConfig(hook_parameters={"save_all": True}).settings(), "no hook parameter 'save_all'"),
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


def test_a_rule_of_the_profilers_is_said_to_have_no_effect(
    photos: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "_told", set[str]().copy)
    estimator = Estimator(rules=[ProfilerRule.sagemaker(rule_configs.ProfilerReport())])
    assert job(estimator, photos).rules == ()
    assert "no effect on this machine: ProfilerReport" in caplog.text
