"""Rules that hold training and validation losses against each other: overfitting, and training on for nothing.

`turns` puts the two together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.rules import cures
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import EPOCH_LOSSES, loss, place
from vizsla.analysis.rules.selection import MaybeRegexes, Selection
from vizsla.analysis.rules.turns import KINDS, Pair, Turns
from vizsla.keys import Section
from vizsla.records import Record

MISSING = (
    "{} losses were recorded: both are needed. In a script with a hook, call hook.set_mode(modes.TRAIN) and "
    "(modes.EVAL); with vizsla.debugger.watch, evaluate too, after model.eval(); or give it metrics called train_loss "
    "and valid_loss."
)


class OverfitParameters(Section):
    """overfit."""

    tensor_regex: MaybeRegexes = None
    """Look only at losses whose names match; by default at all."""
    start_step: int = Field(0, ge=0)
    """The training step from which on losses are compared."""
    patience: int = Field(1, ge=1)
    """How many comparisons in a row have to be above the threshold."""
    ratio_threshold: float = Field(0.1, ge=0)
    """(validation loss - training loss) / training loss may not be above this."""
    rise_percent: float = Field(0.0, ge=0)
    """vizsla's own: the validation loss also has to be this many percent above the lowest there was; 0 asks nothing."""
    least_gap: float = Field(0.0, ge=0)
    """vizsla's own: the validation loss also has to be above the training loss by this (absolute); 0 asks nothing."""


