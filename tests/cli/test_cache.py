"""`vizsla cache` shows what is kept for later runs, and `vizsla cache clear` frees it, except what is in use."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.training.shelf import SPEC, filled
from vizsla import cache
from vizsla.training.packs import Shelf

FEATURES = SPEC.digest()
NETWORK = "0123456789abcdef"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A cache with features, a network, and what is remembered of photos."""
    root = tmp_path / "cache"
    filled(root, 20)
    (root / "networks").mkdir()
    (root / "networks" / f"{NETWORK}.onnx").write_bytes(b"x" * 2_000_000)
    (root / "networks" / f"{NETWORK}.json").write_text('{"model": "resnet18\\u001b[31m", "cut": "layer3"}')
    (root / cache.PHOTOS).touch()
    return root


@pytest.fixture
def asked(vizsla: Run, place: Path) -> Run:
    """The vizsla program with that cache."""
    return lambda *arguments: vizsla("cache", *arguments, VIZSLA_CACHE=str(place))


def test_the_table_says_what_there_is_and_how_much_there_may_be(asked: Run, place: Path) -> None:
    with Shelf.open(place, SPEC, 10):
        ended = asked()
    assert (ended.code, ended.err) == (0, "")
    head, features, network, photos, gap, total = ended.out.splitlines()
    assert head.split("  ")[0] == "kind"
    assert features.split()[:2] == ["features", "test"]
    assert features.endswith("yes")
    assert "resnet18\\x1b[31m, layer3" in network
    assert "2 MB" in network
    assert network.endswith("no")
    assert photos.startswith("photos")
    assert gap == ""
    assert total.startswith(f"2 MB in {place}, which may take ")
    assert "cache.max_gb=10" in total


def test_as_json_it_is_one_document(asked: Run, place: Path) -> None:
    document = asked("--json").document
    assert document["path"] == str(place)
    assert [(entry["kind"], entry["name"]) for entry in document["entries"]] == [
        ("features", FEATURES),
        ("networks", NETWORK),
        ("photos", "photos"),
    ]
    assert document["size_bytes"] == sum(entry["size_bytes"] for entry in document["entries"])
    assert 0 < document["allowance_bytes"] <= 10_000_000_000
    for entry in document["entries"]:
        assert datetime.fromisoformat(entry["used"]).tzinfo
        assert entry["in_use"] is False
        assert Path(entry["path"]).exists()


def test_an_empty_cache_is_said_to_be_empty(vizsla: Run, tmp_path: Path) -> None:
    ended = vizsla("cache", VIZSLA_CACHE=str(tmp_path / "none"))
    assert (ended.code, ended.err) == (0, "")
    assert "Nothing is kept" in ended.out
    assert vizsla("cache", "clear", VIZSLA_CACHE=str(tmp_path / "none")).out == "Nothing was removed.\n"


def test_clear_says_what_it_freed_and_what_it_kept(asked: Run, place: Path) -> None:
    with Shelf.open(place, SPEC, 10) as shelf:
        ended = asked("clear")
        assert ended.code == 0
        assert ended.out.splitlines()[0] == "Freed 2 MB: 2 entries."
        assert ended.out.splitlines()[1].startswith("Kept ")
        assert ended.out.splitlines()[1].endswith(": features test is in use.")
        assert shelf.path.is_dir()
    assert [entry.name for entry in cache.entries(place)] == [FEATURES]
    assert asked("clear").out.endswith("1 entry.\n")
    assert cache.entries(place) == []


def test_clear_of_one_kind_leaves_the_others(asked: Run, place: Path) -> None:
    document = asked("clear", "networks", "--json").document
    assert [entry["name"] for entry in document["removed"]] == [NETWORK]
    assert document["freed_bytes"] == document["removed"][0]["size_bytes"] > 2_000_000
    assert document["kept"] == []
    assert [entry.kind for entry in cache.entries(place)] == ["features", "photos"]


def test_a_kind_that_there_is_not_is_refused_and_nothing_is_removed(asked: Run, place: Path) -> None:
    ended = asked("clear", "feetures")
    assert (ended.code, ended.out) == (2, "")
    assert "'features'" in ended.err
    assert len(cache.entries(place)) == 3


def test_json_says_the_same_of_what_is_in_use(asked: Run, place: Path) -> None:
    with Shelf.open(place, SPEC, 10):
        document = asked("clear", "features", "--json").document
    assert document["removed"] == []
    assert [(entry["name"], entry["in_use"]) for entry in document["kept"]] == [(FEATURES, True)]
