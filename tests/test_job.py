"""What was asked: names as AWS takes them, moments, and settings that belong to the machine."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vizsla.analysis.rules import registry
from vizsla.errors import UserError
from vizsla.job import (
    CHANNEL,
    CLASSIFIER,
    PROFILER_RULES,
    STALLED,
    Job,
    Launch,
    LogSettings,
    ProfileSettings,
    RuleRequest,
    RunSettings,
    check_name,
    iso,
    now,
    partition,
    slug,
)


@pytest.mark.parametrize("name", ["a", "7", "dogs", "Dogs-2", "a--b", "0-0", "x" * 63])
def test_names_that_aws_takes_are_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "a_b", "a.b", "a b", "../a", "a/b", "ä", "a\n", "x" * 64, ".lock", "\x1b[31m"]
)
def test_names_that_aws_refuses_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be a name") as caught:
        check_name(name)
    assert "at most 63" in caught.value.hint


@given(st.text(), st.integers(min_value=1, max_value=63))
def test_any_text_gives_a_name(text: str, length: int) -> None:
    made = slug(text, length)
    assert check_name(made) == made
    assert made == made.lower()
    assert len(made) <= max(length, len("photos"))


@pytest.mark.parametrize(
    ("text", "name"),
    [("My Dogs (2026)", "my-dogs-2026"), ("Ärger", "rger"), ("犬", "photos"), ("ab cd", "ab-cd")],
)
def test_a_name_looks_like_its_folder(text: str, name: str) -> None:
    assert slug(text, 40) == name


def test_a_name_that_is_cut_does_not_end_in_a_dash() -> None:
    assert slug("ab cd", 3) == "ab"


@pytest.mark.parametrize(("name", "fits"), [("training", True), ("a.b-c_d", True), ("a/b", False), ("x" * 65, False)])
def test_channel_names_are_those_aws_takes(name: str, fits: bool) -> None:
    assert bool(CHANNEL.fullmatch(name)) == fits


def test_moments_are_utc_and_sort_as_text() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(9.9996) == "1970-01-01T00:00:09.999Z"
    assert iso(999_999_999.5) < iso(1_000_000_000)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(now())) < timedelta(minutes=1)


def test_launch_settings_are_told_from_the_plans() -> None:
    settings = {"epochs": "3", "log.level": "debug", "run.threads": "2", "run.loader-workers": "0", "image.size": "64"}
    hyperparameters, launch = partition(settings)
    assert hyperparameters == {"epochs": "3", "image.size": "64"}
    assert launch == Launch(log=LogSettings(level="debug"), run=RunSettings(threads=2, loader_workers=0))


def test_nothing_given_leaves_the_machines_part_to_the_machine() -> None:
    run = partition({})[1].run
    assert (run.threads, run.loader_workers, run.memory_format) == (None, None, None)


def test_an_unknown_launch_setting_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no setting called run\.thread\.") as caught:
        partition({"run.thread": "2"})
    assert caught.value.hint.startswith("Did you mean run.threads?")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("log.level", "loud"), ("run.threads", "0"), ("run.loader_workers", "-1"), ("run.memory_format", "nchw")),
        *(("profile.interval_ms", "300"), ("profile.interval_ms", "often"), ("profile.num_steps", "101")),
    ],
)
def test_a_launch_setting_that_cannot_be_is_named(key: str, value: str) -> None:
    with pytest.raises(UserError) as caught:
        partition({key: value})
    assert caught.value.message.startswith(f"{key}={value} cannot be: ")
    assert caught.value.hint.startswith(f"{key}: ")


def test_settings_of_the_profiler_are_typed_as_others() -> None:
    launch = partition({"profile.interval_ms": "200", "profile.num-steps": "3", "profile.python": "true"})[1]
    assert launch.profile == ProfileSettings(interval_ms=200, num_steps=3, python=True)


@pytest.mark.parametrize(("entry_point", "inside"), [(CLASSIFIER, ["Overfit"]), ("train.py", [])])
def test_rules_about_more_than_the_loop_are_asked_from_outside(entry_point: str, inside: list[str]) -> None:
    kinds = ["Overfit", STALLED, "CPUBottleneck"]
    rules = tuple(RuleRequest(name=kind, rule=kind) for kind in kinds)
    job = Job(name="j", channels={}, entry_point=entry_point, rules=rules)
    assert [one.rule for one in job.inside_rules] == inside
    assert [one.rule for one in job.outside_rules] == [kind for kind in kinds if kind not in inside]


def test_every_profiler_rule_there_is_counts_as_one() -> None:
    assert {rule.__name__ for rule in registry.PROFILER} == PROFILER_RULES


def test_a_job_comes_back_from_its_file_as_it_was() -> None:
    job = Job(name="j", channels={"training": "/p"}, hyperparameters={"lr": "1"}, launch=partition(LAUNCH)[1])
    assert Job.model_validate(json.loads(json.dumps(job.model_dump(mode="json")))) == job


def test_a_job_never_changes() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Job(name="j", channels={}).name = "k"  # type: ignore[misc]


LAUNCH = {"log.level": "warning", "run.memory_format": "contiguous"}
