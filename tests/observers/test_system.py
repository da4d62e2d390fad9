"""Samples of real processes: what they say is what the processes did, and nothing that fails stops them or the job."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.scripts import until
from vizsla import records
from vizsla.observers import tree
from vizsla.observers.gpus import Gpus
from vizsla.observers.system import Sampler, sample, sampling
from vizsla.observers.tree import Tree, Work
from vizsla.records import Record, Tail, Writer
from vizsla.segments import Segments

LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="what a process does is read from /proc")
WAITS = "import sys; print('ready', flush=True); sys.stdin.read()"
STARTS_ONE = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"
COMPUTES = "import sys, time\nwhile time.process_time() < 0.5: pass\nprint('ready', flush=True); sys.stdin.read()\n"


@contextmanager
def running(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that has said that it is ready, and ends when it is let go."""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def seen(its: Tree) -> Work:
    work = its.look()
    assert work is not None
    return work


def values(folder: Path, name: str) -> list[Mapping[str, Any]]:
    found = records.read(folder, ["system"])
    return [record.value for record in found if record.name == name and isinstance(record.value, Mapping)]


# ---- a tree of processes


@LINUX
def test_a_tree_is_a_process_and_what_it_started() -> None:
    with running(STARTS_ONE) as process, running(WAITS):
        work = seen(Tree(process.pid))
        assert work.processes == 2
        assert work.threads >= 2
        assert work.rss_bytes > 5e6


@LINUX
def test_a_process_that_comes_later_counts_and_one_that_is_left_out_does_not() -> None:
    own = Tree(os.getpid())
    before = seen(own).processes
    with running(WAITS) as process:
        without = Tree(os.getpid(), without=[process.pid])
        assert seen(own).processes == before + 1
        assert seen(without).processes == before
    assert seen(own).processes == before


@LINUX
def test_what_a_child_computed_still_counts_when_it_has_ended() -> None:
    own = Tree(os.getpid())
    before = seen(own).cpu_s
    with running(COMPUTES):
        pass
    assert seen(own).cpu_s - before > 0.4


@LINUX
def test_a_tree_that_is_gone_says_nothing() -> None:
    with running(WAITS) as process:
        its = Tree(process.pid)
        assert its.look()
    assert its.look() is None


# ---- what a sample says


def test_a_sample_says_what_the_machine_has_and_uses() -> None:
    sampler = Sampler(os.getpid())
    machine = sampler.machine(0.5)
    assert machine["cores"] == os.cpu_count()
    assert machine["interval_s"] == 0.5
    time.sleep(0.2)
    found: Mapping[str, Any] = sampler.sample()
    assert len(found["cores"]) == os.cpu_count()
    assert all(0 <= busy <= 100 for busy in found["cores"])
    assert 0 < found["memory"] < 100
    Record(time.time(), "system", "sample", value=found).to_line()  # what is no record raises


@LINUX
def test_time_that_a_child_computes_is_the_jobs() -> None:
    sampler = Sampler(os.getpid())
    with running(COMPUTES):
        found: Mapping[str, Any] = sampler.sample()
    assert found["job_cpu"] / 100 * found["seconds"] > 0.4


def test_what_a_system_does_not_count_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_disks(**_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(tree, "_entries", lambda _folder: [])  # no /proc
    monkeypatch.setattr(psutil, "disk_io_counters", no_disks)
    sampler = Sampler(os.getpid())
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [])
    found = set(sampler.sample())
    assert not found & {"cores", "cpu", "iowait", "disk_read", "job_cpu", "job_rss"}
    assert found >= {"seconds", "memory"}


def nvml(fails: bool = False) -> ModuleType:
    """A driver with two GPUs, the second of them idle."""

    class NVMLError(Exception):
        pass

    def rates(handle: int) -> SimpleNamespace:
        if fails:
            raise NVMLError
        return SimpleNamespace(gpu=[80, 0][handle])

    module = ModuleType("pynvml")
    vars(module).update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetUtilizationRates=rates,
        nvmlDeviceGetMemoryInfo=lambda _handle: SimpleNamespace(used=4 << 30, total=16 << 30),
    )
    return module


def test_gpus_are_sampled_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    sampler = Sampler(os.getpid())
    assert sampler.machine(0.5)["gpus"] == 2
    found = sampler.sample()
    assert (found["gpu"], found["gpu_memory"]) == ([80.0, 0.0], [25.0, 25.0])


