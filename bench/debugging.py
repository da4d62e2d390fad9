"""What the debugger costs: the same training without it, with its defaults, and with everything every ten steps.

The trainings run in lockstep, a step of each in turn, so whatever else the machine does falls on all of them. Steps are
forward, backward and update on one batch of noise: photos that had to be read would hide a part of the cost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import Section
from vizsla.machine import waiting_asleep
from vizsla.program import KEEP_MEMORY

STEPS = 500
BATCH = 8
MODELS = {"efficientnet_lite0": "pretrained", "resnet18": "none"}
WAYS: dict[str, dict[str, Any] | None] = {
    "without": None,
    "defaults": {},
    "everything every 10 steps": {"save_every": 10},
}


def measure() -> Section:
    """One lockstep run a model, in a process of its own with the worker's environment."""
    rows = []
    for model, weights in MODELS.items():
        done = subprocess.run(
            [sys.executable, "-m", "bench.debugging", model, weights],
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, **KEEP_MEMORY, **waiting_asleep()},
            check=True,
            capture_output=True,
        )
        spent: dict[str, float] = json.loads(done.stdout)
        for way, seconds in spent.items():
            rows.append((model, way, f"{seconds:.1f} s", f"{seconds / spent['without']:.3f}"))
    text = (
        f"{STEPS} training steps of batch {BATCH} at 224 px, train_from=last, 2 threads, in lockstep. Aims: at most "
        "1.03 with the defaults, 1.15 with everything every ten steps. Writing the records is part of it."
    )
    return Section("Debugger", text, ("model", "debugger", "time", "ratio"), rows)


def lockstep(model: str, weights: str, place: Path) -> dict[str, float]:
    """Seconds that each way has taken in all its steps."""
    trainings = {
        name: Training(model, weights, settings, place / str(at)) for at, (name, settings) in enumerate(WAYS.items())
    }
    spent = dict.fromkeys(trainings, 0.0)
    for step in range(STEPS):
        for name, training in trainings.items():
            began = time.perf_counter()
            training.step(step)
            spent[name] += time.perf_counter() - began
    return spent


class Training:
    """The loop's own steps on one batch, watched or not."""

    def __init__(self, model: str, weights: str, settings: dict[str, Any] | None, place: Path) -> None:
        import torch

        from vizsla.job import DebugSettings, Job
        from vizsla.observers.debugger import Debugger
        from vizsla.observers.raw import RawFiles
        from vizsla.plan import resolve
        from vizsla.records import Writer
        from vizsla.segments import Segments
        from vizsla.training import optim
        from vizsla.training.events import Started
        from vizsla.vision import networks

        torch.manual_seed(0)
        asked = {"model": model, "weights": weights, "batch_size": str(BATCH), "epochs": "1"}
        plan = resolve(Job(name="bench", channels={}, hyperparameters=asked))
        self.net = networks.build(model, 10, plan.dropout, plan.weights, 224).to(memory_format=torch.channels_last)
        frozen = networks.freeze(self.net, plan.train_from)
        networks.set_train_mode(self.net, frozen, keep_statistics=optim.pretrained(plan))
        self.optim, self.schedule = optim.prepare(self.net, plan, STEPS)
        self.x_BCHW = torch.randn(BATCH, 3, 224, 224).contiguous(memory_format=torch.channels_last)
        self.y_B = torch.arange(BATCH) % 10
        self.see: Any = lambda _event: None
        if settings is not None:
            records = Writer(Segments(place / "records"))
            self.see = Debugger(DebugSettings(**settings), records.write, RawFiles(place))
        self.net(self.x_BCHW)  # what libraries do once is done before anything is timed
        self.see(Started(1, STEPS, BATCH, 0, 0, 0, self.net))

    def step(self, step: int) -> None:
        from torch.nn.functional import cross_entropy

        from vizsla.training.events import Step

        logits_BC = self.net(self.x_BCHW)
        loss = cross_entropy(logits_BC, self.y_B)
        self.optim.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optim.step()
        self.schedule.step()
        self.see(Step(1, step, step, step, float(loss.detach()), 0.01, BATCH, self.y_B, logits_BC.detach()))


if __name__ == "__main__":
    import torch

    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(lockstep(sys.argv[1], sys.argv[2], Path(made))))
