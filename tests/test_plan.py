"""What a training is asked for: every setting, its limits, and the hash that says two trainings are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from vizsla import keys
from vizsla.errors import UserError
from vizsla.job import Job, Launch, partition
from vizsla.plan import Plan, resolve

# Every setting of a plan with a value that is not its default.
OTHER = {
    "model": "resnet18",
    "weights": "none",
    "method": "probe",
    "train_from": "head",
    "epochs": "5",
    "batch_size": "32",
    "lr": "0.5",
    "optimizer": "sgd",
    "schedule": "constant",
    "weight_decay": "0.5",
    "dropout": "0.5",
    "label_smoothing": "0.1",
    "patience": "2",
    "seed": "7",
    "views": "4",
    "flips": "all",
    "data.fraction": "0.3",
    "data.labels": "labels.csv",
    "data.max_bad": "0.5",
    "data.split": "0.8,0.1,0.1",
    "image.size": "96",
    "image.resize": "crop",
    "image.max_pixels": "1000000",
    "probe.l2": "0.01",
    "probe.stages": "last",
    "evaluate.test": "false",
}
LAUNCH = {
    "max_runtime": "10min",
    "stop_grace": "30s",
    "script.install": "true",
    "log.level": "debug",
    "debug.collections": "none",
    "debug.save_every": "100",
    "debug.eval_save_every": "10",
    "debug.start_step": "5",
    "debug.end_step": "50",
    "debug.include": "layer4",
    "debug.raw": "gradients",
    "profile.enabled": "false",
    "profile.interval_ms": "100",
    "profile.start_step": "5",
    "profile.num_steps": "3",
    "profile.python": "true",
    "profile.stop_after": "50",
    "run.threads": "1",
    "run.loader_workers": "0",
    "run.memory_format": "contiguous",
    "run.engine": "torch",
    "run.precision": "bfloat16",
    "run.compile": "true",
    "cache.max_gb": "1",
}


def planned(settings: Mapping[str, str]) -> Plan:
    """The plan of a job with these --set pairs, launch settings among them."""
    hyperparameters, launch = partition(settings)
    return resolve(Job(name="j", channels={"training": "/photos"}, hyperparameters=hyperparameters, launch=launch))


def refusal(**settings: str) -> UserError:
    with pytest.raises(UserError) as caught:
        planned({key.replace("__", "."): value for key, value in settings.items()})
    return caught.value


def test_these_are_all_the_settings() -> None:
    assert [key.name for key in keys.declared(Plan)] == list(OTHER)
    assert [key.name for key in keys.declared(Launch)] == list(LAUNCH)


@pytest.mark.parametrize("key", [*keys.declared(Plan), *keys.declared(Launch)], ids=lambda key: str(key.name))
def test_every_setting_says_what_it_means(key: keys.Key) -> None:
    assert key.help.endswith(".")


@pytest.mark.parametrize("key", OTHER)
def test_a_setting_sets_the_field_of_its_name_and_no_other(key: str) -> None:
    changed, default = (_flat(planned(settings)) for settings in ({key: OTHER[key]}, {}))
    assert {name for name in default if changed[name] != default[name]} == {key}


@pytest.mark.parametrize("key", OTHER)
def test_every_setting_changes_the_hash(key: str) -> None:
    assert planned({key: OTHER[key]}).digest() != planned({}).digest()


@pytest.mark.parametrize("key", LAUNCH)
def test_how_a_job_is_run_does_not_change_the_hash(key: str) -> None:
    assert planned({key: LAUNCH[key]}).digest() == planned({}).digest()


def test_a_default_that_is_given_is_the_same_plan() -> None:
    given = {key.name: key.default for key in keys.declared(Plan) if key.default}
    assert planned(given).digest() == planned({}).digest()


def test_the_order_and_the_spelling_of_settings_do_not_change_the_hash() -> None:
    turned = {key.replace("_", "-"): OTHER[key] for key in reversed(OTHER)}
    assert planned(turned).digest() == planned(OTHER).digest()


def test_the_hash_is_the_same_in_another_process() -> None:
    code = (
        "import json, sys; from vizsla.job import Job; from vizsla.plan import resolve\n"
        "print(resolve(Job(name='other', channels={'train': '/x'}, hyperparameters=json.load(sys.stdin))).digest())"
    )
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(OTHER),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == planned(OTHER).digest()


@pytest.mark.parametrize("settings", [{}, OTHER], ids=["defaults", "others"])
def test_a_plan_comes_back_from_its_file_as_it_was(settings: dict[str, str]) -> None:
    plan = planned(settings)
    again = Plan.model_validate(json.loads(json.dumps(plan.model_dump(mode="json"), allow_nan=False)))
    assert again == plan
    assert again.digest() == plan.digest()


def test_a_plan_never_changes() -> None:
    plan = planned({})
    with pytest.raises(ValidationError, match="frozen"):
        plan.lr = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        plan.data.fraction = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("model", "size"), [("efficientnet_lite0", 224), ("efficientnet_lite1", 240), ("resnet18", 224), ("vit_tiny", 224)]
)
def test_the_size_of_a_photo_is_the_backbones_own(model: str, size: int) -> None:
    assert planned({"model": model}).image.size == size


def test_a_size_that_is_given_stays() -> None:
    assert planned({"model": "efficientnet_lite1", "image.size": "224"}).image.size == 224


def test_the_default_size_shown_is_the_default_backbones() -> None:
    assert {key.name: key.default for key in keys.declared(Plan)}["image.size"] == str(planned({}).image.size)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", "0"),
        ("epochs", "three"),
        ("epochs", "2.5"),
        ("batch_size", "0"),
        ("batch_size", "-4"),
        ("lr", "0"),
        ("lr", "-0.1"),
        ("lr", "inf"),
        ("lr", "nan"),
        ("weight_decay", "-1"),
        ("weight_decay", "inf"),
        ("dropout", "1"),
        ("label_smoothing", "1"),
        ("optimizer", "adagrad"),
        ("schedule", "linear"),
        ("patience", "-1"),
        ("seed", "-1"),
        ("seed", str(2**32)),
        ("data.fraction", "0"),
        ("data.fraction", "1.1"),
        ("data.max_bad", "2"),
        ("data.split", "0.5,0.5"),
        ("data.split", "0.5,0.2,0.2"),
        ("data.split", "1.2,-0.1,-0.1"),
        ("data.split", "0,0.5,0.5"),
        ("data.split", "0.9,0,0.1"),
        ("data.split", "most,some,few"),
        ("data.split", "nan,0.5,0.5"),
        ("image.size", "8"),
        ("image.size", "4096"),
        ("image.resize", "stretch"),
        ("image.max_pixels", "0"),
        ("evaluate.test", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_meaning(key: str, value: str) -> None:
    meaning = {each.name: each.help for each in keys.declared(Plan)}[key]
    error = refusal(**{key.replace(".", "__"): value})
    assert error.message.startswith(f"{key}=")
    assert error.hint == f"{key}: {meaning}"


@pytest.mark.parametrize("split", ["0.6,0.15,0.25", " 0.6, 0.15, 0.25 ", "[0.6, 0.15, 0.25]", "(0.6,0.15,0.25)"])
def test_shares_are_understood_however_they_are_written(split: str) -> None:
    assert planned({"data.split": split}).data.split == (0.6, 0.15, 0.25)


def test_no_share_of_test_is_allowed() -> None:
    assert planned({"data.split": "0.8,0.2,0"}).data.split == (0.8, 0.2, 0.0)


def test_patience_that_can_never_end_a_training_is_refused() -> None:
    error = refusal(patience="3", epochs="3")
    assert error.message == ("These settings do not go together: patience=3 can never end a training of epochs=3.")


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("epoch", "epochs"),
        ("batchsize", "batch_size"),
        ("image_size", "image.size"),
        ("data.fractoin", "data.fraction"),
    ],
)
def test_an_unknown_setting_names_the_nearest(typed: str, nearest: str) -> None:
    error = refusal(**{typed: "1"})
    assert error.message == f"There is no setting called {typed}."
    assert error.hint.startswith(f"Did you mean {nearest}? ")


def test_what_sagemakers_launchers_add_is_dropped() -> None:
    added = {
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": '"s3://bucket/code.tar.gz"',
        "sagemaker_region": "eu-west-1",
        "_tuning_objective_metric": "average test loss",
    }
    assert planned({**added, "epochs": "3"}) == planned({"epochs": "3"})


def test_hyperparameters_of_both_sdks_mean_the_same() -> None:
    version_2 = {"optimizer": '"sgd"', "batch-size": "32", "evaluate.test": "false", "lr": "0.01"}
    version_3 = {"optimizer": "sgd", "batch_size": "32", "evaluate.test": "False", "lr": "0.01"}
    assert planned(version_2) == planned(version_3)


def test_a_users_script_has_no_plan() -> None:
    with pytest.raises(ValueError, match=r"train\.py"):
        resolve(Job(name="j", channels={}, entry_point="train.py"))


def _flat(plan: Plan) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in OTHER:
        value: object = plan
        for part in name.split("."):
            value = getattr(value, part)
        found[name] = value
    return found
