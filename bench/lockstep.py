"""What debugger and profiler cost: the same training, watched in several ways, a step of each in turn.

Whatever else the machine does falls on all of them. Steps are the loop's own (forward, backward, update, tell) on one
batch of noise: photos that had to be read would hide a part of what watching costs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.report import Section
from vizsla.machine import KEEP_MEMORY, waiting_asleep

STEPS = 500


@dataclass(frozen=True, slots=True)
class Way:
    """How a training is watched."""

    debug: Mapping[str, Any] | None = None
    """Settings of the debugger that are not the usual ones; None is without it."""
    profile: bool = False
    """Whether the clock runs and the phases are recorded."""


WAYS = {
    "neither": Way(),
    "debugger, defaults (aim 1.03)": Way(debug={}),
    "debugger, everything every 10 steps (aim 1.15)": Way(debug={"save_every": 10}),
    "profiler, phases (aim 1.02)": Way(profile=True),
    "debugger and profiler, defaults (aim 1.03)": Way(debug={}, profile=True),
}


@dataclass(frozen=True, slots=True)
class Model:
    """A network, and photos in a batch: so many that the measurement does not take an hour."""

    name: str
    weights: str
    batch: int


MODELS = (Model("efficientnet_lite0", "pretrained", 16), Model("resnet18", "none", 8))


def measure() -> Section:
    """A row a model and way: its time, and how many times that of the first way it is."""
    rows = []
    for model in MODELS:
        spent = _spent(model)
        usual = next(iter(spent.values()))
        name = f"{model.name}, batches of {model.batch}"
        rows += [(name, way, f"{seconds:.1f} s", f"{seconds / usual:.3f}") for way, seconds in spent.items()]
    text = (
        f"{STEPS} training steps at 224 px, train_from=last, 2 threads, in lockstep. Writing the records is part of "
        "it. What is looked at of weights and gradients costs the same whatever the batch, so it weighs most in small "
        "ones; the default is 64."
    )
    return Section("Watching", text, ("network", "watched by", "time", "ratio"), rows)


def _spent(model: Model) -> dict[str, float]:
    """Seconds each way, from a process of its own with the worker's environment."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.lockstep"],
        input=json.dumps(asdict(model)).encode(),
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, **KEEP_MEMORY, **waiting_asleep()},
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def lockstep(model: Model, place: Path) -> dict[str, float]:
    """Seconds that each way has taken in all its steps."""
    trainings = {name: Training(model, way, place / str(at)) for at, (name, way) in enumerate(WAYS.items())}
    spent = dict.fromkeys(trainings, 0.0)
    for step in range(STEPS):
        for name, training in trainings.items():
            began = time.perf_counter()
            training.step(step)
            spent[name] += time.perf_counter() - began
    return spent


class Training:
    """The loop's own steps on one batch, watched or not."""

    def __init__(self, model: Model, way: Way, place: Path) -> None:
        import torch

        from vizsla.job import Job
        from vizsla.plan import resolve
        from vizsla.training import optim
        from vizsla.training.clock import Clock
        from vizsla.training.events import Started
        from vizsla.vision import networks

        torch.manual_seed(0)
        asked = {"model": model.name, "weights": model.weights, "batch_size": str(model.batch), "epochs": "1"}
        plan = resolve(Job(name="bench", channels={}, hyperparameters=asked))
        self.net = networks.build(model.name, 10, plan.dropout, plan.weights, 224).to(memory_format=torch.channels_last)
        frozen = networks.freeze(self.net, plan.train_from)
        networks.set_train_mode(self.net, frozen, keep_statistics=optim.pretrained(plan))
        self.optim, self.schedule = optim.prepare(self.net, plan, STEPS)
        self.x_BCHW = torch.randn(model.batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)
        self.y_B = torch.arange(model.batch) % 10
        self.watchers = list(_watchers(way, place))
        self.net(self.x_BCHW)  # what libraries do once is done before anything is timed
        self._tell(Started(1, STEPS, model.batch, 0, 0, 0, self.net))
        self.clock: Any = Clock() if way.profile else _NoClock()

    def step(self, step: int) -> None:
        from torch.nn.functional import cross_entropy

        from vizsla.training.events import Step

        self.clock.end("load")
        logits_BC = self.net(self.x_BCHW)
        loss = cross_entropy(logits_BC, self.y_B)
        self.clock.end("forward")
        self.optim.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.clock.end("backward")
        self.optim.step()
        self.schedule.step()
        loss_value = float(loss.detach())
        self.clock.end("update")
        seen = len(self.y_B), self.y_B, logits_BC.detach(), self.clock.lap()
        self._tell(Step(1, step, step, step, loss_value, 0.01, *seen))
        self.clock.end("observe")

    def _tell(self, event: Any) -> None:
        for watcher in self.watchers:
            watcher(event)


class _NoClock:
    """For a loop that nobody times."""

    def end(self, _name: str) -> None:
        """Nothing."""

    def lap(self) -> tuple[()]:
        return ()


def _watchers(way: Way, place: Path) -> Any:
    """The observers that the worker would put together. The profile of the first steps is measured by itself."""
    from vizsla.job import DebugSettings, ProfileSettings
    from vizsla.observers.debugger import Debugger
    from vizsla.observers.profiler import Profiler
    from vizsla.observers.raw import RawFiles
    from vizsla.observers.window import ProfileFiles, Window
    from vizsla.records import Writer
    from vizsla.segments import Segments

    if way.debug is not None:
        yield Debugger(DebugSettings(**way.debug), Writer(Segments(place / "debugger")).write, RawFiles(place))
    if way.profile:
        write = Writer(Segments(place / "profile")).write
        yield Profiler(Window(ProfileSettings(num_steps=0), ProfileFiles(place, 1), write), write, {})


if __name__ == "__main__":
    import torch

    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(lockstep(Model(**json.load(sys.stdin)), Path(made))))
