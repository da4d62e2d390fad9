"""Kills sweeps at random moments with SIGKILL, goes on with them, and counts: nothing may be lost or counted twice.

`storm` is also run by tests/tuning/test_kills.py, with fewer kills.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report import Section
from vizsla import jobdir
from vizsla.api import tuning
from vizsla.api.requests import Request, Script
from vizsla.jobdir import JobDir
from vizsla.tuning.space import parse_range
from vizsla.workspace import Workspace

KILLS = 200
JOBS = 6
STEPS = 3
SCRIPT = f"""
import argparse, time
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=float)
width = parser.parse_args().width
for step in range({STEPS}):
    time.sleep(0.05)
    print(f"average test loss: {{(width - 0.3) ** 2 + 0.1 / (step + 1):.6f}};")
"""
VICTIMS = ("controller", "trial", "both")
MOST_RESUMES = 3  # once nobody kills any more, one is enough
MOST_IN_A_ROW = 2  # of one trial under one controller: a third kill would, rightly, make it a failed one


@dataclass
class Storm:
    """What was done to sweeps, and what is wrong with them now, in words."""

    killed: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.killed.total()


def storm(place: Path, kills: int, seed: int) -> Storm:
    """Sweeps in a row, one and two trials at a time in turn, until so many kills have been dealt out."""
    done, chance = Storm(), random.Random(seed)
    calm = _points(_finish(_submit(place, "calm", 1)))
    while done.kills < kills:
        done.sweeps += 1
        parallel = 1 + done.sweeps % 2
        folder = _submit(place, f"storm-{done.sweeps}", parallel)
        _strike(folder, done, kills, chance)
        document = _finish(folder)
        done.wrong += faults(document)
        if parallel == 1 and _points(document) != calm:
            done.wrong.append(f"{folder.name} tried other points than an undisturbed sweep")
    return done


def faults(document: dict[str, Any]) -> list[str]:
    """What is wrong with a completed sweep over SCRIPT."""
    trials, name = document["trials"], document["name"]
    wrong = [] if document["status"] == "Completed" else [f"{name} is {document['status']}: {document['reason']}"]
    if [trial["name"] for trial in trials] != [f"{name}-{number:03d}" for number in range(1, JOBS + 1)]:
        wrong.append(f"{name} has the trials {[trial['name'] for trial in trials]}")
    for trial in trials:
        value = (float(trial["hyperparameters"]["width"]) - 0.3) ** 2 + 0.1 / STEPS
        counted = trial["objective"] is not None and abs(trial["objective"] - value) < 1e-5
        if (trial["status"], trial["epochs"], counted) != ("Completed", STEPS, True):
            wrong.append(f"{trial} should be Completed after {STEPS} with {value}")
    return wrong


def _strike(folder: JobDir, done: Storm, kills: int, chance: random.Random) -> None:
    """Kills parts of a sweep and goes on with it, until it is completed or enough kills have been dealt out."""
    hit: Counter[tuple[int, str]] = Counter()
    while done.kills < kills:
        attempt = jobdir.advance(folder)
        if attempt is None or attempt.state == "Completed":
            return
        if attempt.finished:
            attempt = _resume(folder)
        time.sleep(chance.uniform(0, 1.2))
        running = [trial for trial in tuning.look(folder) if trial.running and trial.attempt]
        spared = [trial for trial in running if hit[attempt.number, trial.folder.name] < MOST_IN_A_ROW]
        victim = chance.choice(VICTIMS)
        struck = []
        if victim != "trial" and _kill(attempt):
            struck.append("controller")
        if victim != "controller" and spared:
            trial = chance.choice(spared)
            if _kill(trial.attempt):
                hit[attempt.number, trial.folder.name] += 1
                struck.append("trial")
        if struck:
            done.killed[" and ".join(struck)] += 1


def _kill(attempt: jobdir.Attempt | None) -> bool:
    """SIGKILL to a whole process group. Returns whether there was anybody to kill."""
    if attempt is None or not attempt.process.alive():
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(attempt.process.pid, signal.SIGKILL)
        return True
    return False


def _finish(folder: JobDir) -> dict[str, Any]:
    """Goes on with a sweep until it is completed, or fails again and again, and hands back its document."""
    for _ in range(MOST_RESUMES):
        while (attempt := jobdir.advance(folder)) and not attempt.finished:
            time.sleep(0.05)
        if attempt and attempt.state == "Completed":
            break
        _resume(folder)
    return tuning.document(folder)


def _resume(folder: JobDir) -> jobdir.Attempt:
    tuning.resume(folder.name, Workspace(folder.path.parent.parent))
    return folder.attempts()[-1]


def _submit(place: Path, name: str, parallel: int) -> JobDir:
    source = place / "source"
    source.mkdir(exist_ok=True)
    (source / "trial.py").write_text(SCRIPT)
    script = Script("trial.py", source, {}, {"average test loss": "average test loss: ([0-9.]+);"})
    search = tuning.Search(ranges=[parse_range("width=0.0..1.0")], jobs=JOBS, parallel=parallel)
    return tuning.submit(Request({}, {}, name, script), search, Workspace(place / "runs"))


def _points(document: dict[str, Any]) -> list[dict[str, str]]:
    return [trial["hyperparameters"] for trial in document["trials"]]


def measure() -> Section:
    """200 kills with a seed of today."""
    seed = random.SystemRandom().randrange(2**32)
    with tempfile.TemporaryDirectory() as place:
        done = storm(Path(place), KILLS, seed)
    rows = [(what, str(count)) for what, count in sorted(done.killed.items())]
    rows += [("sweeps", str(done.sweeps)), ("wrong afterwards", "; ".join(done.wrong) or "nothing")]
    text = (
        f"{KILLS} times SIGKILL at a random moment (seed {seed}) to a controller, to a trial or to both, "
        f"then `tune --resume`; sweeps of {JOBS} trials of a script, one and two at a time in turn. Afterwards each "
        "has its trials, each finished and counted once; one at a time, they are those of an undisturbed sweep."
    )
    return Section("Kills", text, ("killed", "times"), rows)
