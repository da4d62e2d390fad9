"""What a bundle keeps through a kill, and what a damaged or hostile one is answered with."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vizsla import bundle
from vizsla.errors import UserError, VizslaError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MANIFEST = bundle.Manifest(
    name="dogs",
    created="2026-11-22T10:47:00+00:00",
    classes=("beagle", "größer", "vizsla"),
    architecture={"model": "efficientnet_lite0", "num_classes": 3, "dropout": 0.2},
    preprocessing={"version": 1, "mean": [0.5, 0.5, 0.5]},
    preprocessing_sha256="p" * 64,
    metrics={"valid_loss": 0.5, "test_loss": None},
    data={"fingerprint": "f" * 64, "images": {"train": 7, "valid": 2, "test": 0}},
    versions={"vizsla": "0.1.0", "torch": "2.14.1"},
    plan_sha256="a" * 64,
)


def arrays(seed: int = 0) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "conv.weight": rng.normal(size=(4, 3, 3)).astype(np.float32),
        "bn.num_batches_tracked": np.array(seed, np.int64),
        "mask": np.array([True, False]),
    }


def holds(folder: Path, seed: int) -> bool:
    found = bundle.tensors(folder, bundle.read(folder, verify=True))
    return found.keys() == arrays().keys() and all(np.array_equal(found[key], arrays(seed)[key]) for key in found)


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle."""
    bundle.write(tmp_path / "model", MANIFEST, arrays())
    return tmp_path / "model"


def test_a_bundle_comes_back_as_it_was_written(folder: Path) -> None:
    manifest = bundle.read(folder, verify=True)
    assert manifest == replace(MANIFEST, classes_sha256=manifest.classes_sha256, weights=manifest.weights)
    found = bundle.tensors(folder, manifest)
    for name, array in arrays().items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)
    found["mask"][0] = False  # torch warns of arrays that may not be written to


def test_the_hashes_can_be_checked_with_other_tools(folder: Path) -> None:
    manifest = bundle.read(folder)
    weights = folder / manifest.weights["file"]
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == manifest.weights["sha256"]
    assert weights.name == f"weights-{manifest.weights['sha256'][:12]}.safetensors"
    names = b'["beagle","gr\\u00f6\\u00dfer","vizsla"]'
    assert manifest.classes_sha256 == hashlib.sha256(names).hexdigest()


def test_every_key_of_the_manifest_is_documented(request: pytest.FixtureRequest) -> None:
    page = (request.config.rootpath / "docs" / "job-folder.md").read_text()
    section = page[page.index("## The bundle") :]
    assert [key for key in MANIFEST.__dataclass_fields__ if f"`{key}`" not in section] == []


def test_the_order_of_classes_changes_their_hash() -> None:
    assert bundle.hash_classes(("a", "b")) != bundle.hash_classes(("b", "a"))
    assert bundle.hash_classes(("a,b",)) != bundle.hash_classes(("a", "b"))


def test_a_class_name_that_is_no_text_survives(tmp_path: Path) -> None:
    classes = ("a", "b", "\udcff")
    bundle.write(tmp_path, replace(MANIFEST, classes=classes), arrays())
    assert bundle.read(tmp_path).classes == classes


def test_views_are_saved_in_the_order_they_show(tmp_path: Path) -> None:
    square = np.arange(6, dtype=np.float32).reshape(2, 3)
    manifest = bundle.write(tmp_path, MANIFEST, {"turned": square.T, "strided": square[:, ::2]})
    found = bundle.tensors(tmp_path, manifest)
    np.testing.assert_array_equal(found["turned"], square.T)
    np.testing.assert_array_equal(found["strided"], square[:, ::2])


def test_a_metric_that_is_not_finite_becomes_null(tmp_path: Path) -> None:
    metrics = {"train_loss": math.nan, "valid_loss": math.inf, "valid_accuracy": 0.5}
    manifest = bundle.write(tmp_path, replace(MANIFEST, metrics=metrics), arrays())
    assert manifest.metrics == {"train_loss": None, "valid_loss": None, "valid_accuracy": 0.5}


