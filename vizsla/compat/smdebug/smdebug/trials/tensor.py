"""One tensor of a trial over its steps: raw values as numpy arrays, and reductions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open

from ..core.modes import ModeKeys
from ..core.reduction_config import ALLOWED_NORMS, ALLOWED_REDUCTIONS, reduced
from ..exceptions import StepNotYetAvailable, StepUnavailable, TensorUnavailableForStep
from .step import StepState

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from vizsla.records import Record

    from .trial import Trial

# A reduction that was not asked for can be had from the statistics that every record has, if all elements are finite.
_STATISTICS = {"min": "min", "max": "max", "mean": "mean", "variance": "variance", "l2": "l2", "abs_mean": "abs_mean"}
_NUMPY = {"bfloat16": "float32"}


class Tensor:
    """Steps count within their mode; with modes.GLOBAL, the default, over all modes."""

    def __init__(self, name: str, trial: Trial) -> None:
        self.name = name
        self.trial = trial

    def steps(self, mode: ModeKeys = ModeKeys.GLOBAL, show_incomplete_steps: bool = False) -> list[int]:
        """The steps this tensor was saved at, in order."""
        return sorted(self.trial.saved(self.name, mode))

    def prev_steps(self, step: int, n: int, mode: ModeKeys = ModeKeys.GLOBAL) -> list[int]:
        """The last n of its steps up to `step`."""
        return [each for each in self.steps(mode) if each <= step][-n:]

    def value(self, step_num: int, mode: ModeKeys = ModeKeys.GLOBAL, worker: str | None = None) -> npt.NDArray[Any]:
        """As it was (bfloat16 as float32).

        Raises StepNotYetAvailable, StepUnavailable or TensorUnavailableForStep.
        """
        record = self._record(step_num, mode)
        known = _fields(record)
        if isinstance(known.get("value"), float | int) and record.file is None:
            dtype = str(known.get("dtype", "float32"))
            shape = [int(size) for size in known.get("shape", [])]
            return np.full(shape, known["value"], dtype=_NUMPY.get(dtype, dtype))
        if record.file is None:
            raise TensorUnavailableForStep(
                f"{self.name} was reduced at step {step_num} of {mode.name}, not saved whole: ask reduction_value, or "
                "save it with ReductionConfig(save_raw_tensor=True)"
            )
        return _load(self.trial.base / record.file, self.name)

    def values(self, mode: ModeKeys = ModeKeys.GLOBAL, worker: str | None = None) -> dict[int, npt.NDArray[Any]]:
        """Its raw values by step; steps that have none are left out."""
        found = {}
        for step in self.steps(mode):
            try:
                found[step] = self.value(step, mode)
            except TensorUnavailableForStep:
                continue
        return found

    def shape(self, step_num: int, mode: ModeKeys = ModeKeys.GLOBAL, worker: str | None = None) -> tuple[int, ...]:
        """Raises as `value` does."""
        known = _fields(self._record(step_num, mode))
        if "shape" not in known:
            return self.value(step_num, mode).shape
        return tuple(int(size) for size in known["shape"])

    def reduction_value(
        self,
        step_num: int,
        reduction_name: str,
        mode: ModeKeys = ModeKeys.GLOBAL,
        worker: str | None = None,
        abs: bool = False,  # noqa: A002 - smdebug's own name
    ) -> float:
        """A reduction or a norm, as it was saved, else of the raw values, else from the record's statistics.

        Raises ValueError for an unknown name, TensorUnavailableForStep where none of them has it.
        """
        if reduction_name not in (*ALLOWED_REDUCTIONS, *ALLOWED_NORMS):
            known_names = ", ".join((*ALLOWED_REDUCTIONS, *ALLOWED_NORMS))
            raise ValueError(f"{reduction_name!r} is no reduction; there are {known_names}")
        name = f"abs_{reduction_name}" if abs else reduction_name
        record = self._record(step_num, mode)
        known = _fields(record)
        if f"reduction/{name}" in known:
            return float(known[f"reduction/{name}"])
        if record.file is not None or "value" in known:
            return float(reduced(torch.as_tensor(self.value(step_num, mode)), [name])[name])
        if _STATISTICS.get(name, "") in known and known.get("nan") == known.get("inf") == 0:
            return float(known[_STATISTICS[name]])
        raise TensorUnavailableForStep(f"{name} of {self.name} was not saved at step {step_num} of {mode.name}")

    def reduction_values(
        self, step_num: int, mode: ModeKeys = ModeKeys.GLOBAL, worker: str | None = None
    ) -> dict[str, float]:
        """All reductions that were saved at a step, by name: `mean`, `abs_mean`. Raises as `value` does."""
        known = _fields(self._record(step_num, mode))
        return {key.removeprefix("reduction/"): value for key, value in known.items() if key.startswith("reduction/")}

    def statistics(self, step_num: int, mode: ModeKeys = ModeKeys.GLOBAL) -> dict[str, Any]:
        """All of the record: vizsla keeps statistics of every tensor, see docs/smdebug.md. Raises as `value`."""
        return dict(_fields(self._record(step_num, mode)))

    def _record(self, step: int, mode: ModeKeys) -> Record:
        record = self.trial.saved(self.name, mode).get(step)
        if record is not None:
            return record
        state = self.trial.has_passed_step(step, mode)
        where = f"step {step} of {mode.name}"
        if state is StepState.AVAILABLE:
            raise TensorUnavailableForStep(f"{self.name} was not saved at {where}; it was at {self.steps(mode)[:20]}")
        if state is StepState.NOT_YET_AVAILABLE:
            raise StepNotYetAvailable(f"training has not come to {where}")
        raise StepUnavailable(f"nothing was saved at {where}")

    def __repr__(self) -> str:
        return f"Tensor({self.name!r})"


def _fields(record: Record) -> Mapping[str, Any]:
    return record.value if isinstance(record.value, Mapping) else {"value": record.value}


def _load(file: Path, name: str) -> npt.NDArray[Any]:
    try:
        with safe_open(file, framework="np") as tensors:
            found: npt.NDArray[Any] = tensors.get_tensor(name)
            return found
    except OSError as error:
        raise TensorUnavailableForStep(f"{file} cannot be read: {error}") from error
