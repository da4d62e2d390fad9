"""Tensor records as the debugger writes them, without any network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vizsla.jobdir import JobDir
from vizsla.records import Record, Writer
from vizsla.segments import Segments

STEPS = (*range(10), *range(20, 520, 10))


def saved(folder: JobDir, found: Iterable[Record]) -> JobDir:
    """Writes records to the debugger's stream."""
    with Writer(Segments(folder.records / "debugger", 1, ".jsonl")) as writer:
        for record in found:
            writer.write(record)
    return folder


def tensor(name: str, step: int, collection: str, mode: str = "train", **value: Any) -> Record:
    """One tensor at one step; `value` are statistics in the words of docs/job-folder.md."""
    shown = {"collection": collection, "type": "", **value}
    return Record(t=10.0 + step, kind="tensor", name=name, mode=mode, step=step, global_step=step, value=shown)


def gradients(rows: Mapping[str, Sequence[float]], steps: Sequence[int] = STEPS) -> list[Record]:
    """The mean absolute gradient of each parameter (`Net_fc.weight`) at each of as many steps."""
    return [
        tensor(f"gradient/{name}", step, "gradients", abs_mean=value[place], size=100, nan=0, inf=0, zeros=0.0)
        for place, step in enumerate(steps)
        for name, value in rows.items()
        if place < len(value)
    ]


def relu_outputs(rows: Mapping[str, Sequence[Sequence[float]]], steps: Sequence[int] = STEPS) -> list[Record]:
    """The share of outputs above 0 of each channel of each ReLU6 at each of as many steps."""
    return [
        tensor(f"{name}_output_0", step, "activation_outputs", type="ReLU6", abs_mean=0.5, active=list(value[place]))
        for place, step in enumerate(steps)
        for name, value in rows.items()
        if place < len(value)
    ]
