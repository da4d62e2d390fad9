"""What the profiler costs beside the phases (those are in `lockstep`), and whether what it advises is right.

The samples are measured by the time their process takes of a core, the profile of the first ten steps by what a job
says of it. Then a job that is badly set is profiled, and run again as advised.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.home import cold, shown
from bench.photos import DOGS
from bench.report import Section, spread
from vizsla import records

SAMPLED_S = 60.0
BADLY_SET = {"run.loader_workers": "0", "batch_size": "8", "run.threads": "8"}
ROUNDS = 3


def cost() -> Section:
    """A minute of samples, and the window of one job."""
    rows = [
        ("samples every 500 ms", f"{100 * _of_a_core():.2f} % of one core"),
        ("profile of the first 10 steps, once", f"{_window_s():.1f} s"),
    ]
    text = (
        "Beside the phases, which are under Watching: what the process of the samples takes while the one it watches "
        "is busy, and what starting, stopping and writing the operator profile takes in a training of the dog photos. "
        "Aims: less than 1 % of one core, at most 5 s."
    )
    return Section("Profiler", text, ("what", "cost"), rows)


def advice() -> Section:
    """The badly set job and the one with the printed settings, in turn."""
    with cold() as home:
        found = home.run("profile", DOGS, settings=BADLY_SET).document
    better = {**BADLY_SET, **found["settings"]}
    taken: dict[str, list[float]] = {"as it was": [], "as advised": []}
    for _ in range(ROUNDS):
        for name, settings in (("as it was", BADLY_SET), ("as advised", better)):
            taken[name].append(_train_s(settings))
    ratio = statistics.median(taken["as advised"]) / statistics.median(taken["as it was"])
    rows = [(name, spread(seconds)) for name, seconds in taken.items()]
    rows.append(("as advised / as it was", f"{ratio:.2f} times"))
    text = (
        f"`vizsla profile` of the dog photos with `{shown(BADLY_SET)}` on 2 cores says: “{found['message']}” and "
        f"advises `{shown(found['settings'])}`. Then `vizsla train` for one epoch both ways, {ROUNDS} rounds in turn: "
        "the whole job. The aim is at most 0.8 times."
    )
    return Section("The profiler's advice", text, ("settings", "median (min to max)"), rows)


def _of_a_core() -> float:
    """The share of one core that samples every 500 ms take, of a process tree that is busy."""
    with tempfile.TemporaryDirectory() as place:
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        watching = [sys.executable, "-m", "vizsla.observers.system", place, "1", str(busy.pid), "500"]
        sampler = subprocess.Popen(watching, stdin=subprocess.PIPE)
        try:
            time.sleep(5)  # what it takes to begin with is no sample's
            before = _cpu_s(sampler.pid)
            time.sleep(SAMPLED_S)
            return (_cpu_s(sampler.pid) - before) / SAMPLED_S
        finally:
            busy.kill()
            busy.wait()
            sampler.communicate()


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _window_s() -> float:
    """What the profile of the first steps took besides the steps, as a short training of the dog photos recorded it."""
    with cold() as home:
        made = home.run("train", DOGS, settings={"epochs": "1", "data.fraction": "0.5"}).document
        found = records.read(Path(made["folder"]) / "checkpoints" / "vizsla" / "records", ["profile"])
    return next(float(each.value["overhead_s"]) for each in found if each.name == "profile")  # type: ignore[index,arg-type]


def _train_s(settings: dict[str, str]) -> float:
    with cold() as home:
        return home.run("train", DOGS, settings={**settings, "epochs": "1", "profile.enabled": "false"}).seconds
