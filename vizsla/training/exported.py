"""The frozen part of a network as an ONNX file in the cache: exported once for the same weights, proven on each load.

`engines.py` runs what comes from here. The file can always be made again: one that is damaged, or that a session cannot
be made of, or that does not give torch's answers, is exported anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from vizsla import cache
from vizsla.errors import VizslaError
from vizsla.files import read_json, write_atomic, write_json
from vizsla.vision.halves import Extractor, digest
from vizsla.vision.shadows import undisturbed

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger("vizsla.engines")

INPUT: Final = "photos"
_OPSET: Final = 17
_SAME: Final = 1e-4  # of the largest number: sums of thousands of products in another order
_USE_TORCH: Final = "Use torch for it: --set run.engine=torch."
# What a tracer can raise on a network that it cannot follow.
_NOT_EXPORTED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Exported:
    """An extractor that ONNX Runtime is to run, with so many threads."""

    extractor: Extractor
    threads: int

    def session(self, root: Path, max_gb: float) -> onnxruntime.InferenceSession:
        """From the cache at `root`, or into it. Raises VizslaError where ONNX Runtime cannot run the network."""
        path = root / "networks" / f"{self._key()}.onnx"
        with cache.using(path):
            kept = _kept(path)
            session = self._proven(kept) if kept else None
            if session is None:
                content = self._export()
                session = self._proven(content)
                if session is None:
                    raise VizslaError("ONNX Runtime gives other answers than torch for this network.", _USE_TORCH)
                _keep(path, content, root, max_gb)
        return session

    def _key(self) -> str:
        """Of all that decides what is in the file: weights, structure, outputs, the size of photos, the exporter."""
        extractor = self.extractor
        said = [
            *(digest(extractor.net), repr(extractor.net), extractor.outputs, extractor.taps, extractor.photo_shape),
            *(version("torch"), version("timm"), _OPSET),
        ]
        return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()

    def _example(self) -> torch.Tensor:
        return torch.randn(2, *self.extractor.photo_shape, generator=torch.Generator().manual_seed(0))

    def _export(self) -> bytes:
        outputs, file = list(self.extractor.outputs), io.BytesIO()
        target: Any = file  # it is taken, whatever torch's own types say
        # The tracing exporter: quicker than the one over torch.export, which needs one package more. It warns that it
        # is the old one, and it puts the whole network into the mode that the topmost module is in.
        with warnings.catch_warnings(), undisturbed(self.extractor):
            warnings.simplefilter("ignore")
            try:
                torch.onnx.export(
                    self.extractor,
                    (self._example(),),
                    target,
                    input_names=[INPUT],
                    output_names=outputs,
                    dynamic_axes={name: {0: "batch"} for name in (INPUT, *outputs)},
                    opset_version=_OPSET,
                    dynamo=False,
                )
            except ImportError as error:
                raise VizslaError(f"The network cannot be exported: {error}.", "Install onnx.") from error
            except _NOT_EXPORTED as error:
                said = str(error).partition("\n")[0][:200] or type(error).__name__
                raise VizslaError(f"The network cannot be exported to ONNX ({said}).", _USE_TORCH) from error
        return file.getvalue()

    def _proven(self, content: bytes) -> onnxruntime.InferenceSession | None:
        """A session that gives torch's answers; None where there is none."""
        session = open_session(content, self.threads)
        if session is None:
            return None
        example = self._example()
        answers = session.run(list(self.extractor.outputs), {INPUT: example.numpy()})
        return session if all(map(_alike, answers, self.extractor(example))) else None


def open_session(content: bytes, threads: int) -> onnxruntime.InferenceSession | None:
    """None for what ONNX Runtime does not take. Raises VizslaError where it is not installed."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as raised
    except ImportError as error:
        raise VizslaError(f"ONNX Runtime cannot be used: {error}.", "Install onnxruntime.") from error
    refused = (raised.Fail, raised.InvalidArgument, raised.InvalidGraph, raised.InvalidProtobuf)
    # Graph optimisations are left as they are, all of them: with fewer a pass took 1.3 to 2.4 times as long. Spinning
    # and an arena made no difference that could be told from noise on a busy machine, the arena none in memory either;
    # they are off because spinning threads take cores from those that decode, and an arena never gives back.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except (*refused, raised.NotImplemented, raised.RuntimeException) as error:
        log.debug("", exc_info=error)
        return None


def _alike(answer: Any, expected: torch.Tensor) -> bool:
    got = torch.from_numpy(answer)
    return got.shape == expected.shape and bool((got - expected).abs().max() <= _SAME * expected.abs().max())


def _kept(path: Path) -> bytes | None:
    """What was written, if it is whole."""
    try:
        content, said = path.read_bytes(), read_json(path.with_suffix(".json"))
    except (OSError, ValueError):
        return None
    whole = isinstance(said, dict) and said.get("sha256") == hashlib.sha256(content).hexdigest()
    return content if whole else None


def _keep(path: Path, content: bytes, root: Path, max_gb: float) -> None:
    """Puts it into the cache, or does without: it is only made again then."""
    try:
        if cache.make_room(root, len(content), max_gb):
            write_atomic(path, content)
            write_json(path.with_suffix(".json"), {"sha256": hashlib.sha256(content).hexdigest()})
    except VizslaError as error:
        log.info("the exported network is not kept: %s", error.message)
