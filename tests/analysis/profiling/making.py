"""Records of a job as the sampler and the profiler write them, without any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vizsla.records import Record

START = 1000.0
USUAL: Mapping[str, float] = {"load": 0.01, "forward": 0.1, "backward": 0.1, "update": 0.004, "observe": 0.002}


def machine(t: float = START, cores: int = 2, share: int = 2) -> Record:
    value = {"cores": cores, "share": share, "memory_bytes": 16e9, "interval_s": 0.5, "gpus": 0}
    return Record(t, "system", "machine", value=value)


def execution(t: float, threads: int = 2, workers: int = 2, batch: int = 64) -> Record:
    value: dict[str, Any] = {"threads": threads, "loader_workers": workers, "batch_size": batch, "precision": "float32"}
    return Record(t, "system", "execution", value=value)


def sample(t: float, seconds: Any = 0.5, **figures: Any) -> Record:
    """A machine of two cores that the job keeps busy, if nothing else is said."""
    usual: dict[str, Any] = {
        "seconds": seconds,
        "cores": [95.0, 97.0],
        "iowait": [0.0, 0.0],
        "cpu": 96.0,
        "memory": 40.0,
        "memory_bytes": 6.4e9,
        "job_cpu": 188.0,
        "job_rss": 1.5e9,
        "job_switches": 20.0,
        "job_faults": 0.0,
        "running": 2.0,
    }
    return Record(t, "system", "sample", value=usual | figures)


def samples(begun: float, ended: float, **figures: Any) -> list[Record]:
    """One each half second."""
    return [sample(begun + 0.5 * place, **figures) for place in range(1, int((ended - begun) / 0.5) + 1)]


def steps(begun: float, number: int, phases: Mapping[str, float] = USUAL, first: int = 0) -> list[Record]:
    """The phases of training steps, one after the other."""
    found, t = [], begun
    for step in range(first, first + number):
        for name, took in phases.items():
            found.append(Record(t, "phase", name, "train", step, step, 1, took))
            t += took
    return found


def evaluation(t: float, took: float, epoch: int = 1) -> Record:
    return Record(t, "phase", "evaluate", "eval", epoch - 1, None, epoch, took)


def end(records: Sequence[Record]) -> float:
    """When the last phase was over."""
    return max(each.t + float(each.value) for each in records if isinstance(each.value, int | float))


def job(
    phases: Mapping[str, float] = USUAL,
    number: int = 100,
    figures: Mapping[str, Any] | None = None,
    run: Mapping[str, int] | None = None,
) -> list[Record]:
    """One attempt: a second to start, as many steps, a second to end. run: threads, workers, batch."""
    first = START + 1.0
    loop = steps(first, number, phases)
    seen = samples(START, end(loop) + 1, **(figures or {}))
    begin = {"from_global_step": 0, "from_epoch": 0, "epochs": 1, "steps_per_epoch": number}
    attempt = Record(first - 0.001, "attempt", "start", value=begin)
    rest = [attempt, execution(first - 0.001, **(run or {})), *loop, *seen]
    return [machine(), *sorted(rest, key=lambda record: record.t)]


def operators(first: int = 0, number: int = 10) -> list[Record]:
    """A profile of so many steps, and what three operators took."""
    profile = {"seconds": 2.0, "steps": number, "overhead_s": 0.5}
    costs = {"aten::conv2d": (400, 1.5), "aten::batch_norm": (400, 0.3), "aten::add_": (800, 0.2)}
    rows: list[dict[str, Any]] = [
        {"operator": name, "calls": calls, "cpu_s": seconds, "cuda_s": 0.0} for name, (calls, seconds) in costs.items()
    ]
    file = "checkpoints/vizsla/profile/1-trace.json.gz"
    return [
        Record(START + 4, "phase", "profile", "train", first, value=profile, file=file),
        *(Record(START + 4, "phase", "operator", "train", first, value=row) for row in rows),
    ]