def test_a_driver_that_fails_costs_its_figures_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(fails=True))
    assert not {"gpu", "gpu_memory"} & set(Sampler(os.getpid()).sample())


def test_without_the_package_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert (Gpus().count, Gpus().usage()) == (0, {})


# ---- when they are taken


def test_samples_are_taken_while_a_block_runs_and_no_longer(tmp_path: Path) -> None:
    threads = threading.active_count()
    with sampling(os.getpid(), tmp_path, 1, 0.1):
        until(lambda: len(values(tmp_path, "sample")) >= 3)
    assert threading.active_count() == threads
    assert [each["interval_s"] for each in values(tmp_path, "machine")] == [0.1]
    assert not list(tmp_path.glob("*/*.open"))  # the last segment is sealed


def test_a_sample_that_comes_late_says_how_long_it_took(tmp_path: Path) -> None:
    waits = iter([0.0, 0.35, 0.0])

    def wait(seconds: float) -> bool:
        late = next(waits, None)
        time.sleep(max(0.0, seconds) + (late or 0.0))
        return late is None

    with Writer(Segments(tmp_path / "system", 1)) as writer:
        sample(Sampler(os.getpid()), writer, 0.1, wait)
    lengths = [each["seconds"] for each in values(tmp_path, "sample")]
    assert lengths[1] > 0.4
    assert sum(lengths) > 0.6  # every moment belongs to one of them


def test_what_is_left_of_an_interval_is_a_sample_too(tmp_path: Path) -> None:
    with sampling(os.getpid(), tmp_path, 1, 60.0):
        time.sleep(0.3)
    (found,) = values(tmp_path, "sample")
    assert 0.1 < found["seconds"] < 60


def test_a_disk_that_refuses_costs_samples_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Writer):
        def write(self, record: Record) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    beats = iter([False, False, False, True])
    sample(Sampler(os.getpid()), Full(Segments(Path("/nowhere"))), 0.1, lambda _s: next(beats))
    assert caplog.messages == ["samples of the system are missing: No space left on device"]


# ---- as a process of its own


def beside(folder: Path, pid: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vizsla.observers.system", str(folder), "1", str(pid), "100"]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def test_a_process_beside_another_samples_it_until_its_input_ends(tmp_path: Path) -> None:
    with running(WAITS) as process:
        sampler = beside(tmp_path, process.pid)
        until(lambda: len(values(tmp_path, "sample")) >= 2)
        sampler.communicate()
    assert sampler.returncode == 0
    assert not list(tmp_path.glob("*/*.open"))


def test_it_ends_when_it_is_told_to_although_its_input_stays_open(tmp_path: Path) -> None:
    sampler = beside(tmp_path, os.getpid())
    assert sampler.stdin is not None
    until(lambda: values(tmp_path, "sample"))
    sampler.stdin.write(b"end\n")
    sampler.stdin.flush()
    until(lambda: sampler.poll() is not None)
    sampler.stdin.close()
    assert sampler.returncode == 0


def test_it_ends_with_the_process_that_it_samples(tmp_path: Path) -> None:
    with running(WAITS) as process:
        sampler = beside(tmp_path, process.pid)
        until(lambda: values(tmp_path, "sample"))
    until(lambda: sampler.poll() is not None)
    sampler.communicate()
    assert sampler.returncode == 0


@LINUX
def test_a_process_that_samples_its_parent_does_not_count_itself(tmp_path: Path) -> None:
    alone = seen(Tree(os.getpid())).processes
    sampler = beside(tmp_path, os.getpid())
    until(lambda: values(tmp_path, "sample"))
    sampler.communicate()
    assert {each["job_processes"] for each in values(tmp_path, "sample")} == {alone}


def test_it_loads_nothing_heavy() -> None:
    code = "import sys, vizsla.observers.system; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "PIL", "pydantic"} & set(done.stdout.split())


def test_two_attempts_have_samples_of_their_own(tmp_path: Path) -> None:
    for attempt in (1, 2):
        with sampling(os.getpid(), tmp_path, attempt, 0.1):
            until(lambda attempt=attempt: len(Tail(tmp_path, from_attempt=attempt).poll()) >= 2)  # type: ignore[misc]
    assert {file.name[:4] for file in tmp_path.glob("system/*.jsonl")} == {"0001", "0002"}
    assert len(values(tmp_path, "machine")) == 2
