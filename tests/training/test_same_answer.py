"""Cached or computed, in torch or ONNX Runtime: the same training."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from tests.photos import write_folder
from tests.training.ready import EXECUTION, photos_in
from vizsla.plan import Plan
from vizsla.training import engines
from vizsla.training.apart import take_apart
from vizsla.training.checkpoint import Checkpoints
from vizsla.training.data import Photos, Split
from vizsla.training.events import Event, Step, Stop
from vizsla.training.features import Features
from vizsla.training.learner import Learner
from vizsla.training.loop import train
from vizsla.training.shelves import Room, open_shelves, specs
from vizsla.training.views import Views
from vizsla.vision import networks
from vizsla.vision.halves import Extractor

SIZE = 48
PLAN = Plan.model_validate(
    {
        "model": "test_resnet",
        "weights": "none",
        "train_from": "last",
        "method": "finetune",
        "epochs": 6,
        "batch_size": 8,
        "lr": 0.01,
        "dropout": 0.2,
        "image": {"size": SIZE},
    }
)
STEPS = 6 * 4  # 32 photos
Way = Literal["whole", "computed", "cached", "onnxruntime", "bfloat16"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photos, Photos]:
    made = []
    for seed, count in ((1, 16), (2, 8)):
        folder = tmp_path_factory.mktemp("pictures")
        write_folder(folder, {"disc": count, "rows": count}, seed=seed)
        made.append(photos_in(folder, SIZE))
    return replace(made[0], views=Views(2)), replace(made[1], views=Views(1))


def losses(splits: tuple[Photos, Photos], place: Path, way: Way) -> tuple[list[float], float]:
    """The loss of each step, and the valid loss that is kept."""
    torch.manual_seed(0)
    apart = take_apart(networks.build(PLAN.model, 2, PLAN.dropout, "none", SIZE), PLAN)
    assert apart.loop
    seen: list[float] = []

    def see(event: Event) -> Stop | None:
        if isinstance(event, Step):
            seen.append(event.loss)
        return None

    with ExitStack() as stack:
        execution = replace(EXECUTION, precision="bfloat16") if way == "bfloat16" else EXECUTION
        photos = [replace(split, execution=execution) for split in splits]
        extractor = Extractor(apart.loop, ("cut",))
        make = engines.onnx_engine if way == "onnxruntime" else engines.torch_engine
        engine = make(extractor, execution)
        learner = Learner(apart.whole, apart.whole, apart.frozen, bfloat16=way == "bfloat16")
        if way != "whole":
            learner = replace(
                learner, tail=apart.loop.tail, halves=apart.loop, engine=engine if way == "computed" else None
            )
        read: list[Split] = [*photos]
        if way not in ("whole", "computed"):
            wanted = specs(apart, ("cut",), PLAN.model, photos[0])
            features = Features(engine, open_shelves(wanted, 2 * 32 + 16, Room(10, place), stack))
            features.fill([(split, split.views.numbers) for split in photos], lambda _done, _total: None)
            read = [features.split(split, "cut") for split in photos]
        trained = train(learner, PLAN, (read[0], read[1]), Checkpoints(place, PLAN.digest(), "photos"), see)
    assert len(seen) == STEPS
    return seen, trained.best.valid_loss


@pytest.fixture
def reference(
    splits: tuple[Photos, Photos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], float]:
    """The whole network, every step."""
    monkeypatch.setenv("VIZSLA_CACHE", str(tmp_path / "cache"))
    found = losses(splits, tmp_path / "whole", "whole")
    assert found[0][-1] < 0.8 * found[0][0], "it learns, so that there is something to compare"
    return found


@pytest.mark.parametrize("way", ["computed", "cached"])
def test_a_training_on_features_is_that_of_the_whole_network(
    reference: tuple[list[float], float], splits: tuple[Photos, Photos], tmp_path: Path, way: Way
) -> None:
    steps, valid = losses(splits, tmp_path / "other", way)
    assert steps == pytest.approx(reference[0], rel=1e-5)
    assert valid == pytest.approx(reference[1], rel=1e-5)


def test_onnx_runtime_gives_the_same_training(
    reference: tuple[list[float], float], splits: tuple[Photos, Photos], tmp_path: Path
) -> None:
    steps, valid = losses(splits, tmp_path / "other", "onnxruntime")
    assert steps[:20] == pytest.approx(reference[0][:20], rel=1e-5)
    assert steps == pytest.approx(reference[0], rel=1e-3)
    assert valid == pytest.approx(reference[1], rel=1e-3)


def test_in_bfloat16_it_ends_within_a_hundredth(
    reference: tuple[list[float], float], splits: tuple[Photos, Photos], tmp_path: Path
) -> None:
    steps, valid = losses(splits, tmp_path / "other", "bfloat16")
    assert steps != pytest.approx(reference[0], rel=1e-6), "it is not float32"
    assert valid == pytest.approx(reference[1], rel=1e-2)


def test_a_second_training_on_the_same_features_is_the_same_bit_for_bit(
    reference: tuple[list[float], float], splits: tuple[Photos, Photos], tmp_path: Path
) -> None:
    first, again = (losses(splits, tmp_path / name, "cached") for name in ("first", "again"))
    assert first == again
