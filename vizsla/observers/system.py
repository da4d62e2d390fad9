"""Samples of the machine and of one job, taken from outside of the job's process: they go on whatever holds its GIL.

A thread of the supervisor takes them for a job. For a loop that is no job a process of its own does:
`python -m vizsla.observers.system RECORDS ATTEMPT PID MILLISECONDS`. Nothing here loads torch.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from vizsla.files import reason
from vizsla.machine import cpus
from vizsla.memory import Memory
from vizsla.observers.gpus import Gpus
from vizsla.observers.tree import Tree, Work
from vizsla.process import Process
from vizsla.records import Record, Scalar, Writer
from vizsla.segments import Segments

log = logging.getLogger("vizsla.samples")

STREAM = "system"
SHORTEST_S = 0.1  # the system counts in hundredths of a second: less would say nothing
LOOPBACK = ("lo", "lo0")

Figures = dict[str, Scalar | Sequence[float]]
Wait = Callable[[float], bool]
"""Returns after so many seconds, or at once when it is over: then true."""


@dataclass(frozen=True, slots=True)
class _Core:
    """What a core has done since the machine was started, in seconds."""

    busy_s: float
    iowait_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class _Counts:
    """Everything that only ever grows. What the system does not count is missing."""

    at_s: float
    cores: Sequence[_Core]
    traffic: Mapping[str, int]
    job: Work | None


class Sampler:
    """Measures the machine and the tree of processes below `pid`, from one call of `sample` to the next.

    pid: the job's first process, which counts too. without: processes below it that do not, such as this one.
    """

    def __init__(self, pid: int, without: Sequence[int] = ()) -> None:
        self._tree = Tree(pid, without)
        self._memory = Memory()
        self._gpus = Gpus()
        self._last = self._counts()

    def machine(self, interval_s: float) -> Figures:
        """What does not change: the value of the record `machine`."""
        return {
            "cores": psutil.cpu_count() or 1,
            "share": cpus(),
            "memory_bytes": self._memory.total_bytes,
            "interval_s": interval_s,
            "gpus": self._gpus.count,
        }

    def sample(self) -> Figures:
        """The value of a record `sample`: what has happened since the last one, and what is held now."""
        last, now = self._last, self._counts()
        self._last = now
        seconds = max(now.at_s - last.at_s, 1e-6)
        used = self._memory.used_bytes()
        return {
            "seconds": round(seconds, 4),
            **_cores(last.cores, now.cores),
            "memory": round(100 * used / self._memory.total_bytes, 2),
            "memory_bytes": used,
            **{
                name: round(max(0, count - last.traffic.get(name, count)) / seconds)
                for name, count in now.traffic.items()
            },
            **(_work(last.job, now.job, seconds) if now.job else {}),
            **_running(),
            **self._gpus.usage(),
        }

    def _counts(self) -> _Counts:
        cores = [_core(times) for times in psutil.cpu_times(percpu=True)]
        return _Counts(time.monotonic(), cores, {**_disks(), **_network()}, self._tree.look())


def _core(times: object) -> _Core:
    """psutil has the fields that the system has."""
    fields: Mapping[str, float] = times._asdict()  # type: ignore[attr-defined]
    total = sum(value for name, value in fields.items() if not name.startswith("guest"))  # those are in `user` too
    iowait = fields.get("iowait", 0.0)
    return _Core(total - fields["idle"] - iowait, iowait, total)


def _cores(last: Sequence[_Core], now: Sequence[_Core]) -> Figures:
    """Percent a core; nothing where a core has come or gone, or where the system does not count."""
    spans = [after.total_s - before.total_s for before, after in zip(last, now, strict=False)]
    if len(last) != len(now) or not spans or min(spans) <= 0:
        return {}
    busy = [_percent(b.busy_s - a.busy_s, span) for a, b, span in zip(last, now, spans, strict=True)]
    waiting = [_percent(b.iowait_s - a.iowait_s, span) for a, b, span in zip(last, now, spans, strict=True)]
    return {"cores": busy, "iowait": waiting, "cpu": round(sum(busy) / len(busy), 2)}


def _percent(part_s: float, whole_s: float) -> float:
    return round(min(100.0, max(0.0, 100 * part_s / whole_s)), 2)


def _disks() -> dict[str, int]:
    try:
        found = psutil.disk_io_counters(nowrap=False)
    except (OSError, NotImplementedError, RuntimeError):  # a container that does not show them
        return {}
    return {"disk_read": found.read_bytes, "disk_write": found.write_bytes} if found else {}


def _network() -> dict[str, int]:
    try:
        found = psutil.net_io_counters(pernic=True, nowrap=False)
    except (OSError, NotImplementedError, RuntimeError):
        return {}
    outside = [each for name, each in found.items() if name not in LOOPBACK]
    return {"received": sum(each.bytes_recv for each in outside), "sent": sum(each.bytes_sent for each in outside)}


def _work(last: Work | None, now: Work, seconds: float) -> Figures:
    """Of the job; a process that was not there yet has begun within the interval, so all it did counts."""
    cpu_s = now.cpu_s - (last.cpu_s if last else 0.0)
    figures: Figures = {"job_cpu": round(min(100.0 * (psutil.cpu_count() or 1), max(0.0, 100 * cpu_s / seconds)), 2)}
    if not now.processes:  # it has ended just now: it holds nothing any more
        return figures
    before = last.switches if last else {}
    switches = sum(count - before.get(thread, count) for thread, count in now.switches.items())
    faults = now.faults - (last.faults if last else 0)
    return figures | {
        "job_rss": now.rss_bytes,
        "job_threads": now.threads,
        "job_processes": now.processes,
        "job_switches": round(max(0, switches) / seconds, 2),
        "job_faults": round(max(0, faults) / seconds, 2),
    }


def _running() -> Figures:
    """Tasks that compute or wait for a core, without the one that asks."""
    try:
        fields = Path("/proc/loadavg").read_text().split()
        return {"running": max(0, int(fields[3].partition("/")[0]) - 1)}
    except (OSError, ValueError, IndexError):  # not Linux
        return {}


@contextmanager
def sampling(pid: int, folder: Path, attempt: int, interval_s: float) -> Iterator[None]:
    """Samples the tree below `pid` while the block runs, from a thread, into the stream `system` of these records.

    The last sample is of what was left of an interval. A disk that refuses costs samples, and nothing else.
    """
    over = threading.Event()
    records = Writer(Segments(folder / STREAM, attempt))
    thread = threading.Thread(target=_beside, args=(pid, records, interval_s, over.wait), name="samples")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beside(pid: int, records: Writer, interval_s: float, wait: Wait) -> None:
    """The thread. Signals are for the main thread, which has to wake up for them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    sample(Sampler(pid), records, interval_s, wait)