def test_a_new_bundle_takes_the_place_of_the_old_and_of_nothing_else(folder: Path) -> None:
    others = [folder / "code", folder / "weights-mine.safetensors", folder / ".keep.tmp"]
    for path in others:
        path.write_text("theirs")
    left_by_a_kill = [folder / ".weights-0123456789ab.safetensors.1a2b3c4d.tmp", folder / ".manifest.json.1a2b.tmp"]
    for path in left_by_a_kill:
        path.write_text("half")
    manifest = bundle.write(folder, MANIFEST, arrays(seed=1))
    assert holds(folder, seed=1)
    assert set(folder.iterdir()) == {*others, folder / "manifest.json", folder / manifest.weights["file"]}


DIE_AT = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import safetensors.numpy
from test_bundle import MANIFEST, arrays
from vizsla import bundle
folder, left = sys.argv[1], int(sys.argv[2])
def hook(event, args):
    global left
    if event in ("open", "os.rename", "os.remove") and str(args[0]).startswith(folder):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(hook)
bundle.write(Path(folder), MANIFEST, arrays(seed=1))
"""


def test_a_process_that_dies_before_any_step_leaves_the_old_bundle_or_the_new(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    here = str(request.path.parent)
    outcomes = []
    for step in range(30):
        bundle.write(folder, MANIFEST, arrays(seed=0))
        died = subprocess.run([sys.executable, "-c", DIE_AT, str(folder), str(step), here], check=False).returncode
        assert died in (0, 9)
        outcomes.append(holds(folder, seed=1))
        assert outcomes[-1] or holds(folder, seed=0)
        if died == 0:
            break
    assert died == 0
    assert outcomes.count(False) >= 4  # two files are opened and renamed before the new bundle is there
    assert outcomes.count(True) >= 2
    assert outcomes == sorted(outcomes)


def test_a_disk_that_refuses_the_manifest_leaves_the_old_bundle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise VizslaError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "write_json", refuse)
        with pytest.raises(VizslaError, match="full"):
            bundle.write(folder, MANIFEST, arrays(seed=1))
    assert holds(folder, seed=0)


@pytest.mark.parametrize(
    "tensor", [np.zeros(2, "V2"), np.zeros(2, np.complex64), np.array(["a"]), np.array([None]), 1.0]
)
def test_a_tensor_that_could_not_be_read_back_is_refused(folder: Path, tensor: Any) -> None:
    with pytest.raises(VizslaError, match=r"The tensor head\.weight is \w+, which a bundle cannot hold"):
        bundle.write(folder, MANIFEST, {"head.weight": tensor})
    assert holds(folder, seed=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", ("a", "a", "b")),
        ("classes", ("a", "b")),
        ("created", "yesterday"),
        ("created", "2026-11-22T10:47:00"),
        ("data", {}),
        ("architecture", {"model": "resnet18"}),
    ],
)
def test_a_manifest_that_nobody_could_read_is_not_written(folder: Path, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field if field != "classes" else "classes|architecture"):
        bundle.write(folder, replace(MANIFEST, **{field: value}), arrays(seed=1))
    assert holds(folder, seed=0)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        assert not bundle.is_bundle(path)
        with pytest.raises(UserError, match="is no bundle") as caught:
            bundle.read(path)
        assert "model/" in caught.value.hint


def test_a_bundle_of_a_newer_vizsla_says_so(folder: Path) -> None:
    assert bundle.is_bundle(folder)
    (folder / "manifest.json").write_text('{"format": 2}')
    with pytest.raises(UserError, match="newer vizsla") as caught:
        bundle.read(folder)
    assert "Upgrade" in caught.value.hint


@pytest.mark.parametrize("damage", [b"", b"x" * 100])
def test_changed_weights_are_found_out(folder: Path, damage: bytes) -> None:
    manifest = bundle.read(folder)
    (folder / manifest.weights["file"]).write_bytes(damage)
    with pytest.raises(VizslaError, match="not those that the manifest was written for"):
        bundle.read(folder, verify=True)
    with pytest.raises(VizslaError, match="not those that the manifest was written for"):
        bundle.tensors(folder, manifest)


def test_lost_weights_are_named(folder: Path) -> None:
    manifest = bundle.read(folder)
    (folder / manifest.weights["file"]).unlink()
    with pytest.raises(VizslaError, match="has lost its weights"):
        bundle.read(folder)
    with pytest.raises(VizslaError, match="cannot be read"):
        bundle.tensors(folder, manifest)


def test_renamed_classes_are_found_out(folder: Path) -> None:
    rewrite(folder, classes=["beagle", "vizsla", "größer"])
    with pytest.raises(VizslaError, match="classes_sha256"):
        bundle.read(folder)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/passwd", "sub/w.safetensors", "..", "", "weights-0123456789ab.pkl", 7, None]
)
def test_a_weights_file_outside_the_bundle_is_refused(folder: Path, name: object) -> None:
    secret = folder.parent / "secret.safetensors"
    secret.write_bytes(b"x")
    rewrite(folder, weights={"file": name, "sha256": hashlib.sha256(b"x").hexdigest()})
    with pytest.raises(VizslaError, match="'weights'"):
        bundle.read(folder)


def point_at(folder: Path, data: bytes) -> None:
    """Makes `data` the weights of a bundle, with hashes that fit."""
    digest = hashlib.sha256(data).hexdigest()
    name = f"weights-{digest[:12]}.safetensors"
    (folder / name).write_bytes(data)
    rewrite(folder, weights={"file": name, "sha256": digest})


def safetensors(header: object, body: bytes = b"\0" * 4) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 64,
        safetensors({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}),
        safetensors({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 4]}}),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}),
        safetensors([1, 2]),
    ],
    ids=["empty", "long header", "bf16", "overflow", "past the end", "list"],
)
def test_weights_that_are_none_are_a_named_error(folder: Path, data: bytes) -> None:
    point_at(folder, data)
    with pytest.raises(VizslaError, match="cannot be understood"):
        bundle.tensors(folder, bundle.read(folder, verify=True))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["NaN", "..", "a" * 64]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from([*MANIFEST.__dataclass_fields__, "unknown"])
INNER = st.sampled_from(["model", "num_classes", "fingerprint", "images", "file", "sha256", "train", "valid_loss"])


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A bundle whose manifest is overwritten again and again, and what it said at first."""
    folder = tmp_path_factory.mktemp("victim")
    bundle.write(folder, MANIFEST, arrays())
    return folder, json.loads((folder / "manifest.json").read_text())


