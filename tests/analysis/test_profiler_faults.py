"""The profiler's rules on real runs: one with the fault that a rule is for, and beside it one without.

Faults are far larger than what a busy machine does to a run. A run without one may be slowed down by other programs
all the same: that may be said of it then, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch import nn

from tests.conftest import run_vizsla
from tests.photos import write_folder
from vizsla import profiler, records
from vizsla.analysis import facts, rules
from vizsla.analysis.rules import Evaluation
from vizsla.job import ProfileSettings
from vizsla.jobdir import JobDir
from vizsla.machine import cpus
from vizsla.records import Record

OFTEN = ProfileSettings(interval_ms=100, num_steps=0)
CROWDED = 0.2  # of the cores that others use: a run beside them is not healthy
CROWD = 0.3  # of the cores that others use: more than a rule may overlook. As many neighbours as cores take half

# Starts so many programs and leaves them alone: nobody's children, or they would be a part of the training. Should no
# one end them, they end by themselves.
LEAVES = """
import subprocess, sys
for _ in range(int(sys.argv[1])):
    print(subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdout=subprocess.DEVNULL).pid)
"""
BUSY = "import signal\nsignal.alarm(180)\nwhile True: pass"


def of_script(rule: str, found: Sequence[Record]) -> Evaluation:
    return rules.evaluate(rules.parse(rule), found, True)


def of_job(rule: str, folder: JobDir) -> Evaluation:
    (found,) = facts.read(folder, [rules.parse(rule)]).rules
    return found


def let_be(evaluation: Evaluation, found: Sequence[Record]) -> None:
    """Nothing was found, but that other programs took the cores where they did."""
    told = [each for each in evaluation.findings if not (is_crowded(found) and "Other programs" in each.message)]
    assert evaluation.status in ("NoIssuesFound", "IssuesFound"), evaluation.reason
    assert told == []


def is_crowded(found: Sequence[Record]) -> bool:
    return _others(found) > CROWDED


def _others(found: Sequence[Record]) -> float:
    """The share of the cores that programs other than the job used, over all samples."""
    values: list[Any] = [each.value for each in found if each.kind == "system" and each.name == "sample"]
    told = [value for value in values if {"cpu", "cores", "job_cpu"} <= value.keys()]
    used = [float(value["cpu"] - value["job_cpu"] / len(value["cores"])) / 100 for value in told]
    return sum(used) / len(used)


# ---- loops of their own, under vizsla.profiler.watch


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


def loop(place: Path, loader: Iterable[object], width: int) -> list[Record]:
    """The records of a loop over a layer of so many features; it waits for `loader` before each step."""
    model = nn.Linear(width, width)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with profiler.watch(model, out=place, settings=OFTEN) as watch:
        for _ in loader:
            loss = model(torch.ones(64, width)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step()
    assert not watch.switched_off
    return records.read(place / "records")


def sleeping(seconds: Iterable[float]) -> Iterator[None]:
    """A loader that does nothing for so long before each batch."""
    for each in seconds:
        time.sleep(each)
        yield


def until_sampled(place: Path, samples: int = 40, limit_s: float = 60.0) -> Iterator[None]:
    """A loader that is always ready, until a loop at `place` was sampled so often: crowded, that takes longer."""
    until, looks = time.monotonic() + limit_s, 0.0
    while (now := time.monotonic()) < until:
        if now >= looks:
            looks = now + 0.3
            if sum(each.name == "sample" for each in records.read(place / "records", ["system"])) >= samples:
                return
        yield


def test_a_sleeping_data_loader(tmp_path: Path) -> None:
    found = of_script("dataloader", loop(tmp_path, sleeping([0.03] * 60), 256))
    assert found.status == "IssuesFound"
    assert found.findings[0].measured["load_percent"] > 50
    assert "num_workers" in found.findings[0].cure


def test_a_loader_that_has_everything_ready(tmp_path: Path) -> None:
    found = of_script("dataloader", loop(tmp_path, [None] * 60, 512))
    assert (found.status, found.findings) == ("NoIssuesFound", ())


def test_one_slow_step_in_fifty(tmp_path: Path) -> None:
    found = loop(tmp_path, sleeping(([0.003] * 49 + [0.15]) * 13), 64)
    outliers = of_script("step_outlier", found)
    assert outliers.status == "IssuesFound", outliers.reason
    assert (outliers.findings[0].step or 0) % 50 == 49
    assert "mostly in load" in outliers.findings[0].message


def test_steps_that_are_alike(tmp_path: Path) -> None:
    found = loop(tmp_path, sleeping([0.01] * 300), 64)
    slow, lost = slow_steps(found)
    if is_crowded(found) and slow > 10 and lost >= 0.02:
        pytest.skip(f"beside programs on {_others(found):.0%} of the cores {slow} steps took {lost:.1%} of the time")
    let_be(of_script("step_outlier", found), found)


def slow_steps(found: Sequence[Record]) -> tuple[int, float]:
    """How many steps were three standard deviations above the mean, and the share of the time that they took beyond
    the median. The first step warms up."""
    took: defaultdict[int, float] = defaultdict(float)
    for each in found:
        if each.kind == "phase" and each.step is not None and isinstance(each.value, float):
            took[each.step] += each.value
    steps = np.array([took[step] for step in sorted(took)[1:]])
    slow = steps[steps > steps.mean() + 3 * steps.std()]
    return len(slow), float((slow - np.median(steps)).sum() / steps.sum())


@contextmanager
def neighbours(number: int) -> Iterator[Callable[[], float]]:
    """So many programs that do nothing but keep a core busy. Gives what tells the share of the cores that went to
    programs other than this one since, as the system counts it and neither the sampler nor a rule."""
    started = subprocess.run([sys.executable, "-c", LEAVES, str(number), BUSY], stdout=subprocess.PIPE, check=True)
    busy = [psutil.Process(int(pid)) for pid in started.stdout.split()]
    try:
        assert not set(busy) & set(psutil.Process().children(recursive=True)), "they are a part of the training"
        before = _counted_s()
        yield lambda: float(np.divide(*(_counted_s() - before)))
    finally:
        for each in busy:
            each.kill()


def _counted_s() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seconds that other programs computed on any core, and seconds that all cores had."""
    machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
    used = machine.user + machine.nice + machine.system
    return np.array([used - own.user - own.system, used + machine.idle + getattr(machine, "iowait", 0.0)])


