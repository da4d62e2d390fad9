"""What the engine itself costs: 10,000 jobs in one list, and a job that does nothing."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.report import Section, spread
from vizsla import jobdir
from vizsla.job import Job
from vizsla.jobdir import Outcome
from vizsla.process import Process

JOBS = 10_000
RUNS = 5


def measure() -> Section:
    """The list, its index missing (cold) and made (warm); an empty job beside Python alone, in turn."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        rows = [*_listing(place / "many"), *_empty_job(place)]
    text = (
        f"{JOBS:,} made folders of finished jobs; the aim is 0.5 s for `vizsla ps` once its index is there. "
        "An empty job (a script that says `pass`) beside Python that says the same: the aim is 0.5 s between the two. "
        "Whole processes."
    )
    return Section("Engine", text, ("what", "median (min to max)"), rows)


def _listing(workspace: Path) -> list[tuple[str, str]]:
    _make_jobs(workspace)
    cold = _seconds("-m", "vizsla", "ps", "--json", "--workspace", str(workspace))
    warm = [_seconds("-m", "vizsla", "ps", "--json", "--workspace", str(workspace)) for _ in range(RUNS)]
    return [
        (f"`vizsla ps`, {JOBS:,} jobs, no index yet", spread([cold])),
        (f"`vizsla ps`, {JOBS:,} jobs", spread(warm)),
    ]


def _make_jobs(workspace: Path) -> None:
    """One job of real files, copied."""
    first = workspace / "training" / "job-00000"
    first.mkdir(parents=True)
    job = jobdir.create(first, Job(name=first.name, entry_point="train.py", channels={}), None)
    job.begin(1, replace(Process.of(os.getpid()), boot="an earlier one"))
    job.report_outcome(1, Outcome("Completed"))
    jobdir.advance(job)
    for number in range(1, JOBS):
        shutil.copytree(first, first.with_name(f"job-{number:05}"))


def _empty_job(place: Path) -> list[tuple[str, str]]:
    script = place / "source" / "empty.py"  # in a folder of its own: a job copies the folder of its script
    script.parent.mkdir()
    script.write_text("pass\n")
    job = ("-m", "vizsla", "run", str(script), "--json", "--workspace", str(place / "runs"))
    alone, jobs = [], []
    for _ in range(RUNS):
        alone.append(_seconds("-c", "pass"))
        jobs.append(_seconds(*job))
    beyond = statistics.median(jobs) - statistics.median(alone)
    return [
        ("`python -c pass`", spread(alone)),
        ("`vizsla run` of a script that says `pass`", spread(jobs)),
        ("the difference", f"{beyond:.2f} s"),
    ]


def _seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - began
