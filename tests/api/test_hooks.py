"""What a script's hook is asked to save: what its rules look at, often enough for them to see something."""

from __future__ import annotations

from typing import Any

import pytest

from vizsla.analysis.rules import parse
from vizsla.api import hooks
from vizsla.errors import UserError
from vizsla.job import DebugSettings

OFTEN = {"save_interval": "10"}


def collections(made: dict[str, Any] | None) -> dict[str, Any]:
    assert made is not None
    return {each["CollectionName"]: each.get("CollectionParameters") for each in made["CollectionConfigurations"]}


def test_a_script_without_rules_has_the_usual_hook() -> None:
    assert hooks.config(None, [], DebugSettings()) is None


def test_a_rule_brings_what_it_looks_at_every_ten_steps() -> None:
    made = hooks.config(None, [parse("vanishing_gradient")], DebugSettings())
    assert collections(made) == {"losses": OFTEN, "gradients": OFTEN}


@pytest.mark.parametrize(
    "settings", [DebugSettings(save_every=2), DebugSettings(save_every=500), DebugSettings(eval_save_every=3)]
)
def test_how_often_the_user_says_counts(settings: DebugSettings) -> None:
    made = hooks.config(None, [parse("vanishing_gradient")], settings)
    assert collections(made) == {"losses": None, "gradients": None}


def test_how_often_is_handed_to_the_hook_also_without_rules() -> None:
    made = hooks.config(None, [], DebugSettings(save_every=2, eval_save_every=3, start_step=4))
    assert made is not None
    assert made["HookParameters"] == {
        "train.save_interval": "2",
        "eval.save_interval": "3",
        "train.start_step": "4",
    }
    assert collections(made) == {"losses": None}


def test_what_a_hook_config_says_counts_before_the_settings() -> None:
    given = {
        "HookParameters": {"train.save_interval": "500"},
        "CollectionConfigurations": [{"CollectionName": "gradients"}],
    }
    made = hooks.config(given, [parse("vanishing_gradient")], DebugSettings(save_every=2))
    assert made is not None
    assert made["HookParameters"] == {"train.save_interval": "500"}
    assert collections(made) == {"gradients": None, "losses": None}


def test_a_collection_that_says_how_often_keeps_it_and_one_that_no_rule_needs_stays_as_it_is() -> None:
    given = {
        "CollectionConfigurations": [
            {"CollectionName": "gradients", "CollectionParameters": {"train.save_interval": "500"}},
            {"CollectionName": "heads", "CollectionParameters": {"include_regex": "fc"}},
        ]
    }
    made = hooks.config(given, [parse("vanishing_gradient")], DebugSettings())
    assert collections(made) == {
        "gradients": {"train.save_interval": "500"},
        "heads": {"include_regex": "fc"},
        "losses": OFTEN,
    }


@pytest.mark.parametrize("settings", [DebugSettings(raw=("weights",)), DebugSettings(include="fc")])
def test_a_setting_that_means_nothing_to_a_hook_is_refused(settings: DebugSettings) -> None:
    with pytest.raises(UserError, match="is the built-in classifier's") as refused:
        hooks.config(None, [], settings)
    assert "debug.save_every" in refused.value.hint
