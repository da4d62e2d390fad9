"""A bundle and bytes to answers: the four verbs of serving, setup, decode, predict, encode. No torch at import.

The network runs in torch until bundles carry ONNX. Nothing of a bundle is executed: architectures come from timm by
name, weights from safetensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vizsla import bundle
from vizsla.errors import VizslaError
from vizsla.vision.preprocess import Preprocessing, preprocess

if TYPE_CHECKING:
    from torch import nn

BATCH = 32


class Predictor:
    """A bundle that can be asked."""

    def __init__(self, folder: Path) -> None:
        """Loads the bundle. Raises VizslaError if it is damaged or made for another version."""
        self.manifest = bundle.read(folder)
        self.spec = preprocessing(self.manifest)
        self._net = network(folder, self.manifest)

    def decode(self, data: bytes) -> np.ndarray:
        """Encoded photo → float32 (3, size, size). Raises BadImage."""
        return preprocess(data, self.spec)

    def predict(self, photos_BCHW: np.ndarray) -> np.ndarray:
        """Float32 (B, 3, size, size) → probabilities (B, classes), float32."""
        import torch

        with torch.inference_mode():
            logits_BC = self._net(torch.from_numpy(photos_BCHW).contiguous(memory_format=torch.channels_last))
            answer: np.ndarray = logits_BC.float().softmax(dim=1).numpy()
            return answer

    def encode(self, probabilities_C: np.ndarray, top: int) -> dict[str, Any]:
        """The answer to one photo: index and label of the likeliest class, confidence in percent, and the `top`."""
        order = np.argsort(-probabilities_C, kind="stable")[:top]
        ranked = [self._ranked(int(index), probabilities_C) for index in order]
        first = int(order[0])
        return {"predicted_class": first, **self._ranked(first, probabilities_C), "top": ranked}

    def _ranked(self, index: int, probabilities_C: np.ndarray) -> dict[str, Any]:
        return {"label": self.manifest.classes[index], "confidence": round(100 * float(probabilities_C[index]), 4)}


def preprocessing(manifest: bundle.Manifest) -> Preprocessing:
    """How this bundle's photos become arrays. Raises VizslaError if this vizsla would do it differently."""
    try:
        spec = Preprocessing.from_dict(manifest.preprocessing)
    except ValueError as error:
        raise VizslaError(f"The bundle's preprocessing cannot be repeated here: {error}.", _OTHER_VERSION) from error
    if spec.digest() != manifest.preprocessing_sha256:
        raise VizslaError("The bundle's preprocessing does not match its hash.", "Take another copy of the bundle.")
    return spec


def network(folder: Path, manifest: bundle.Manifest) -> nn.Module:
    """The bundle's network with its weights, in eval mode. Raises VizslaError if they do not fit each other."""
    import torch

    from vizsla.vision import pooled

    net = pooled.rebuild(manifest.architecture)
    tensors = {name: torch.from_numpy(array) for name, array in bundle.tensors(folder, manifest).items()}
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        said = str(error).splitlines()[-1].strip()
        raise VizslaError(f"The bundle's weights do not fit its network: {said}", _OTHER_VERSION) from error
    return net.eval().to(memory_format=torch.channels_last)


def in_batches(predictor: Predictor, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Probabilities of each array, computed a few at a time."""
    found: list[np.ndarray] = []
    for start in range(0, len(arrays), BATCH):
        found += list(predictor.predict(np.stack(arrays[start : start + BATCH])))
    return found


_OTHER_VERSION = "Use the vizsla it was made with (manifest.json names it), or train again."