def test_busy_neighbours(tmp_path: Path) -> None:
    with neighbours(max(2, cpus())) as taken, threads(cpus()):
        found = loop(tmp_path, until_sampled(tmp_path), 2048)
        share = taken()
    if share < CROWD:
        pytest.skip(f"the system gave other programs {share:.0%} of the cores, which is no crowd")
    assert is_crowded(found), f"others took {share:.0%} of the cores, and {_others(found):.0%} in the samples"
    evaluation = of_script("cpu_bottleneck", found)
    assert evaluation.status == "IssuesFound", evaluation.reason
    assert "Other programs" in evaluation.findings[0].message


def test_four_times_as_many_threads_as_cores(tmp_path: Path) -> None:
    with threads(4 * cpus()):
        found = loop(tmp_path, until_sampled(tmp_path), 2048)
    evaluation = of_script("cpu_bottleneck:cpu_threshold=80", found)
    assert evaluation.status == "IssuesFound", evaluation.reason
    assert any(f"torch.set_num_threads({cpus()})" in each.cure for each in evaluation.findings)


def test_cores_that_are_the_trainings_own(tmp_path: Path) -> None:
    with threads(cpus()):
        found = loop(tmp_path, until_sampled(tmp_path), 2048)
    let_be(of_script("cpu_bottleneck", found), found)


# ---- jobs of the built-in classifier, as a user starts them


SMALL = {
    "weights": "none",
    "method": "finetune",
    "probe.stages": "none",
    "image.size": 32,
    "train_from": "all",
    "profile.interval_ms": 100,
    "profile.num_steps": 0,
}


def train(place: Path, name: str, settings: Mapping[str, object], *options: str) -> JobDir:
    """A job on the photos in `place`; it may end as it likes."""
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    run_vizsla("train", place / "photos", *pairs, *options, "--name", name, cwd=place)
    return JobDir(place / "vizsla-runs" / "training" / name)


def test_heavy_photos_without_workers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(20):
        photo = tmp_path / "photos" / "ab"[index % 2] / f"{index}.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (800, 800, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photo, compress_level=1)
    settings = {**SMALL, "model": "test_resnet", "batch_size": 4, "epochs": 5, "run.loader_workers": 0}
    folder = train(tmp_path, "heavy", settings, "--no-rules", "--rule", "dataloader:patience=0")
    assert "Dataloader" in {each.name for each in records.read(folder.records) if each.kind == "finding"}, (
        "while it ran"
    )
    found = of_job("dataloader", folder)
    assert found.status == "IssuesFound", found.reason
    cured = 2 if cpus() > 1 else 1  # one core cannot decode beside the steps
    assert ("--set run.loader_workers" in found.findings[0].cure) is (cured == 2)


def test_a_healthy_training_is_accused_of_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", {"disc": 110, "rows": 110})
    settings = {**SMALL, "model": "resnet18", "batch_size": 64, "epochs": 4}
    folder = train(tmp_path, "healthy", settings, "--no-rules", "--rule", "profiler_report")
    found = of_job("profiler_report", folder)
    let_be(found, records.read(folder.records))
    assert "CPUBottleneck" not in found.reason, "it was judged"


def test_a_job_that_never_starts_its_first_step(tmp_path: Path) -> None:
    """Whatever it waits for, here it is loading torch: a rule that gives it a second ends it before it begins."""
    write_folder(tmp_path / "photos", {"disc": 8, "rows": 8})
    rule = "max_initialization_time:threshold=0.01,action=stop"
    folder = train(tmp_path, "late", {**SMALL, "model": "test_resnet"}, "--no-rules", "--rule", rule)
    last = folder.attempts()[-1]
    assert last.state == "Stopped"
    assert "MaxInitializationTime" in (last.reason or "")
    found = of_job("max_initialization_time:threshold=0.01", folder)
    assert "The first step has not begun" in found.findings[0].message
    assert of_job("max_initialization_time", folder).status == "Stopped", "it had no time to be late"