class Overfit(Rule[OverfitParameters]):
    """Trainings that learn the photos by heart."""

    Parameters: ClassVar[type[Section]] = OverfitParameters
    looks_at: ClassVar[str] = "losses in TRAIN and EVAL"
    meaning: ClassVar[str] = (
        "the validation loss is above the training loss by more than `ratio_threshold` of it, `patience` times in a row"
    )
    advice: ClassVar[str] = "add photos, train fewer layers, regularize more, or stop earlier"

    def __init__(self, name: str, parameters: OverfitParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(None, parameters.tensor_regex)
        self._turns = {kind: Turns() for kind in KINDS}
        self._in_a_row = dict.fromkeys(self._turns, 0)
        self._lowest = dict.fromkeys(self._turns, math.inf)

    def see(self, record: Record) -> Iterator[Finding]:
        one = loss(record)
        if one is None or (self._selection and not self._selection.takes(record)):
            return
        for pair in self._turns[record.kind].add(record, one):
            yield from self._judged(record.kind, pair)

    def done(self, now: float | None) -> Iterator[Finding]:
        for kind, turns in self._turns.items():
            for pair in turns.close():
                yield from self._judged(kind, pair)

    def _judged(self, kind: str, pair: Pair) -> Iterator[Finding]:
        self._lowest[kind] = min(self._lowest[kind], pair.valid)
        if pair.train_step < self.parameters.start_step:
            return
        self.datapoints += 1
        ratio = _ratio(pair)
        rise = 100 * (pair.valid / self._lowest[kind] - 1) if self._lowest[kind] > 0 else math.inf
        harmful = rise >= self.parameters.rise_percent and pair.valid - pair.train >= self.parameters.least_gap
        above = harmful and ratio > self.parameters.ratio_threshold
        self._in_a_row[kind] = self._in_a_row[kind] + 1 if above else 0
        if self._in_a_row[kind] >= self.parameters.patience:
            yield self._finding(pair, ratio, rise)

    def _finding(self, pair: Pair, ratio: float, rise: float) -> Finding:
        risen = f", and has risen by {rise:.3g} % since it was lowest" if self.parameters.rise_percent else ""
        return self.found(
            pair.at,
            f"The validation loss at {place(pair.at)} is {pair.valid:.4g}, the training loss {pair.train:.4g}: it is "
            f"above it by {ratio:.3g} times, more than {self.parameters.ratio_threshold:g}{risen}.",
            cures.regularize(self.context.settings),
            train_loss=pair.train,
            valid_loss=pair.valid,
            ratio=ratio,
            threshold=self.parameters.ratio_threshold,
        )

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        return _missing(set[str]().union(*(turns.seen for turns in self._turns.values())), self.parameters.start_step)


class OvertrainingParameters(Section):
    """overtraining."""

    patience_train: int = Field(5, ge=1)
    """Steps after which a training loss that has not improved is called at its end."""
    patience_validation: int = Field(10, ge=1)
    """Validation losses after which one that has not improved is called at its end."""
    delta: float = Field(0.01, ge=0)
    """How much lower a loss has to be than the best so far to be an improvement (absolute)."""
    by_epoch: bool = False
    """vizsla's own: count epochs, and take the mean losses of each: of the training between two validations."""


class _Best:
    """The lowest loss so far, and how many came since."""

    def __init__(self, delta: float) -> None:
        self._delta = delta
        self.value = math.inf
        self.since = 0
        self.epoch: int | None = None

    def add(self, value: float, epoch: int | None) -> None:
        if value <= self.value - self._delta:
            self.value, self.since, self.epoch = value, 0, epoch
        else:
            self.since += 1


class Overtraining(Rule[OvertrainingParameters]):
    """Trainings that go on for nothing: neither loss improves any more."""

    Parameters: ClassVar[type[Section]] = OvertrainingParameters
    looks_at: ClassVar[str] = "losses in TRAIN and EVAL"
    meaning: ClassVar[str] = (
        "the training loss has not improved by `delta` for `patience_train` steps, nor the validation loss for "
        "`patience_validation`"
    )
    advice: ClassVar[str] = "stop where the validation loss was lowest"

    def __init__(self, name: str, parameters: OvertrainingParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._turns = {kind: Turns() for kind in KINDS}
        self._best = {(kind, mode): _Best(parameters.delta) for kind in KINDS for mode in ("train", "eval")}

    def see(self, record: Record) -> Iterator[Finding]:
        one = loss(record)
        if one is None or one.mode not in ("train", "eval"):
            return
        pairs = list(self._turns[record.kind].add(record, one))
        if self.parameters.by_epoch:
            for pair in pairs:
                yield from self._epoch(record.kind, pair)
        elif one.mode == "eval":
            yield from self._validated(record.kind, one.value, record)
        elif record.name not in EPOCH_LOSSES:
            self._best[record.kind, "train"].add(one.value, record.epoch)

    def done(self, now: float | None) -> Iterator[Finding]:
        for kind, turns in self._turns.items():
            for pair in turns.close() if self.parameters.by_epoch else ():
                yield from self._epoch(kind, pair)

    def _epoch(self, kind: str, pair: Pair) -> Iterator[Finding]:
        self._best[kind, "train"].add(pair.train, pair.at.epoch)
        yield from self._validated(kind, pair.valid, pair.at)

    def _validated(self, kind: str, value: float, record: Record) -> Iterator[Finding]:
        train, valid = self._best[kind, "train"], self._best[kind, "eval"]
        valid.add(value, record.epoch)
        if train.value == math.inf:
            return
        self.datapoints += 1
        if train.since >= self.parameters.patience_train and valid.since >= self.parameters.patience_validation:
            yield self._finding(record, value, train, valid)

    def _finding(self, record: Record, value: float, train: _Best, valid: _Best) -> Finding:
        best = f" (epoch {valid.epoch})" if valid.epoch is not None else ""
        unit = "epochs" if self.parameters.by_epoch else "steps"
        return self.found(
            record,
            f"Training goes on for nothing: at {place(record)} the validation loss is {value:.4g}, its best was "
            f"{valid.value:.4g}{best}, {valid.since} validations ago; the training loss has not improved by "
            f"{self.parameters.delta:g} for {train.since} {unit}.",
            cures.fewer_epochs(self.context.settings, valid.epoch),
            valid_loss=value,
            best_valid_loss=valid.value,
            since_valid=valid.since,
            threshold=self.parameters.patience_validation,
            since_train=train.since,
            threshold_train=self.parameters.patience_train,
        )

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        return _missing(set[str]().union(*(turns.seen for turns in self._turns.values())), 0)


def _ratio(pair: Pair) -> float:
    """How far the validation loss is above the training loss, as a share of the latter; inf above a loss of 0."""
    gap = pair.valid - pair.train
    if pair.train == 0:
        return math.inf if gap > 0 else 0.0
    return gap / abs(pair.train)


def _missing(seen: set[str], start_step: int) -> str:
    if {"train", "eval"} <= seen:
        return (
            f"Training and validation losses never stood side by side from step {start_step} on: train longer, or "
            "save them more often (save_interval)."
        )
    if not seen & {"train", "eval"}:
        return MISSING.format("No training and no validation")
    return MISSING.format("Only training" if "train" in seen else "Only validation")
