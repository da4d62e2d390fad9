"""The model to ship: a folder with a manifest and the weights it names. Written by training, read by everything else.

Only values live here: building the network from them is `vision.networks`' work, and nothing here needs torch. A
bundle may come from a stranger: no byte of it is run, and whatever is wrong with it becomes a named error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vizsla.errors import UserError, VizslaError
from vizsla.files import read_json, reason, write_atomic, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np

FORMAT = 1
MANIFEST = "manifest.json"
LIMIT_BYTES = 16 << 20  # 20,000 classes with long names fit in a tenth of it

_CURE = "Take another copy of the bundle, or train the model again."
_WEIGHTS_NAME = re.compile(r"weights-[0-9a-f]{12}\.safetensors")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What numpy and safetensors both hold. bfloat16 and the 8-bit floats are not among them: numpy has none, and an
# array of a look-alike type could be written but never read back.
_DTYPES = frozenset(["bool", "float16", "float32", "float64"]) | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `manifest.json` says. `classes_sha256` and `weights` are filled in by `write`.

    created: ISO 8601 with a time zone, UTC by custom.
    classes: the names, in the order of the network's outputs.
    architecture: `model`, `num_classes` and what else building it takes.
    preprocessing: everything from bytes to array, with a version of its own; preprocessing_sha256 is its owner's hash.
    metrics: null where there is none; accuracies are 0-1.
    data: `fingerprint` and the number of `images` in train, valid and test.
    weights: `file`, a name inside the bundle, and its `sha256`.
    versions: of vizsla and the libraries that made it.
    """

    format: int = FORMAT
    name: str
    created: str
    classes: tuple[str, ...]
    classes_sha256: str = ""
    architecture: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    preprocessing_sha256: str
    metrics: Mapping[str, float | None]
    data: Mapping[str, Any]
    weights: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str]
    plan_sha256: str


def hash_classes(classes: Sequence[str]) -> str:
    """The SHA-256 of the class names as a JSON list in ASCII without spaces, in hexadecimal."""
    return hashlib.sha256(json.dumps(classes, separators=(",", ":")).encode()).hexdigest()


def is_bundle(path: Path) -> bool:
    """Whether `path` is a folder with a manifest; it may still be damaged."""
    try:
        return (path / MANIFEST).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def write(folder: Path, manifest: Manifest, tensors: Mapping[str, np.ndarray]) -> Manifest:
    """Makes `folder` the bundle of `tensors`, or leaves the one it was, whenever this process is killed.

    manifest: complete but for the hash of the classes and the weights. Metrics that are not finite become null.
    What is returned is what a reader gets. Other files in the folder are left alone.

    Raises VizslaError for a tensor that numpy cannot hold or a full disk, ValueError for a manifest nobody could read.
    """
    data = _serialize(tensors)
    digest = hashlib.sha256(data).hexdigest()
    complete = replace(
        manifest,
        classes_sha256=hash_classes(manifest.classes),
        metrics={name: value if _is_finite(value) else None for name, value in manifest.metrics.items()},
        weights={"file": f"weights-{digest[:12]}.safetensors", "sha256": digest},
    )
    doc = asdict(complete)
    _check(doc)
    write_atomic(folder / complete.weights["file"], data)
    write_json(folder / MANIFEST, doc)  # from here on the new bundle is the one that is read
    _remove_old(folder, complete.weights["file"])
    return read(folder)


def read(folder: Path, verify: bool = False) -> Manifest:
    """The manifest of the bundle in `folder`, checked; with `verify` the weights' hash is checked too.

    Raises UserError for a folder that is no bundle or one made by a newer vizsla, VizslaError for a damaged one.
    """
    if not is_bundle(folder):
        raise UserError(f"{folder} is no bundle: it has no {MANIFEST}.", "Give the model/ folder of a finished job.")
    manifest = _parse(_read_doc(folder / MANIFEST), folder)
    if verify:
        _read_weights(folder, manifest)
    elif not (folder / manifest.weights["file"]).is_file():
        raise VizslaError(f"The bundle {folder} has lost its weights, {manifest.weights['file']}.", _CURE)
    return manifest


