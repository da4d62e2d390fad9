"""The benchmarks never run here to their end, but stay runnable: importable, with a --help, and able to count."""

from __future__ import annotations

import importlib
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops
from torch import nn

from bench import (
    anonymous,
    counting,
    demo,
    elpv,
    features,
    grid,
    growth,
    many,
    peak,
    peers,
    photos,
    plain,
    prediction,
    timed,
)
from bench.home import Home, cold
from bench.report import Section, spread, write
from bench.timed import Ran
from tests.conftest import ROOT
from tests.photos import write_folder
from vizsla.training import execution

METRICS = {"valid_loss": 0.4, "test_loss": 0.35, "test_accuracy": 0.9}
Asked = list[tuple[str, ...]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What vizsla was asked, by measurements that get a good answer within ten seconds to everything."""
    commands: Asked = []

    def answer(home: Home, *arguments: str | Path, settings: Mapping[str, str] | None = None) -> Ran:
        commands.append((*map(str, arguments), *(f"{key}={value}" for key, value in (settings or {}).items())))
        trials = [{"status": "Completed"}] * 4
        return Ran({"metrics": METRICS, "trials": trials, "forecast": {"seconds": 12.0}}, 10.0)

    monkeypatch.setattr(Home, "run", answer)
    return commands


def plain_run(seconds: float, losses: list[float], valid: float = 0.5) -> Ran:
    """A training of the plain recipe that took 20 s an epoch and was asked about test, 5 s each time."""
    epochs = [
        {"seconds": 20.0, "valid_loss": valid, "test_loss": loss, "test_accuracy": 0.8, "test_seconds": 5.0}
        for loss in losses
    ]
    document = {"epochs": epochs, "test_loss": losses[-1], "test_accuracy": 0.8, "test_seconds": 5.0 * len(losses)}
    return Ran(document, seconds)


@pytest.mark.parametrize("program", ["run", "seed_recipe.py"])
def test_programs_explain_themselves(program: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / program, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_every_name_is_a_measurement_that_the_readme_explains() -> None:
    measurements = runpy.run_path(str(ROOT / "bench" / "run"))["MEASUREMENTS"]
    explained = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    for name, place in measurements.items():
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(f"bench.{module}"), function or "measure"))
        assert f"\n| `{name}` |" in explained


def test_a_name_that_there_is_not_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench" / "run"), "fastest", "--out", str(tmp_path / "results.md")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no measurement fastest" in done.stderr


def test_results_name_the_machine_and_hold_the_tables(tmp_path: Path) -> None:
    section = Section("Speed", "Two things.", ("what", "time"), [("one", spread([2.0, 1.0, 3.0]))])
    write([section], tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    assert "cores" in text
    assert "| one | 2.00 s (1.00 to 3.00) |" in text


def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no photos there"):
        timed.run([sys.executable, "-c", "raise SystemExit('no photos there')"])


def test_two_homes_share_nothing() -> None:
    with cold() as one, cold() as other:
        places = [home.environment[name] for home in (one, other) for name in ("VIZSLA_CACHE", "VIZSLA_WORKSPACE")]
        assert len(set(places)) == 4
    assert not one.folder.exists()


def test_the_plain_recipes_time_is_that_to_its_best_epoch() -> None:
    ran = plain_run(90.0, [0.5, 0.4, 0.6])
    assert plain.without_test(ran) == 75.0
    assert plain.best_test(ran) == (0.4, 55.0)  # the third epoch comes later, and no asking is counted


def test_vizsla_is_as_good_where_its_loss_is_no_higher(asked: Asked) -> None:
    found = elpv._one(Path("split"), plain_run(130.0, [0.5, 0.35, 0.6])).rows
    assert found[0][1:3] == ("95 s", "0.350")
    assert {row[4] for row in found[1:]} == {"yes"}
    assert {row[5] for row in found[1:]} == {"9.5 ×"}  # noqa: RUF001
    worse = elpv._one(Path("split"), plain_run(130.0, [0.5, 0.34, 0.6])).rows
    assert {row[4] for row in worse[1:]} == {"no"}


def test_a_search_is_held_against_four_trainings_and_their_winner(asked: Asked) -> None:
    runs = [plain_run(105.0, [0.7], valid) for valid in (0.5, 0.6, 0.7)] + [plain_run(105.0, [0.3], 0.4)]
    first, cold_one, warm, trial_for_trial = elpv._four(Path("split"), runs).rows
    assert first[1:3] == ("400 s", "0.300")
    assert cold_one[1] == warm[1] == "20 s"  # the search, and the training that asks the test photos
    assert trial_for_trial[1] == "10 s"
    searches = [command for command in asked if command[0] == "tune"]
    assert "lr=0.001,0.00358" in searches[-1]
    assert "batch_size=64,128" in searches[-1]


def test_the_demos_mean_is_that_of_its_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(seed: int) -> Ran:
        final = {"status": "Completed", "reason": None, "metrics": {"test_accuracy": 0.86 + seed / 100}, "seconds": 40}
        return Ran({"final": final}, 100.0 + seed)

    monkeypatch.setattr(demo, "_one", answer)
    rows = demo.measure().rows
    assert rows[0] == ("5", "91.0 %", "105 s", "40 s")
    assert rows[-1] == ("mean", "93.0 %", "107 s", "40 s")


def test_a_demo_that_was_stopped_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="is Stopped: by the user"):
        demo._figures(Ran({"final": {"status": "Stopped", "reason": "by the user"}}, 10.0))


def test_a_sweep_with_a_failed_trial_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="not all trials"):
        grid.checked(Ran({"trials": [{"status": "Completed"}, {"status": "Failed"}]}, 10.0))


def test_a_precision_that_the_processor_has_not_is_not_measured(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(execution, "has_bfloat16", lambda: False)
    row = features._vizsla(tmp_path, tmp_path / "weights", "bfloat16", (100.0, 400.0))
    assert row[1:3] == ("not measured", "not measured")
    assert "AVX512-BF16" in row[3]
    assert not asked


def test_a_prediction_warms_nothing_before_the_cold_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    homes: list[tuple[str, Path]] = []

    def answer(home: Home, verb: str, *_: str | Path) -> Ran:
        homes.append((verb, home.folder))
        return Ran({"forecast": {"seconds": 12.0}}, 10.0)

    monkeypatch.setattr(Home, "run", answer)
    section = prediction.measure()
    assert section.rows[0] == ("dogs, cold", "12.0 s", "10.0 s", "1.20")
    plan, train, *warm = [place for verb, place in homes if verb in ("plan", "train")][:4]
    assert plan != train
    assert set(warm) == {train}


def test_a_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "FASTAI", tmp_path / "python")
    assert "bench/peers" in " ".join(peers._fastai("fastai", tmp_path, "frozen", 100.0))


def test_growth_is_held_against_a_line() -> None:
    assert growth.extrapolated([20.0, 100.0, 0.0]) == pytest.approx(20 + 19 * 20)


def test_a_split_is_shared_as_links(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", {"disc": 20, "rows": 20})
    with cold() as home:
        split = photos.split(tmp_path / "photos", home, 0.5)
        counts = {name: photos.count(split / name) for name in photos.SPLITS}
        assert counts == {"train": 12, "valid": 4, "test": 4}
        assert (split / "train" / "disc").is_dir()


def test_the_plain_recipe_reads_the_weights_that_both_sides_share(tmp_path: Path) -> None:
    for name in photos.SPLITS:
        write_folder(tmp_path / name, {"disc": 2, "rows": 2})
    weights = features.random_weights(tmp_path / "resnet18.safetensors")
    ran = plain.run(tmp_path, {"model": "resnet18", "weights": weights, "epochs": "2"}, "test-every-epoch")
    assert [set(epoch) >= {"valid_loss", "test_loss"} for epoch in ran.document["epochs"]] == [True, True]
    assert 0 < plain.without_test(ran) < ran.seconds


def test_many_photos_have_bytes_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (source := tmp_path / "source").mkdir()
    write_folder(source, {"disc": 3, "rows": 2})
    monkeypatch.setattr(many, "DOGS", source)
    many.write(tmp_path / "photos", 7, 3600, originals=4)
    first = {path.name for path in (tmp_path / "photos").rglob("*.jpg")}
    many.write(tmp_path / "photos", 11, 3600, originals=4)
    written = list((tmp_path / "photos").rglob("*.jpg"))
    assert len(first) == 7
    assert first < {path.name for path in written}
    assert len({path.read_bytes() for path in written}) == len(written) == 11
    with Image.open(written[0]) as photo:
        assert abs(photo.width * photo.height - 3600) < 200


def test_a_comment_changes_bytes_and_no_pixels(tmp_path: Path) -> None:
    (path,) = write_folder(tmp_path, {"disc": 1})
    (other := tmp_path / "other.jpg").write_bytes(many.commented(path.read_bytes(), "7-3"))
    assert other.read_bytes() != path.read_bytes()
    with Image.open(path) as one, Image.open(other) as two:
        assert ImageChops.difference(one, two).getbbox() is None


HOLD = "import sys; held = bytearray(b'x' * 80_000_000); print('held', flush=True); sys.stdin.read()"


def test_memory_is_that_of_the_processes_of_one_home() -> None:
    with cold() as home, cold() as other, anonymous.watched(home) as peak:
        with subprocess.Popen(
            [sys.executable, "-c", HOLD],
            env=home.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout
            process.stdout.readline()
            assert 80_000_000 <= anonymous.anonymous_bytes(home) < 200_000_000
            peak.see(anonymous.anonymous_bytes(home))
            assert anonymous.anonymous_bytes(other) == 0
        assert peak.bytes >= 80_000_000


def test_operations_are_counted_as_on_paper() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Flatten(), nn.Linear(8 * 16, 5)
    )
    first, depthwise, last = counting.count(net, torch.rand(2, 3, 4, 4)).layers
    assert first == counting.Layer(8 * 16 * 27, 4 * (3 * 16 + 8 * 16), False)
    assert depthwise == counting.Layer(8 * 16 * 9, 4 * (8 * 16 + 8 * 16), True)
    assert last == counting.Layer(128 * 5, 4 * (128 + 5), False)


def test_each_layer_waits_for_what_takes_it_longer() -> None:
    computes, moves = counting.Layer(500, 100, False), counting.Layer(500, 3000, True)
    assert counting.Counted([computes]).bound(1000, 1000) == 1
    assert counting.Counted([computes, moves]).bound(1000, 1000) == pytest.approx(2 / 4)
    assert counting.Counted([computes, moves]).depthwise == 0.5


@pytest.mark.parametrize(
    ("moved", "photos_per_s", "said"),
    [(4000, 0.2, "memory bounds it"), (100, 0.9, "arithmetic bounds it"), (100, 0.1, "neither arithmetic nor memory")],
)
def test_what_bounds_a_part_is_said(moved: int, photos_per_s: float, said: str) -> None:
    machine = peak.Machine(operations=1000, bytes=1000)
    part = peak.Part("the tail", counting.Counted([counting.Layer(500, moved, False)]), 1, photos_per_s)
    assert said in peak._bounds(part, machine)