def sample(sampler: Sampler, records: Writer, interval_s: float, wait: Wait) -> None:
    """Writes a sample at each beat until it is over; one that comes late says how long it took, and no beat moves."""
    disk = _Disk(records)
    disk.write("machine", lambda: sampler.machine(interval_s))
    began = last = time.monotonic()
    beat, over = 0, False
    while not over:
        beat = max(beat, int((time.monotonic() - began) / interval_s)) + 1
        over = wait(began + beat * interval_s - time.monotonic())
        if not over or time.monotonic() - last >= SHORTEST_S:
            last = time.monotonic()
            disk.write("sample", sampler.sample)
    disk.close()


class _Disk:
    """Where samples go. The system may refuse to count or to write: that is said once, and samples are lost."""

    def __init__(self, records: Writer) -> None:
        self._records = records
        self._refused = False

    def write(self, name: str, measure: Callable[[], Figures]) -> None:
        self._try(lambda: self._records.write(Record(time.time(), "system", name, value=measure())))

    def close(self) -> None:
        self._try(self._records.close)

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except OSError as error:
            if not self._refused:
                log.warning("samples of the system are missing: %s", reason(error))
            self._refused = True


def main(folder: Path, attempt: int, pid: int, interval_s: float) -> None:
    """Samples the tree below `pid`, without this process, until it ends, or stdin does or has anything to say.

    What the process forks holds stdin open as well, so it should say something to end this while that still runs.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the process that is watched; this one ends with it
        signal.signal(number, signal.SIG_IGN)
    try:
        watched = Process.of(pid)
    except psutil.NoSuchProcess:
        return

    def wait(seconds: float) -> bool:
        told, _, _ = select.select([sys.stdin], [], [], max(0.0, seconds))
        return bool(told) or not watched.alive()

    sample(Sampler(pid, [os.getpid()]), Writer(Segments(folder / STREAM, attempt)), interval_s, wait)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) / 1000)
