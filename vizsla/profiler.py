"""The profiler for any PyTorch loop, without the rest of vizsla.

    with vizsla.profiler.watch(model) as prof:
        for images, labels in loader:
            loss = loss_fn(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            prof.step()

It tells by hooks how long loading, forward pass, backward pass and update take, profiles the operators of the first
steps, and has a process of its own sample the system beside. Nothing it does changes the training, and nothing that
fails in it ends the training.
"""

from __future__ import annotations

import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import nn
from torch.optim.optimizer import Optimizer

from vizsla import profilerconfig
from vizsla.errors import UserError, named
from vizsla.job import ProfileSettings
from vizsla.machine import PYTHON_M
from vizsla.observers import places
from vizsla.observers.rhythm import Rhythm
from vizsla.observers.window import ProfileFiles, Window
from vizsla.records import Writer
from vizsla.segments import Segments

log = logging.getLogger("vizsla.profiler")

STREAM = "profile"
RECORDS = "checkpoints/vizsla/records"  # of a job's folder
SEAL_S = 5.0  # for the last samples to be on disk


def watch(
    model: nn.Module,
    optimizer: Optimizer | None = None,
    out: str | os.PathLike[str] | None = None,
    settings: ProfileSettings | None = None,
) -> Watch:
    """Begins to watch a model that is about to be trained.

    model: as the loop calls it, compiled or not. Whether a pass is training or evaluation is its `training`.
    optimizer: needed only where others step as well; by default each that trains a parameter of the model.
    out: a folder for the records, made if it is not there; what was recorded there before is superseded. By default
        "profile", and under `vizsla run` the job's own, where its report finds them.
    settings: which steps are profiled whole, and how often the system is sampled. A torch.profiler of your own cannot
        run at the same time: num_steps=0 leaves ours out.

    Raises UserError for what is no model or no optimizer, and for a folder that cannot be.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"watch takes a torch.nn.Module, not {model!r}.", "Hand it the model that the loop calls.")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise UserError(
            f"{optimizer!r} is no torch.optim.Optimizer.", "Leave it out: optimizers are found by themselves."
        )
    place = _place(out)
    return Watch(model, optimizer, place, settings or _settings(place))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the records of a loop go. is_job: vizsla started the script, and samples the system itself."""

    records: Path
    files: ProfileFiles
    is_job: bool

    @property
    def attempt(self) -> int:
        return self.files.attempt


class Watch:
    """A training that is watched, from `watch`. Close it, or use it in a `with`, so that its hooks go away again."""

    def __init__(self, model: nn.Module, optimizer: Optimizer | None, place: Place, settings: ProfileSettings) -> None:
        self._rhythm: Rhythm | None = None
        self._system: _System | None = None
        if not settings.enabled or not places.is_first_worker():
            return
        stream = Writer(Segments(place.records / STREAM, place.attempt))
        if not place.is_job:
            self._system = _System(place, settings.interval_ms)
        self._rhythm = Rhythm(stream, Window(settings, place.files, stream.write), by_hand=True)
        self._rhythm.add(model, optimizer)

    def step(self) -> None:
        """A training step is done: call it last of all in the loop. In evaluation mode: one more batch is evaluated."""
        if self._rhythm:
            self._rhythm.step()

    @property
    def switched_off(self) -> str:
        """What the profiler failed with; "" while it works. The training goes on either way."""
        return named(self._rhythm.error) if self._rhythm and self._rhythm.error else ""

    def close(self) -> None:
        """The training is over: takes every hook away and seals the records. Once."""
        if self._rhythm:
            self._rhythm.close()
        if self._system:
            self._system.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _System:
    """A process beside this one that samples the system, so that it goes on while this one holds the GIL."""

    def __init__(self, place: Place, interval_ms: int) -> None:
        what = [str(place.records), str(place.attempt), str(os.getpid()), str(interval_ms)]
        search = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")]))
        self._child: subprocess.Popen[bytes] | None = None
        try:
            self._child = subprocess.Popen(
                [*PYTHON_M, "vizsla.observers.system", *what],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": search},
            )
        except OSError as error:
            log.warning("the system is not sampled: %s", named(error))

    def close(self) -> None:
        """Lets it write what it has, and ends it."""
        child, self._child = self._child, None
        if child is None:
            return
        try:
            # A word, and not the end of its input alone: loader workers that were forked hold that open as well.
            child.communicate(b"end\n", timeout=SEAL_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _place(out: str | os.PathLike[str] | None) -> Place:
    job = os.environ.get(places.JOB)
    if out is None and job:
        records, attempt = Path(job, RECORDS), int(os.environ.get(places.ATTEMPT, "1"))
        if list((records / STREAM).glob(f"{attempt:04d}-*")):
            raise UserError(
                "Where this job's time goes is recorded already, by a smdebug hook or another watch.",
                'Watch once, or name a folder for the second, such as out="profile".',
            )
        return Place(records, ProfileFiles(Path(job), attempt), is_job=True)
    folder = places.folder("profile" if out is None else out, "profile")
    records = folder / "records"
    if others := sorted({each.name for each in records.iterdir()} - {STREAM, "system"}):
        raise UserError(
            f"{folder} holds the records of another watch already ({others[0]}).",
            'Name a folder of its own, such as out="profile".',
        )
    return Place(records, ProfileFiles(folder, places.next_attempt(records), "traces"), is_job=False)


def _settings(place: Place) -> ProfileSettings:
    """The usual ones; under `vizsla run` the job's."""
    try:
        return (profilerconfig.found() if place.is_job else None) or ProfileSettings()
    except (OSError, ValueError) as error:
        raise UserError(f"The profiler's configuration cannot be read: {error}", "Hand watch its settings.") from error
