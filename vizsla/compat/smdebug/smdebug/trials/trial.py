"""A training's saved tensors, while it runs or afterwards, from the records of a job or of a hook's `out_dir`."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vizsla import records
from vizsla.jobdir import JobDir
from vizsla.records import Record

from ..core.collection import Collection
from ..core.missing import absent
from ..core.modes import ModeKeys
from ..core.place import for_reading
from ..exceptions import NoMoreData, StepUnavailable, TensorUnavailable
from .step import StepState
from .tensor import Tensor

POLL_S = 0.5


class Trial:
    """The last attempt at a training. Every question reads what has come since the last one."""

    def __init__(self, path: str | Path, name: str | None = None, range_steps: Sequence[int] | None = None) -> None:
        """range_steps: only global steps from the first number on, and below the second, are seen.

        Raises FileNotFoundError where no hook has saved anything.
        """
        self._place = for_reading(path)
        self.base = self._place.base
        self.path = str(path)
        self.name = name or self.base.name
        self._range = range_steps
        self._ended = False
        self._size = -1
        self._found: dict[str, list[Record]] = {}
        if not (self._place.private / "records").is_dir():
            raise FileNotFoundError(f"{self.base} holds nothing a hook saved. Give create_trial the hook's out_dir.")
        self.refresh()

    # ---- names

    def tensor_names(
        self,
        *,
        regex: str | Iterable[str] | None = None,
        collection: str | Collection | None = None,
        step: int | None = None,
        mode: ModeKeys = ModeKeys.GLOBAL,
    ) -> list[str]:
        """All names, or those that a regex finds, that are in a collection, that were saved at a step of `mode`."""
        self.refresh()
        regexes = [regex] if isinstance(regex, str) else list(regex or [])
        wanted = collection.name if isinstance(collection, Collection) else collection
        return sorted(
            name
            for name, found in self._found.items()
            if (not regexes or any(re.search(each, name) for each in regexes))
            and (wanted is None or any(wanted in _collections(record) for record in found))
            and _in_steps(found, step, mode)
        )

    def tensor(self, name: str) -> Tensor:
        """Raises TensorUnavailable."""
        if not self.has_tensor(name):
            raise TensorUnavailable(
                f"{name!r} was not saved. There are {', '.join(sorted(self._found)[:20]) or 'none'}"
            )
        return Tensor(name, self)

    def tensors(self) -> dict[str, Tensor]:
        return {name: Tensor(name, self) for name in self.tensor_names()}

    def has_tensor(self, name: str) -> bool:
        self.refresh()
        return name in self._found

    def collections(self) -> dict[str, Collection]:
        """The collections that something was saved of, with the names of their tensors."""
        self.refresh()
        names: dict[str, set[str]] = defaultdict(set)
        for name, found in self._found.items():
            for record in found:
                for collection in _collections(record):
                    names[collection].add(name)
        return {name: Collection(name, tensor_names=names[name]) for name in sorted(names)}

    def collection(self, name: str) -> Collection | None:
        return self.collections().get(name)

    # ---- steps

    def steps(self, mode: ModeKeys = ModeKeys.GLOBAL, show_incomplete_steps: bool = False) -> list[int]:
        """The steps at which something was saved: of `mode`, counted in it; of GLOBAL, all, counted together."""
        self.refresh()
        return sorted({step for found in self._found.values() for step in _by_step(found, mode)})

    def modes(self) -> list[ModeKeys]:
        """The modes in which something was saved."""
        self.refresh()
        words = {record.mode for found in self._found.values() for record in found}
        return [mode for mode in ModeKeys if mode.word in words]

    def mode(self, global_step: int) -> ModeKeys | None:
        """The mode of a global step."""
        return next((ModeKeys[str(r.mode).upper()] for r in self._all() if r.global_step == global_step), None)

    def mode_step(self, global_step: int) -> int | None:
        """What a global step is within its mode."""
        return next((record.step for record in self._all() if record.global_step == global_step), None)

    def global_step(self, mode: ModeKeys, mode_step: int) -> int | None:
        """What a step of `mode` is over all modes."""
        of_mode = (record for record in self._all() if record.mode == mode.word and record.step == mode_step)
        return mode_step if mode is ModeKeys.GLOBAL else next((record.global_step for record in of_mode), None)

    @property
    def loaded_all_steps(self) -> bool:
        """Whether training has ended, so that nothing more comes."""
        self.refresh()
        return self._ended

    def has_passed_step(self, step: int, mode: ModeKeys = ModeKeys.GLOBAL) -> StepState:
        """Whether a step was saved, was left out, or lies ahead. After the end nothing lies ahead."""
        steps = self.steps(mode)
        if step in steps:
            return StepState.AVAILABLE
        ahead = not steps or step > steps[-1]
        return StepState.NOT_YET_AVAILABLE if ahead and not self.loaded_all_steps else StepState.UNAVAILABLE

    def wait_for_steps(self, required_steps: Iterable[int], mode: ModeKeys = ModeKeys.GLOBAL) -> None:
        """Returns once all of them are saved.

        Raises StepUnavailable for one that was passed unsaved, NoMoreData for one that training ended before.
        """
        for step in required_steps:
            while (state := self.has_passed_step(step, mode)) is StepState.NOT_YET_AVAILABLE:
                time.sleep(POLL_S)
            if state is StepState.UNAVAILABLE:
                if not self.steps(mode) or step > self.steps(mode)[-1]:
                    raise NoMoreData(f"training ended before step {step} of {mode.name}")
                raise StepUnavailable(f"nothing was saved at step {step} of {mode.name}")

    def workers(self) -> list[str]:
        """Only the first of several is saved."""
        return ["worker_0"]

    # ---- the records

    def saved(self, name: str, mode: ModeKeys) -> dict[int, Record]:
        """The records of one tensor by step."""
        self.refresh()
        return _by_step(self._found.get(name, []), mode)

    def refresh(self) -> None:
        """Reads again, if anything was written since."""
        if self._ended:
            return
        folder = self._place.private / "records"
        size = sum(file.stat().st_size for file in folder.glob("*/*") if file.exists())
        if size == self._size:
            self._ended = _job_has_ended(self.base)
            return
        self._size = size
        read = records.read(folder)
        found: dict[str, list[Record]] = defaultdict(list)
        for record in read:
            if record.kind == "tensor" and self._is_seen(record):
                found[record.name].append(record)
        self._found = dict(found)
        self._ended = _has_ended(read) or _job_has_ended(self.base)

    def _is_seen(self, record: Record) -> bool:
        if self._range is None or record.global_step is None:
            return True
        low, high = (*self._range, None, None)[:2]
        return (low is None or record.global_step >= low) and (high is None or record.global_step < high)

    def _all(self) -> Iterable[Record]:
        self.refresh()
        return (record for found in self._found.values() for record in found)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(absent("Trial", name, [each for each in dir(Trial) if each[0] != "_"]))


def create_trial(
    path: str | Path,
    name: str | None = None,
    profiler: bool = False,
    output_dir: str | None = None,
    range_steps: Sequence[int] | None = None,
) -> Trial:
    """path: a hook's out_dir, a job's folder, or its checkpoints/vizsla. profiler and output_dir mean nothing here.

    Raises FileNotFoundError, ValueError for an address in S3.
    """
    if str(path).startswith("s3://"):
        raise ValueError(f"{path} is in S3: copy it to a folder first, and give create_trial that")
    return Trial(path, name, range_steps)


def _by_step(found: Iterable[Record], mode: ModeKeys) -> dict[int, Record]:
    """Of several records for one step the last one counts."""
    if mode is ModeKeys.GLOBAL:
        steps = {record.global_step if record.global_step is not None else record.step: record for record in found}
    else:
        steps = {record.step: record for record in found if record.mode == mode.word}
    return {step: record for step, record in steps.items() if step is not None}


def _in_steps(found: Iterable[Record], step: int | None, mode: ModeKeys) -> bool:
    steps = _by_step(found, mode)
    return step in steps if step is not None else bool(steps)


def _collections(record: Record) -> list[str]:
    if not isinstance(record.value, Mapping):
        return []
    return str(record.value.get("saved_by") or record.value.get("collection", "")).split(",")


def _has_ended(read: Iterable[Record]) -> bool:
    marks = [record.name for record in read if record.kind == "attempt" and record.name in ("start", "end")]
    return marks[-1:] == ["end"]


def _job_has_ended(base: Path) -> bool:
    if not (base / "attempts").is_dir():
        return False
    job = JobDir(base)
    attempts = job.attempts()
    return bool(attempts) and (attempts[-1].finished or job.outcome(attempts[-1].number) is not None)
