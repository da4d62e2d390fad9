"""Features: computed once, shared by whoever asks for the same, and the same training comes of them."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.photos import write_folder
from tests.training.ready import EXECUTION, photos_in
from vizsla.plan import Plan
from vizsla.training import engines
from vizsla.training.apart import Apart, take_apart
from vizsla.training.data import Batch, Photos
from vizsla.training.engines import BATCH
from vizsla.training.features import Features
from vizsla.training.learner import Learner
from vizsla.training.shelves import Room, open_shelves, specs
from vizsla.training.views import Views
from vizsla.vision import networks
from vizsla.vision.halves import Extractor

SIZE = 32
PLAN = Plan.model_validate({"model": "test_resnet", "weights": "none", "image": {"size": SIZE}, "views": 3})
VIEWS = Views(3)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    write_folder(made, {"disc": 9, "gradient": 8})
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIZSLA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def apart(seed: int = 0) -> Apart:
    torch.manual_seed(seed)
    return take_apart(networks.build(PLAN.model, 2, 0.0, "none", SIZE), PLAN)


def photos(folder: Path) -> Photos:
    return replace(photos_in(folder, SIZE), views=VIEWS)


class Counted:
    """An engine that counts the photos it is given."""

    def __init__(self, apart: Apart) -> None:
        self._engine = engines.torch_engine(apart.extractor(apart.outputs), EXECUTION)
        self.outputs, self.batch, self.seen = self._engine.outputs, self._engine.batch, 0

    def __call__(self, x_BCHW: np.ndarray) -> tuple[np.ndarray, ...]:
        self.seen += len(x_BCHW)
        return self._engine(x_BCHW)


def features(apart: Apart, photos: Photos, stack: ExitStack, engine: Counted | None = None) -> Features:
    wanted = specs(apart, apart.outputs, PLAN.model, photos)
    shelves = open_shelves(wanted, 3 * len(photos), Room(10, photos.photos[0].path.parent), stack)
    return Features(engine or Counted(apart), shelves)  # type: ignore[arg-type]


def silent(_done: int, _total: int) -> None:
    """Nobody listens."""


# ---- computed once


def test_what_is_there_is_not_computed_again(folder: Path, cache: Path) -> None:
    network, source = apart(), photos(folder)
    for expected in (3 * 17, 0):
        engine = Counted(network)
        with ExitStack() as stack:
            features(network, source, stack, engine).fill([(source, VIEWS.numbers)], silent)
        assert engine.seen == expected


def test_more_photos_cost_only_the_new_ones(folder: Path, tmp_path: Path, cache: Path) -> None:
    grown = tmp_path / "grown"
    shutil.copytree(folder, grown)
    network = apart()
    with ExitStack() as stack:
        features(network, photos(grown), stack).fill([(photos(grown), VIEWS.numbers)], silent)
    write_folder(grown / "more", {"rows": 5}, seed=9)
    source, engine = photos(grown), Counted(network)
    with ExitStack() as stack:
        features(network, source, stack, engine).fill([(source, VIEWS.numbers)], silent)
    assert engine.seen == 3 * 5


def test_more_views_cost_only_the_new_ones(folder: Path, cache: Path) -> None:
    network, source, engine = apart(), photos(folder), Counted(apart())
    with ExitStack() as stack:
        found = features(network, source, stack, engine)
        found.fill([(source, VIEWS.numbers[:2])], silent)
        found.fill([(source, VIEWS.numbers)], silent)
    assert engine.seen == 3 * 17


def test_other_weights_are_another_shelf(folder: Path, cache: Path) -> None:
    source = photos(folder)
    for seed in (0, 1):
        engine = Counted(apart(seed))
        with ExitStack() as stack:
            features(apart(seed), source, stack, engine).fill([(source, (0,))], silent)
        assert engine.seen == 17, "nothing of the other network's is taken"


def test_pooled_features_are_the_same_wherever_the_loop_begins(folder: Path, cache: Path) -> None:
    torch.manual_seed(0)
    net = networks.build(PLAN.model, 2, 0.0, "none", SIZE)
    last, head = take_apart(net, PLAN), take_apart(net, PLAN.model_copy(update={"train_from": "head"}))
    source = photos(folder)
    assert head.begins_with == "pooled"
    assert last.begins_with == "cut"
    pooled = [specs(each, each.outputs, PLAN.model, source)["pooled"] for each in (last, head)]
    assert pooled[0].digest() == pooled[1].digest()


def test_progress_counts_what_was_missing(folder: Path, cache: Path) -> None:
    said: list[tuple[int, int]] = []
    source = photos(folder)
    with ExitStack() as stack:
        found = features(apart(), source, stack)
        found.fill([(source, VIEWS.numbers)], lambda done, total: said.append((done, total)))
    steps = range(BATCH, 51, BATCH)
    assert said == [*((done, 51) for done in steps), (51, 51)]


def test_whoever_interrupts_keeps_what_is_done(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizsla.training.features.PACK_BYTES", 1)
    network, source = apart(), photos(folder)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with ExitStack() as stack, pytest.raises(KeyboardInterrupt):
        features(network, source, stack).fill([(source, VIEWS.numbers)], stop)
    engine = Counted(network)
    with ExitStack() as stack:
        features(network, source, stack, engine).fill([(source, VIEWS.numbers)], silent)
    assert engine.seen == 51 - BATCH


# ---- and read


def test_a_split_of_features_has_the_order_the_views_and_the_labels_of_the_photos(folder: Path, cache: Path) -> None:
    network, source = apart(), photos(folder)
    assert network.loop
    with ExitStack() as stack:
        found = features(network, source, stack)
        found.fill([(source, VIEWS.numbers)], silent)
        known = found.split(source, "cut")
        for seen, decoded in zip(known.shuffled(5, 3, 2), source.shuffled(5, 3, 2), strict=True):
            assert seen.photos == decoded.photos
            assert torch.equal(seen.y_B, decoded.y_B)
            assert torch.allclose(seen.x, network.loop.body(decoded.x), atol=1e-6)


def test_a_photo_that_is_gone_by_then_is_left_out(folder: Path, tmp_path: Path, cache: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    source = photos(mine)
    source.photos[3].path.unlink()
    with ExitStack() as stack:
        found = features(apart(), source, stack)
        found.fill([(source, VIEWS.numbers)], silent)
        known = found.split(source, "cut")
    assert len(known) == 16
    assert source.photos[3] not in known.behind.photos


def test_pooled_features_of_all_views_are_what_a_probe_is_fitted_on(folder: Path, cache: Path) -> None:
    source = photos(folder)
    with ExitStack() as stack:
        found = features(apart(), source, stack)
        found.fill([(source, VIEWS.numbers)], silent)
        rows_ND, labels_N = found.split(source, "pooled").pooled()
    assert rows_ND.shape[0] == labels_N.shape[0] == 51
    assert rows_ND.dtype == np.float32
    assert [source.classes[label] for label in labels_N[::3]] == [photo.label for photo in source.photos]


def test_many_photos_are_thinned_for_a_probe_evenly_over_photos_and_views(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = photos(folder)
    with ExitStack() as stack:
        found = features(apart(), source, stack)
        found.fill([(source, VIEWS.numbers)], silent)
        known = found.split(source, "pooled")
        all_ND, _ = known.pooled()
        monkeypatch.setattr("vizsla.training.features.PROBE_BYTES", 20 * known.rows.item_bytes)
        rows_ND, labels_N = known.pooled()
    assert len(rows_ND) == len(labels_N) == 17
    taken = [next(at for at, row in enumerate(all_ND) if np.array_equal(row, kept)) for kept in rows_ND]
    assert {at % 3 for at in taken} == {0, 1, 2}, "all views"
    assert len({at // 3 for at in taken}) == 17, "all photos"
    assert [source.classes[label] for label in labels_N] == [source.photos[at // 3].label for at in taken]


def test_batches_bring_their_photos_where_somebody_looks(folder: Path, cache: Path) -> None:
    source = photos(folder)
    with ExitStack() as stack:
        found = features(apart(), source, stack)
        found.fill([(source, VIEWS.numbers)], silent)
        known = found.split(source, "cut", frozenset({1, 5}))
        epochs = [[batch.look_BCHW for batch in known.shuffled(5, 0, epoch)] for epoch in (1, 2)]
        decoded = [batch.x for batch in source.shuffled(5, 0, 1)]
    assert [[look is not None for look in epoch] for epoch in epochs] == [
        [False, True, False, False],
        [False, True, False, False],
    ]
    assert torch.equal(epochs[0][1], decoded[1])  # type: ignore[arg-type]


# ---- a learner


def test_a_learner_gives_the_same_logits_wherever_a_batch_begins(folder: Path, cache: Path) -> None:
    network, source = apart(), photos(folder)
    assert network.loop
    batch = next(iter(source.in_order(5)))
    engine = engines.torch_engine(Extractor(network.loop, ("cut",)), EXECUTION)
    whole = Learner(network.whole, network.loop.tail, network.frozen, network.loop)
    through_engine = replace(whole, engine=engine)
    whole.eval_mode()
    with torch.inference_mode():
        by_features = whole(Batch(network.loop.body(batch.x), batch.y_B, batch.photos, are_features=True))
        assert torch.allclose(whole(batch), by_features, atol=1e-6)
        assert torch.allclose(through_engine(batch), by_features, atol=1e-6)


def test_looking_changes_neither_weights_nor_statistics_nor_chance(folder: Path, cache: Path) -> None:
    network, source = apart(), photos(folder)
    assert network.loop
    batch = next(iter(source.in_order(5)))
    learner = Learner(network.whole, network.loop.tail, network.frozen, network.loop)
    learner.train_mode(keep_statistics=False)
    before = {name: value.clone() for name, value in network.whole.state_dict().items()}
    chance = torch.get_rng_state()
    seen: list[int] = []
    network.whole.register_forward_hook(lambda *_: seen.append(1))
    learner.look(replace(batch, look_BCHW=batch.x))
    assert seen == [1]
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(value, before[name]) for name, value in network.whole.state_dict().items())
