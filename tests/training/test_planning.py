"""What a training would do, as its worker sees it: counted against a training that was really prepared."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.photos import write_folder
from vizsla.errors import UserError
from vizsla.job import Job, Launch, partition
from vizsla.plan import resolve
from vizsla.training import planning
from vizsla.training.prepare import prepare
from vizsla.training.ready import Asked, make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = {
    "model": "test_resnet",
    "weights": "none",
    "image.size": "32",
    "batch_size": "4",
    "epochs": "2",
    "run.threads": "1",
    "run.engine": "torch",
    "run.memory_format": "channels_last",
    "run.loader_workers": "0",
}


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIZSLA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_folder(tmp_path / "photos", {"disc": 12, "rows": 12})
    return tmp_path / "photos"


def job(photos: Path, **settings: str) -> Job:
    hyperparameters, launch = partition({**SETTINGS, **settings})
    return Job(name="j", channels={"training": str(photos)}, hyperparameters=hyperparameters, launch=launch)


def planned(photos: Path, **settings: str) -> dict[str, Any]:
    asked = job(photos, **settings)
    return planning.answer(
        {
            "channels": asked.channels,
            "plan": resolve(asked).model_dump(mode="json"),
            "launch": asked.launch.model_dump(mode="json"),
        }
    )


def features_of_a_training(photos: Path, place: Path, **settings: str) -> None:
    """Everything a training does up to its loop, features and all."""
    asked = job(photos, **settings)
    plan = resolve(asked)
    place.mkdir()
    divided = prepare({"training": photos}, plan, None, lambda _done, _total: None)
    with ExitStack() as stack:
        make(Asked(divided, plan, asked.launch, place, 1), lambda _stage, _done, _total: None, stack)


def test_it_says_what_is_trained_on_what_and_how(photos: Path) -> None:
    document = planned(photos)
    assert (document["model"], document["classes"]) == ("test_resnet", 2)
    assert sum(document["images"].values()) == 24
    assert document["trained"][-1] == "fc"
    assert document["frozen"]
    assert (document["execution"]["engine"], document["execution"]["threads"]) == ("torch", 1)
    parts = document["forecast"]["parts"]
    assert document["forecast"]["seconds"] == pytest.approx(sum(parts.values()), abs=0.2)
    assert parts["start"] > 0
    assert parts["epochs"] > 0


def test_features_are_counted_in_their_views_and_none_is_computed(photos: Path, cache: Path) -> None:
    document = planned(photos, views="2")
    images = document["images"]
    assert document["features"]["needed"] == 2 * images["train"] + images["valid"] + images["test"]
    assert document["features"]["cached"] == 0
    assert document["features"]["bytes"] > 0
    assert not list(cache.glob("features/*"))


def test_what_a_training_has_put_into_the_cache_is_not_predicted_again(photos: Path, tmp_path: Path) -> None:
    cold = planned(photos)
    features_of_a_training(photos, tmp_path / "job")
    warm = planned(photos)
    assert warm["features"]["cached"] == cold["features"]["needed"] - cold["images"]["test"]
    assert cold["forecast"]["parts"]["features"] > 0
    assert warm["forecast"]["parts"]["features"] == 0


def test_more_photos_are_more_features_and_only_those(photos: Path, tmp_path: Path) -> None:
    split = {"data.split": "0.5,0.5,0"}
    features_of_a_training(photos, tmp_path / "job", **split)
    assert planned(photos, **split)["features"]["cached"] == planned(photos, **split)["features"]["needed"]
    write_folder(photos, {"disc": 18})  # six more
    after = planned(photos, **split)["features"]
    assert 0 < after["needed"] - after["cached"] <= 2 * (6 + 2)  # rounding may move a photo between splits


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"train_from": "all", "method": "finetune"}, "every epoch runs the whole network"),
        ({"views": "0"}, "views=0 draws new ones"),
        ({"cache.max_gb": "0"}, "do not fit"),
    ],
)
def test_what_is_not_kept_is_said_and_charged_to_every_epoch(photos: Path, settings: dict[str, str], why: str) -> None:
    document = planned(photos, **settings)
    assert not document["features"]["kept"]
    assert why in document["features"]["why"]


def test_a_probe_has_no_epochs(photos: Path) -> None:
    document = planned(photos, method="probe")
    assert document["epochs"] == 0
    assert document["forecast"]["parts"]["epochs"] == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train_from": "layer9"}, "no stage called 'layer9'"),
        ({"model": "resnet-and-a-half"}, "no network called"),
        ({"weights": "/nowhere.pth"}, "no file of weights"),
    ],
)
def test_a_training_that_cannot_be_is_refused(photos: Path, settings: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        planned(photos, **settings)


def test_bad_photos_are_refused_as_in_a_training(photos: Path) -> None:
    for file in sorted((photos / "disc").iterdir())[:6]:
        file.write_bytes(b"no photo")
    with pytest.raises(UserError, match="6 of 24 photos are bad"):
        planned(photos)


def test_settings_that_exclude_each_other_are_refused(photos: Path) -> None:
    with pytest.raises(UserError, match="not in bfloat16"):
        planned(photos, **{"run.engine": "onnxruntime", "run.precision": "bfloat16"})


def test_a_launch_needs_nothing_but_its_defaults(photos: Path) -> None:
    asked = job(photos)
    document = planning.answer(
        {
            "channels": asked.channels,
            "plan": resolve(asked).model_dump(mode="json"),
            "launch": Launch().model_dump(mode="json"),
        }
    )
    assert document["execution"]["why"]
