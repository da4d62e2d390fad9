"""Batches: every photo once, in an order that the seed and the epoch decide and nothing else."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest
import torch

from tests.photos import encode, picture, write_folder
from tests.training.ready import EXECUTION, photos_in
from vizsla.errors import UserError
from vizsla.training.data import Batch, Photos, cut
from vizsla.vision.preprocess import preprocess

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 pictures of two classes; no picture is its own mirror image."""
    made = tmp_path_factory.mktemp("pictures")
    write_folder(made, {"disc": 13, "gradient": 12})
    return made


def files(batches: list[Batch]) -> list[str]:
    return [photo.file for batch in batches for photo in batch.photos]


def by_file(batches: list[Batch]) -> dict[str, torch.Tensor]:
    return {photo.file: x for batch in batches for photo, x in zip(batch.photos, batch.x, strict=True)}


def epoch(photos: Photos, seed: int = 0, number: int = 1, batch_size: int = 4) -> list[Batch]:
    return list(photos.shuffled(batch_size, seed, number))


# ---- one epoch


def test_every_photo_comes_once_an_epoch(folder: Path) -> None:
    photos = photos_in(folder)
    assert sorted(files(epoch(photos))) == [photo.file for photo in photos.photos]
    assert len(photos) == 25


def test_a_photo_keeps_its_label_and_its_pixels_wherever_it_comes(folder: Path) -> None:
    photos = photos_in(folder)
    for batch in epoch(photos):
        for photo, label, x_CHW in zip(batch.photos, batch.y_B.tolist(), batch.x, strict=True):
            assert photos.classes[label] == photo.file.split("/")[0]
            as_it_is = torch.from_numpy(preprocess(photo.path.read_bytes(), photos.spec))
            assert torch.equal(x_CHW, as_it_is) or torch.equal(x_CHW, as_it_is.flip(-1))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_loader_workers_changes_nothing(folder: Path, workers: int) -> None:
    alone, helped = epoch(photos_in(folder)), epoch(photos_in(folder, workers=workers))
    assert [batch.photos for batch in alone] == [batch.photos for batch in helped]
    assert all(torch.equal(a.x, b.x) for a, b in zip(alone, helped, strict=True))
    assert all(torch.equal(a.y_B, b.y_B) for a, b in zip(alone, helped, strict=True))


def test_an_epoch_that_is_run_again_is_the_same(folder: Path) -> None:
    first, again = epoch(photos_in(folder)), epoch(photos_in(folder))
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, again, strict=True))


def test_another_epoch_or_another_seed_has_another_order(folder: Path) -> None:
    photos = photos_in(folder)
    orders = [tuple(files(epoch(photos, seed, number))) for seed, number in ((0, 1), (0, 2), (1, 1))]
    assert len(set(orders)) == 3


def test_about_half_of_the_photos_are_flipped_and_other_ones_in_another_epoch(folder: Path) -> None:
    photos = photos_in(folder)
    unflipped = by_file(list(photos.in_order(4)))

    def flipped(number: int) -> set[str]:
        seen = by_file(epoch(photos, number=number))
        return {file for file, x_CHW in seen.items() if not torch.equal(x_CHW, unflipped[file])}

    epochs = [flipped(number) for number in range(1, 9)]
    share = sum(map(len, epochs)) / (8 * len(photos))
    assert 0.4 < share < 0.6
    assert len(set(map(frozenset, epochs))) == 8


def test_for_evaluation_photos_come_as_they_are_and_in_order(folder: Path) -> None:
    photos = photos_in(folder, workers=2)
    batches = list(photos.in_order(10))
    assert files(batches) == [photo.file for photo in photos.photos]
    for file, x_CHW in by_file(batches).items():
        assert torch.equal(x_CHW, torch.from_numpy(preprocess((folder / file).read_bytes(), photos.spec)))


@pytest.mark.parametrize(
    ("memory_format", "layout"), [("channels_last", torch.channels_last), ("contiguous", torch.contiguous_format)]
)
def test_batches_lie_in_memory_as_the_execution_says(
    folder: Path, memory_format: Literal["channels_last", "contiguous"], layout: torch.memory_format
) -> None:
    photos = replace(photos_in(folder), execution=replace(EXECUTION, memory_format=memory_format))
    batch = epoch(photos)[0]
    assert batch.x.shape == (4, 3, 16, 16)
    assert batch.x.dtype == torch.float32
    assert batch.x.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("workers", [0, 2])
def test_whoever_stops_in_the_middle_of_an_epoch_leaves_no_thread_behind(folder: Path, workers: int) -> None:
    for _batch in photos_in(folder, workers=workers).shuffled(4, 0, 1):
        break
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


# ---- the last batch


def test_batches_have_the_size_that_was_asked_for_and_the_last_what_is_left() -> None:
    assert [len(piece) for piece in cut(list(range(25)), 7)] == [7, 7, 7, 4]


def test_a_last_photo_alone_joins_the_batch_before() -> None:
    assert cut([3, 1, 4, 0, 2], 2) == [[3, 1], [4, 0, 2]]


def test_one_photo_in_all_is_a_batch_of_its_own() -> None:
    assert cut([0], 8) == [[0]]


# ---- photos that change while they are trained on


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """Ten pictures that a test may spoil."""
    write_folder(tmp_path, {"disc": 5, "gradient": 5})
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_a_photo_that_vanished_or_broke_is_left_out_with_a_warning(
    own_folder: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    photos = photos_in(own_folder, workers=workers)
    (own_folder / "disc" / "disc-001.jpg").unlink()
    (own_folder / "gradient" / "gradient-003.jpg").write_bytes(encode(picture(3, 0), "JPEG")[:300])
    with caplog.at_level(logging.WARNING):
        batches = epoch(photos)
    left = {photo.file for photo in photos.photos} - {"disc/disc-001.jpg", "gradient/gradient-003.jpg"}
    assert set(files(batches)) == left
    assert all(len(batch.y_B) == len(batch.x) == len(batch.photos) for batch in batches)
    said = sorted(record.getMessage() for record in caplog.records)
    assert len(said) == 2
    assert said[0].startswith("disc/disc-001.jpg was good when training began")
    assert said[1].startswith("gradient/gradient-003.jpg was good when training began")


def test_when_nothing_is_left_of_a_batch_the_training_says_what_to_do(own_folder: Path) -> None:
    photos = photos_in(own_folder)
    for photo in photos.photos:
        photo.path.unlink()
    with pytest.raises(UserError, match="None of 4 photos can be read any more") as raised:
        list(photos.in_order(4))
    assert "disc/disc-000.jpg" in raised.value.message
    assert "--resume" in raised.value.hint
