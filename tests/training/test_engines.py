"""The frozen part of a network runs in torch or in ONNX Runtime: the same features, whoever stands beside a photo."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
import pytest
import torch

from vizsla.errors import VizslaError
from vizsla.training.engines import Engine, onnx_engine, torch_engine
from vizsla.vision import networks
from vizsla.vision.halves import Extractor, halve

if TYPE_CHECKING:
    from torch import nn

ROOT = Path(__file__).parents[2]
SIDE = 64  # pixels
TAPS = ("layer1", "layer3")


@dataclass(frozen=True)
class How:
    threads: int = 1
    layout: Any = torch.channels_last
    precision: Literal["float32", "bfloat16"] = "float32"


def network(classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    net = networks.build("test_resnet", classes, 0.2, weights="none")
    for module in net.modules():  # as timm leaves them, whole branches are zero
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return net


def extractor(outputs: tuple[str, ...] = ("cut", "pooled", "stages"), net: nn.Module | None = None) -> Extractor:
    net = net or network()
    return Extractor(halve(net, networks.freeze(net, "last"), torch.randn(2, 3, SIDE, SIDE)), outputs, TAPS)


def photos(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, 3, SIDE, SIDE)).astype(np.float32)


def engine(name: str, root: Path, batch: int = 4, how: How | None = None) -> Engine:
    if name == "torch":
        return torch_engine(extractor(), how or How(), batch)
    return onnx_engine(extractor(), how or How(), root, batch)


def kept(root: Path) -> list[Path]:
    return sorted((root / "networks").glob("*.onnx"))


def close(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...], tolerance: float = 1e-4) -> bool:
    return all(
        a.shape == b.shape and np.abs(a - b).max() <= tolerance * np.abs(b).max()
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_an_engine_gives_what_the_network_makes_of_photos(name: str, tmp_path: Path) -> None:
    made = engine(name, tmp_path)
    expected = tuple(rows.numpy() for rows in extractor()(torch.from_numpy(photos(6))))
    found = made(photos(6))
    assert made.name == name
    assert made.version.startswith(f"{name} ")
    assert made.outputs == ("cut", "pooled", "stages")
    assert [rows.dtype for rows in found] == [np.float32] * 3
    assert all(rows.flags.c_contiguous for rows in found)
    assert close(found, expected)


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_photos_features_depend_on_nothing_but_the_photo(name: str, threads: int, tmp_path: Path) -> None:
    made = engine(name, tmp_path, how=How(threads))
    x = photos(9)
    once, alone = made(x), made(x[5:6])
    backwards = made(x[::-1])
    for rows, row, reversed_ in zip(once, alone, backwards, strict=True):
        assert np.array_equal(rows[5:6], row)
        assert np.array_equal(rows, reversed_[::-1])


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_so_many_rows_come_out_as_photos_go_in(name: str, tmp_path: Path) -> None:
    made = engine(name, tmp_path)
    for count in (1, 4, 5, 8):
        assert [len(rows) for rows in made(photos(count))] == [count] * 3


def test_the_memory_format_changes_rounding_and_no_more() -> None:
    last, first = (
        torch_engine(extractor(), How(layout=layout), 4) for layout in (torch.channels_last, torch.contiguous_format)
    )
    assert close(last(photos(4)), first(photos(4)), 1e-5)


def test_bfloat16_comes_as_its_bits() -> None:
    found = torch_engine(extractor(), How(precision="bfloat16"), 4)(photos(4))
    assert [rows.dtype for rows in found] == [np.uint16] * 3
    read = tuple((rows.astype(np.uint32) << 16).view(np.float32) for rows in found)
    assert close(read, torch_engine(extractor(), How(), 4)(photos(4)), 0.05)


def test_torchs_threads_are_as_they_were_after_a_call() -> None:
    before = torch.get_num_threads()
    torch_engine(extractor(), How(threads=before + 1), 4)(photos(1))
    assert torch.get_num_threads() == before


def test_exporting_says_nothing_and_leaves_the_network_in_its_mode(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    net = network()
    frozen = networks.freeze(net, "last")
    wanted = extractor(net=net)
    networks.set_train_mode(net, frozen)
    modes = [module.training for module in net.modules()]
    onnx_engine(wanted, How(), tmp_path)
    assert [module.training for module in net.modules()] == modes
    assert capfd.readouterr() == ("", "")


def test_a_network_is_exported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine("onnxruntime", tmp_path)(photos(4))
    monkeypatch.setattr(torch.onnx, "export", _must_not_run)
    again = engine("onnxruntime", tmp_path)(photos(4))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert len(kept(tmp_path)) == 1


def _must_not_run(*_args: object, **_kwargs: object) -> None:
    raise AssertionError("it was exported again")


def test_other_classes_need_no_other_export_and_other_frozen_weights_do(tmp_path: Path) -> None:
    net = network(classes=5)
    onnx_engine(extractor(("cut",), net), How(), tmp_path)
    other = network(classes=9)
    fits = {name: value for name, value in net.state_dict().items() if not name.startswith("fc.")}
    other.load_state_dict(fits, strict=False)
    onnx_engine(extractor(("cut",), other), How(), tmp_path)
    assert len(kept(tmp_path)) == 1
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    onnx_engine(extractor(("cut",), other), How(), tmp_path)
    assert len(kept(tmp_path)) == 2


def _cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def _flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def _forget_the_hash(file: Path) -> None:
    file.with_suffix(".json").unlink()


def _write_no_json(file: Path) -> None:
    file.with_suffix(".json").write_text("{")


@pytest.mark.parametrize("damage", [_cut_short, _flip_a_bit, _forget_the_hash, _write_no_json])
def test_a_damaged_file_is_made_anew(damage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = engine("onnxruntime", tmp_path)(photos(4))
    damage(kept(tmp_path)[0])
    found = engine("onnxruntime", tmp_path)(photos(4))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    monkeypatch.setattr(torch.onnx, "export", _must_not_run)
    engine("onnxruntime", tmp_path)


def test_a_file_with_other_answers_is_made_anew_though_it_is_whole(tmp_path: Path) -> None:
    """Weights that torch reads otherwise than when it was exported, say."""
    expected = engine("onnxruntime", tmp_path)(photos(4))
    file = kept(tmp_path)[0]
    document = onnx.load(file)
    for tensor in document.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.5), tensor.name))
    _keep_as(file, document.SerializeToString())
    found = engine("onnxruntime", tmp_path)(photos(4))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_file_that_is_no_network_is_made_anew_though_it_is_whole(tmp_path: Path) -> None:
    expected = engine("onnxruntime", tmp_path)(photos(4))
    _keep_as(kept(tmp_path)[0], b"no network")
    found = engine("onnxruntime", tmp_path)(photos(4))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def _keep_as(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    file.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(content).hexdigest()}))


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert close(engine("onnxruntime", tmp_path / "file")(photos(4)), engine("torch", tmp_path)(photos(4)))


def test_nothing_is_kept_where_the_cache_may_take_nothing(tmp_path: Path) -> None:
    onnx_engine(extractor(("cut",)), How(), tmp_path, max_gb=0)
    assert kept(tmp_path) == []


def test_two_processes_may_export_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.test_engines", str(tmp_path)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1] != ""
    assert len(kept(tmp_path)) == 1
    assert not list((tmp_path / "networks").glob(".*.tmp"))


def test_a_network_that_cannot_be_exported_is_named_with_what_to_do(tmp_path: Path) -> None:
    net = network()
    net.get_submodule("layer1").register_forward_hook(lambda _module, _x, y: torch.special.bessel_j0(y))
    with pytest.raises(VizslaError, match="cannot be exported to ONNX") as raised:
        onnx_engine(extractor(("cut",), net), How(), tmp_path)
    assert "run.engine=torch" in raised.value.hint
    assert kept(tmp_path) == []


def test_without_onnx_runtime_it_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(VizslaError, match="ONNX Runtime cannot be used"):
        onnx_engine(extractor(("cut",)), How(), tmp_path)


if __name__ == "__main__":  # one of the two processes above
    print(float(engine("onnxruntime", Path(sys.argv[1]))(photos(4))[1].sum()))