@settings(deadline=None)
@given(changes=st.dictionaries(KEYS, JSON | st.dictionaries(INNER, JSON), min_size=1), lost=st.sets(KEYS, max_size=2))
def test_a_hostile_manifest_is_read_or_a_named_error(
    victim: tuple[Path, dict[str, Any]], changes: dict[str, object], lost: set[str]
) -> None:
    folder, good = victim
    doc = good | changes
    (folder / "manifest.json").write_text(json.dumps({key: doc[key] for key in doc if key not in lost}))
    try:
        manifest = bundle.read(folder, verify=True)
    except VizslaError as error:
        assert error.hint  # noqa: PT017
        return
    assert not lost & MANIFEST.__dataclass_fields__.keys()
    assert manifest.architecture["num_classes"] == len(manifest.classes) == 3
    assert bundle.tensors(folder, manifest).keys() == arrays().keys()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"null", b"{}", b'{"format": 1}', b'{"format": true}', b"[" * 100_000, b" " * (17 << 20)],
    ids=["empty", "binary", "list", "null", "object", "format only", "bool", "deep", "huge"],
)
def test_a_manifest_that_is_none_is_a_named_error(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(VizslaError) as caught:
        bundle.read(folder)
    assert caught.value.hint


def test_reading_a_bundle_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vizsla import bundle, records, files\n"
        "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "bundle.tensors(Path(sys.argv[1]), bundle.read(Path(sys.argv[1])))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
