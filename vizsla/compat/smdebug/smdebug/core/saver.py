"""Counts steps, decides for each tensor whether and how it is saved, and writes a step when the next one begins.

Statistics are reduced where the tensor lies and brought over once a step; only tensors whose raw values are kept are
copied.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from vizsla.observers.tensors import Gathering, change
from vizsla.records import Record

from . import numbers
from .collection import Collection, CollectionKeys, Collections, Named
from .modes import ModeKeys
from .reduction_config import reduced
from .store import Store

NARROW = (torch.bfloat16, *(getattr(torch, name) for name in dir(torch) if name.startswith("float8_")))


@dataclass(frozen=True)
class Moment:
    """When a tensor was seen. step: within its mode."""

    mode: ModeKeys
    step: int
    global_step: int


@dataclass(frozen=True)
class _Key:
    at: Moment
    name: str
    part: int = 0


class Saver:
    """The current step of a training, and what is to be kept of it."""

    def __init__(self, collections: Collections, store: Store) -> None:
        self.collections = collections
        self.store = store
        self.mode = ModeKeys.GLOBAL
        self.global_step = -1  # as smdebug's: the first forward makes it 0
        self.mode_steps = dict.fromkeys(ModeKeys, -1)
        self._gathering: Gathering[_Key] = Gathering()
        self._raw: dict[Moment, dict[str, torch.Tensor]] = {}
        self._times: Counter[str] = Counter()
        self._before: dict[tuple[ModeKeys, str], tuple[int, torch.Tensor]] = {}
        self._due: tuple[Moment, list[Collection]] | None = None

    @property
    def now(self) -> Moment:
        """What is saved before the first forward belongs to the first step."""
        return Moment(self.mode, max(self.mode_steps[self.mode], 0), max(self.global_step, 0))

    @property
    def due(self) -> list[Collection]:
        """The collections that are saved in the current step."""
        if self._due is None or self._due[0] != self.now:
            self._due = self.now, self.collections.due(self.mode, self.now.step)
        return self._due[1]

    def begin_step(self) -> None:
        """A model's forward begins: the step before it is over. Raises what `flush` does, when the step has begun."""
        first = self.global_step < 0
        self.global_step += 1
        self.mode_steps[self.mode] += 1
        self._times.clear()
        self._due = None  # collections may have been changed
        if not first:
            self.flush()

    def next_name(self, path: str, role: str) -> str:
        """`<path>_<role>_<i>`: i counts what passes within one step, also where a module is used more than once."""
        stem = f"{path}_{role}"
        self._times[stem] += 1
        return f"{stem}_{self._times[stem] - 1}"

    def see(self, named: Named) -> None:
        """Keeps what the collections of the current step want of a tensor."""
        wanted = [each for each in self.due if each.has(named)]
        if wanted:
            self._keep(named, wanted)

    def own(self, name: str, tensor: torch.Tensor, collections: list[str]) -> None:
        """A tensor that the script saves by hand: at the steps of the collections it names, included or not."""
        named = Named(name, tensor, "own")
        into = [self.collections.get(each) for each in collections]
        for collection in into:
            collection.add(name)
        at = self.now
        wanted = [each for each in into if self.collections.saves(each, at.mode, at.step)]
        wanted += [each for each in self.due if each not in wanted and each.has(named)]
        if wanted:
            self._keep(named, wanted)

    def scalar(self, name: str, value: float, sm_metric: bool) -> None:
        """A number, saved at every step."""
        collection = CollectionKeys.SM_METRICS if sm_metric else CollectionKeys.METRICS
        self.collections.get(collection).add(f"scalar/{name}")
        known: dict[str, Any] = {
            "collection": collection,
            "type": "",
            "saved_by": collection,
            "dtype": "float64",
            "value": value,
        }
        self._gathering.add(_Key(self.now, f"scalar/{name}"), {}, known)
        if sm_metric:
            self.store.write(Record(time.time(), "metric", name, value=value, **_fields(self.now)))

    def flush(self) -> None:
        """Writes what was kept. Raises VizslaError and OSError; what could not be written is dropped."""
        raw, self._raw = self._raw, {}
        found = {key: value for key, value in self._gathering.take()}  # noqa: C416 - the last of a name counts
        files = {at: self.store.save(at.mode, at.step, tensors) for at, tensors in raw.items()}
        for key, value in found.items():
            file = files.get(key.at) if key.name in raw.get(key.at, {}) else None
            self.store.write(Record(time.time(), "tensor", key.name, value=value, file=file, **_fields(key.at)))

    def _keep(self, named: Named, wanted: list[Collection]) -> None:
        at, tensor = self.now, named.tensor.detach()
        how = [self.collections.reduction(each) for each in wanted]
        known = numbers.facts(named, [each.name for each in wanted])
        names = dict.fromkeys(name for each in how for name in each.names)
        more = {f"reduction/{name}": value for name, value in reduced(tensor, names).items()}
        if named.role == "parameter":
            more |= self._moved(named.name, tensor, known)
        collection = str(known["collection"])
        for part, each in enumerate(numbers.of(named, collection)):
            self._gathering.add(_Key(at, named.name, part), {**each, **more}, known)
        if any(each.keeps_raw for each in how) and not numbers.is_scalar(named, collection):
            self._raw.setdefault(at, {})[named.name] = _copy(tensor)

    def _moved(self, name: str, tensor: torch.Tensor, known: dict[str, Any]) -> dict[str, torch.Tensor]:
        """How a parameter changed since the step of this mode that was saved last; notes that step in `known`."""
        before = self._before.get((self.mode, name))
        self._before[self.mode, name] = self.now.step, tensor.clone()
        if before is None or before[1].shape != tensor.shape:
            return {}
        known["previous_step"] = before[0]
        return change(before[1].to(tensor.device), tensor)


def _fields(at: Moment) -> dict[str, Any]:
    return {"mode": at.mode.word, "step": at.step, "global_step": at.global_step}


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """On the CPU and by itself. numpy has no bfloat16: float32 holds all of its values."""
    dense = tensor.to_dense() if tensor.layout != torch.strided else tensor
    dtype = torch.float32 if tensor.dtype in NARROW else tensor.dtype
    return dense.to("cpu", dtype, copy=True).contiguous()