def tensors(folder: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """The weights by name, after their hash was checked; the arrays may be written to.

    Raises VizslaError when they are missing, were changed, or hold what numpy cannot.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = _read_weights(folder, manifest)
    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise VizslaError(f"The weights of {folder} cannot be understood ({error}).", _CURE) from error


def _serialize(arrays: Mapping[str, np.ndarray]) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    for name, array in arrays.items():
        kind = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        if kind not in _DTYPES:
            raise VizslaError(f"The tensor {name} is {kind}, which a bundle cannot hold.", "Convert it to float32.")
    # safetensors reads memory from the first byte on, so a transposed view would be saved in the wrong order.
    return save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def _remove_old(folder: Path, current: str) -> None:
    """Removes earlier weights, and what a killed `write` left of its own; a file that is in use may stay."""
    for path in [*folder.glob("weights-*.safetensors"), *folder.glob(".*.tmp")]:
        older = path.name != current and _WEIGHTS_NAME.fullmatch(path.name)
        if older or path.name.startswith((".weights-", f".{MANIFEST}.")):
            with contextlib.suppress(OSError):
                path.unlink()


def _read_weights(folder: Path, manifest: Manifest) -> bytes:
    path = folder / manifest.weights["file"]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VizslaError(f"The weights {path} cannot be read ({reason(error)}).", _CURE) from error
    if hashlib.sha256(data).hexdigest() != manifest.weights["sha256"]:
        raise VizslaError(f"The weights {path} are not those that the manifest was written for.", _CURE)
    return data


class _DamagedError(ValueError):
    """What is wrong with a manifest, in words."""


def _read_doc(path: Path) -> object:
    try:
        return read_json(path, LIMIT_BYTES)
    except OSError as error:
        raise VizslaError(f"{path} cannot be read ({reason(error)}).", "Check its permissions.") from error
    except ValueError as error:
        raise VizslaError(f"The manifest is damaged: {error}.", _CURE) from error


def _parse(doc: object, folder: Path) -> Manifest:
    if not isinstance(doc, dict):
        raise VizslaError(f"The manifest of {folder} is damaged: it is no object.", _CURE)
    if type(doc.get("format")) is int and doc["format"] > FORMAT:
        raise UserError(f"{folder} was made by a newer vizsla.", "Upgrade vizsla.")
    try:
        _check(doc)
    except _DamagedError as damage:
        raise VizslaError(f"The manifest of {folder} is damaged: {damage}.", _CURE) from damage
    known = {entry.name: doc[entry.name] for entry in fields(Manifest)}
    return Manifest(**known | {"classes": tuple(doc["classes"])})


def _check(doc: dict[str, Any]) -> None:
    """Raises _DamagedError unless `doc` says everything a Manifest holds, each in its own form."""
    _require(type(doc.get("format")) is int and doc["format"] == FORMAT, "format")
    for key in ("name", "plan_sha256", "preprocessing_sha256"):
        _require(isinstance(doc.get(key), str), key)
    _require(_is_time(doc.get("created")), "created")
    _require(isinstance(doc.get("preprocessing"), dict), "preprocessing")
    _require(_is_named(doc.get("metrics"), _is_metric), "metrics")
    _require(_is_named(doc.get("versions"), lambda version: isinstance(version, str)), "versions")
    _check_classes(doc.get("classes"), doc.get("architecture"))
    _require(doc.get("classes_sha256") == hash_classes(doc["classes"]), "classes_sha256")
    _check_data(doc.get("data"))
    _check_weights(doc.get("weights"))


def _check_classes(classes: Any, architecture: Any) -> None:
    _require(isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes), "classes")
    _require(0 < len(set(classes)) == len(classes), "classes")
    _require(isinstance(architecture, dict) and isinstance(architecture.get("model"), str), "architecture")
    _require(_is_count(architecture.get("num_classes")), "architecture")
    _require(architecture["num_classes"] == len(classes), "architecture")


def _check_data(data: Any) -> None:
    _require(isinstance(data, dict) and isinstance(data.get("fingerprint"), str), "data")
    _require(_is_named(data.get("images"), _is_count), "data")


def _check_weights(weights: Any) -> None:
    _require(_is_named(weights, lambda text: isinstance(text, str)), "weights")
    # The name is opened: one that could lead out of the folder is refused.
    _require(_WEIGHTS_NAME.fullmatch(weights.get("file", "")) is not None, "weights")
    _require(_SHA256.fullmatch(weights.get("sha256", "")) is not None, "weights")


def _require(holds: bool, key: str) -> None:
    if not holds:
        raise _DamagedError(f"its {key!r} is missing or not what a manifest holds")


def _is_named(value: object, test: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) and test(part) for key, part in value.items())


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_metric(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
