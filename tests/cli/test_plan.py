"""`vizsla plan`: one screen about a training that is not started, and refusals in a training's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import TORN, tiny
from tests.photos import write_folder
from vizsla.cli.plan import WIDTH, screen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Here
    from tests.conftest import Run

LARGE: dict[str, Any] = {
    "model": "efficientnet_lite0",
    "method": "auto",
    "epochs": 8,
    "trained": ["blocks.6", "conv_head", "classifier"],
    "frozen": ["conv_stem", *(f"blocks.{number}" for number in range(6))],
    "classes": 120,
    "images": {"train": 700, "valid": 150, "test": 150},
    "features": {"needed": 1700, "cached": 300, "bytes": 73_000_000, "kept": True, "why": None},
    "execution": {
        "engine": "onnxruntime",
        "precision": "float32",
        "memory_format": "channels_last",
        "threads": 2,
        "loader_workers": 2,
        "why": [
            "frozen part in ONNX Runtime float32: 137 img/s against 76 in torch bfloat16 channels_last, 45 in torch "
            "float32 channels_last, 38 in torch float32 contiguous",
            "loader workers 2: 98 img/s with 0, 120 img/s with 1, 125 img/s with 2",
        ],
    },
    "forecast": {"seconds": 80.0, "parts": {"start": 8.0, "export": 0.0, "features": 12.0, "epochs": 60.0}},
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZSLA_CACHE", str(tmp_path / "cache"))


def test_one_screen_says_what_how_and_how_long() -> None:
    text = " ".join(screen(LARGE).replace("█", "").split())
    for said in (
        "photos 700 to train, 150 to validate, 150 held out",
        "efficientnet_lite0: a probe, then fine-tuning for 8 epochs",
        "trained blocks.6, conv_head, classifier",
        "frozen conv_stem … blocks.5, 7 stages",
        "features 300 of 1,700 are in the cache; all take 73 MB",
        "how ONNX Runtime float32, channels_last, threads 2, loader workers 2",
        "why frozen part in ONNX Runtime float32: 137 img/s against 76 in torch bfloat16",
        "About 1 min 20 s",
        "epochs 1 min 00 s",
    ):
        assert said in text


def test_the_screen_is_narrow_and_short() -> None:
    lines = screen(LARGE).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) <= 30


def test_parts_that_take_no_time_are_left_out() -> None:
    assert "export" not in screen(LARGE)


def test_why_nothing_is_kept_is_said() -> None:
    features = {"needed": 0, "cached": 0, "bytes": 0, "kept": False, "why": "every epoch runs the whole network: why"}
    assert "features  every epoch runs the whole network: why" in screen({**LARGE, "features": features})


def test_names_that_move_the_cursor_do_not() -> None:
    assert "\x1b" not in screen({**LARGE, "model": "\x1b[2Jnet", "trained": ["\x1b[31m"]})


def test_the_document_has_the_execution_and_the_forecast(here: Here, photos: Path) -> None:
    ended = here("plan", photos, *tiny(), "--json")
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["images"]["train"] + document["images"]["valid"] + document["images"]["test"] == 16
    assert document["execution"]["threads"] == 1
    assert document["forecast"]["seconds"] > 0
    assert set(document["forecast"]["parts"]) >= {"start", "features", "epochs", "test"}


def test_nothing_is_started_and_nothing_written_beside_the_photos(here: Here, photos: Path, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts)
    assert here("plan", photos, *tiny()).code == 0
    assert sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts) == before


@pytest.mark.parametrize(
    "settings",
    [
        ["--set", "epocs=3"],
        ["--set", "epochs=0"],
        ["--set", "train_from=layer9"],
        ["--set", "run.engine=onnxruntime", "--set", "run.precision=bfloat16"],
        ["--set", "weights=/nowhere.pth"],
    ],
    ids=["key", "value", "stage", "together", "weights"],
)
def test_what_train_refuses_is_refused_in_the_same_words(here: Here, photos: Path, settings: list[str]) -> None:
    usual = [
        part
        for pair in ("model=test_resnet", "image.size=48", *([] if "weights" in settings[1] else ["weights=none"]))
        for part in ("--set", pair)
    ]
    planned = here("plan", photos, *usual, *settings)
    trained = here("train", photos, *usual, *settings)
    assert (planned.code, trained.code) == (2, 2)
    assert planned.out == ""
    assert _complaint(planned.err) == _complaint(trained.err)


def test_photos_that_train_refuses_are_refused_in_the_same_words(here: Here, photos: Path) -> None:
    for file in sorted((photos / "disc").iterdir())[:4]:
        file.write_bytes(TORN)
    planned, trained = here("plan", photos, *tiny()), here("train", photos, *tiny())
    assert (planned.code, trained.code) == (2, 2)
    assert "photos are bad" in planned.err
    assert _complaint(planned.err) == _complaint(trained.err)


def test_one_class_is_refused(here: Here, tmp_path: Path) -> None:
    write_folder(tmp_path / "one", {"disc": 5})
    ended = here("plan", "one")
    assert ended.code == 2
    assert "There is only one class, 'disc'." in ended.err


def test_a_script_is_refused_with_the_cure(here: Here, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print()")
    ended = here("plan", "train.py")
    assert ended.code == 2
    assert "is a script" in ended.err


def test_a_worker_of_its_own_answers(vizsla: Run, photos: Path) -> None:
    ended = vizsla("plan", photos, *tiny("train_from=last"), "--json")
    assert ended.code == 0, ended.err
    assert ended.document["forecast"]["parts"]["start"] > 0


def _complaint(err: str) -> str:
    """The message and its cure; lines of the worker's log may stand before them."""
    return err[err.index("vizsla: ") :]
