"""Tensor records to grids: one measurement of each layer over the steps that were saved. Heat maps are drawn from them.

Beside `series`, which does the same for metrics; names and statistics are those that docs/job-folder.md gives a tensor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vizsla.records import Record

GRADIENT = "gradient/"
OUTPUT = "_output_0"
CHANNEL_ACTIVE = 0.01  # of its outputs are above 0; the share below which the rule DeadRelu calls a channel dead

Value = float | None
_Row = tuple[str, tuple[Value, ...]]  # a layer and its measurements, step by step


@dataclass(frozen=True, slots=True)
class Grid:
    """One measurement: a row a layer, in the order of the network, a column a saved step."""

    layers: tuple[str, ...]
    steps: tuple[int, ...]
    values: tuple[tuple[Value, ...], ...]
    """None where a layer was not saved at a step; not finite where its values were not."""


def gradients(records: Sequence[Record]) -> Grid:
    """The mean absolute gradient of each layer's weight; of its bias only where it has nothing else."""
    grid = _grid(_of(records, "gradients"), lambda value: _number(value.get("abs_mean")))
    names = set(grid.layers)
    rows = [
        (_layer(name), row)
        for name, row in zip(grid.layers, grid.values, strict=True)
        if not (name.endswith(".bias") and f"{name.removesuffix('bias')}weight" in names)
    ]
    rows = _forward(rows, records)
    return Grid(_without_root([name for name, _ in rows]), grid.steps, tuple(row for _, row in rows))


def active_channels(records: Iterable[Record]) -> Grid:
    """Of each layer that cuts off at zero (ReLU and its like), the share of channels that still answer."""
    return _outputs(_grid(_of(records, "activation_outputs"), _active))


def activations(records: Iterable[Record]) -> Grid:
    """The mean absolute output of each layer that never cuts off (tanh, sigmoid, SiLU, GELU)."""
    found = _of(records, "activation_outputs")
    return _outputs(_grid(found, lambda value: None if "active" in value else _number(value.get("abs_mean"))))


def thinned(grid: Grid, most_steps: int) -> Grid:
    """At most so many columns, evenly chosen, with the first and the last."""
    number = len(grid.steps)
    if number <= most_steps:
        return grid
    kept = sorted({round(place * (number - 1) / (most_steps - 1)) for place in range(most_steps)})
    return Grid(
        grid.layers,
        tuple(grid.steps[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in grid.values),
    )


def _forward(rows: list[_Row], records: Iterable[Record]) -> list[_Row]:
    """The rows in the order of the network. A hook's gradients come in as they are made, the last layer's first."""
    weights: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for place, record in enumerate(records):
        group = record.value.get("collection") if isinstance(record.value, Mapping) else None
        if group in ("weights", "biases"):
            weights.setdefault(_layer(record.name), place)
        elif record.kind == "tensor" and record.name.endswith(OUTPUT):
            outputs.setdefault(record.name.removesuffix(OUTPUT), place)
    if all(name in weights for name, _ in rows):
        return sorted(rows, key=lambda row: weights[row[0]])
    if all(name.partition("_")[2] in outputs for name, _ in rows):
        return sorted(rows, key=lambda row: outputs[row[0].partition("_")[2]])
    return rows[::-1] if _counts_down([name for name, _ in rows]) else rows


def _counts_down(names: Iterable[str]) -> bool:
    """Whether names that differ in their numbers only (block.2, block.1) have these falling more often than rising."""
    seen: dict[str, list[int]] = {}
    balance = 0
    for name in names:
        shape, numbers = re.sub(r"\d+", "#", name), [int(number) for number in re.findall(r"\d+", name)]
        if before := seen.get(shape):
            balance += 1 if numbers > before else -1
        seen[shape] = numbers
    return balance < 0


def _of(records: Iterable[Record], collection: str) -> list[Record]:
    """The records of one collection while training; a script that never says its mode has them as "global"."""
    found = [
        record
        for record in records
        if record.kind == "tensor"
        and record.step is not None
        and isinstance(record.value, Mapping)
        and record.value.get("collection") == collection
    ]
    return [record for record in found if record.mode == "train"] or [
        record for record in found if record.mode == "global"
    ]


def _outputs(grid: Grid) -> Grid:
    """Rows called after their modules, where each has but one output."""
    names = tuple(name.removesuffix(OUTPUT) for name in grid.layers)
    return Grid(names, grid.steps, grid.values) if len(set(names)) == len(names) else grid


def _grid(found: Iterable[Record], measure: Callable[[Mapping[str, object]], Value]) -> Grid:
    cells: dict[str, dict[int, float]] = {}
    for record in found:
        value = measure(record.value) if isinstance(record.value, Mapping) else None
        if value is not None and record.step is not None:
            cells.setdefault(record.name, {})[record.step] = value
    steps = tuple(sorted(set().union(*cells.values())))
    return Grid(tuple(cells), steps, tuple(tuple(row.get(step) for step in steps) for row in cells.values()))


def _active(value: Mapping[str, object]) -> Value:
    shares = value.get("active")
    if not isinstance(shares, list | tuple) or not shares:
        return None
    return float(sum(share >= CHANNEL_ACTIVE for share in shares) / len(shares))


def _layer(name: str) -> str:
    """gradient/ResNet_layer1.0.conv1.weight → ResNet_layer1.0.conv1"""
    return name.removeprefix(GRADIENT).removesuffix(".weight")


def _without_root(names: list[str]) -> tuple[str, ...]:
    """The names without the class of the network, which begins all of them."""
    roots = {name.partition("_")[0] for name in names}
    if len(roots) == 1 and all("_" in name for name in names):
        return tuple(name.partition("_")[2] for name in names)
    return tuple(names)


def _number(value: object) -> Value:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def log10(value: Value) -> Value:
    """The power of ten; None for zero and what is not finite, which have none."""
    return math.log10(value) if value is not None and math.isfinite(value) and value > 0 else None
