"""The rule on losses that do not fall."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field, model_validator

from vizsla.analysis.rules import cures
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import EPOCH_LOSSES, Loss, loss, place, scalar
from vizsla.analysis.rules.selection import MaybeMode, MaybeNames, MaybeRegexes, Selection
from vizsla.analysis.rules.turns import KINDS, Pair, Turns
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import count

ORDER = ("eval", "train", "global", "predict")  # of two modes that can be judged, the earlier one is


class LossNotDecreasingParameters(Section):
    """loss_not_decreasing."""

    collection_names: MaybeNames = None
    """Inspect numbers of these collections too."""
    tensor_regex: MaybeRegexes = None
    """Inspect numbers whose names match too."""
    use_losses_collection: bool = True
    """Inspect the losses. With false, only what the two parameters above name."""
    num_steps: int = Field(10, ge=1)
    """How many steps apart the losses are that are compared, and how often they are."""
    diff_percent: float = Field(0.1, ge=0, lt=100)
    """By how many percent the loss has to fall in between."""
    increase_threshold_percent: float = Field(5.0, ge=0)
    """A rise by more than this is called one, and its cure is a lower learning rate."""
    mode: MaybeMode = None
    """TRAIN, EVAL or GLOBAL; without it the first of EVAL, TRAIN, GLOBAL that has two losses to compare."""
    by_epoch: bool = False
    """vizsla's own: compare the mean losses of epochs, of the training between two validations; num_steps counts
    them."""
    enough_percent: float = Field(0.0, ge=0, le=100)
    """vizsla's own: a loss this many percent below the first one is content, however slowly it falls, and one above the
    first is not, however fast; 0 asks nothing."""

    share_of_chance: float = Field(0.0, ge=0, le=1)
    """vizsla's own: a classifier's loss below this share of what guessing costs, the logarithm of the number of
    classes, is content; 0 asks nothing."""

    @model_validator(mode="after")
    def _names_something(self) -> LossNotDecreasingParameters:
        if not self.use_losses_collection and not self.collection_names and not self.tensor_regex:
            raise ValueError("with use_losses_collection=false, give collection_names or tensor_regex: what to inspect")
        return self


@dataclass(slots=True)
class _Course:
    """The losses of one name in one mode: where they stood, and when they were last compared."""

    checked: int = -1
    """The step of the last comparison. A first one before the first step is what puts AWS's example at 9, 21, 33."""
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        if not self.steps or step > self.steps[-1]:
            self.steps.append(step)
            self.values.append(value)

    def before(self, step: int) -> float | None:
        """The loss at the newest step that is not after `step`."""
        at = bisect_right(self.steps, step)
        return self.values[at - 1] if at else None


class LossNotDecreasing(Rule[LossNotDecreasingParameters]):
    """Trainings that do not get anywhere."""

    Parameters: ClassVar[type[Section]] = LossNotDecreasingParameters
    looks_at: ClassVar[str] = "losses"
    meaning: ClassVar[str] = "over `num_steps` steps a loss did not fall by more than `diff_percent` percent"
    advice: ClassVar[str] = "try another learning rate; if none helps, look at the labels"

    def __init__(self, name: str, parameters: LossNotDecreasingParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(parameters.collection_names, parameters.tensor_regex)
        self._turns = {kind: Turns() for kind in KINDS}
        self._epochs = dict.fromkeys(KINDS, 0)
        self._courses: dict[tuple[str, str], _Course] = {}
        self._first: dict[str, float] = {}  # by mode: the first loss of all
        self._best = len(ORDER)  # place in ORDER of the best mode that could be compared
        self._seen = 0

    def see(self, record: Record) -> Iterable[Finding]:
        one = self._wanted(record)
        if one is None:
            return
        self._first.setdefault(one.mode, one.value)
        if self.parameters.by_epoch:
            for pair in self._turns[record.kind].add(record, one):
                yield from self._epoch(record.kind, pair)
        else:
            yield from self._step(record.name, record, one, record.step)

    def done(self, now: float | None) -> Iterable[Finding]:
        for kind, turns in self._turns.items():
            for pair in turns.close():
                yield from self._epoch(kind, pair)

    def _epoch(self, kind: str, pair: Pair) -> Iterable[Finding]:
        self._epochs[kind] += 1
        losses = {"eval": ("The validation loss", pair.valid), "train": ("The mean training loss", pair.train)}
        for mode, (name, value) in losses.items():
            yield from self._step(name, pair.at, Loss(mode, value), self._epochs[kind])

    def _step(self, name: str, record: Record, one: Loss, step: int | None) -> Iterable[Finding]:
        if self.parameters.mode and one.mode != self.parameters.mode:
            return
        self._seen += 1
        course = self._courses.setdefault((name, one.mode), _Course())
        step = step if step is not None else len(course.steps)  # a script's metrics say no step: they are counted
        course.add(step, one.value)
        if step - course.checked < self.parameters.num_steps:
            return
        course.checked = step
        earlier = course.before(step - self.parameters.num_steps)
        if earlier is not None and self._is_best(one.mode):
            self.datapoints += 1
            yield from self._compared(name, record, one, earlier)

    def _wanted(self, record: Record) -> Loss | None:
        found = loss(record)
        if found is not None and self.parameters.use_losses_collection and not self._repeats_steps(record):
            return found
        if self._selection and record.kind in ("tensor", "metric") and self._selection.takes(record):
            value = scalar(record)
            return None if value is None else (found or Loss(record.mode or "global", value))
        return None

    def _repeats_steps(self, record: Record) -> bool:
        """Whether it is an epoch's mean of losses that were each recorded at their step."""
        return not self.parameters.by_epoch and record.mode == "train" and record.name in EPOCH_LOSSES

    def _is_best(self, mode: str) -> bool:
        at = ORDER.index(mode)
        self._best = min(self._best, at)
        return at == self._best

    def _compared(self, name: str, record: Record, one: Loss, earlier: float) -> Iterable[Finding]:
        fall = _fall_percent(earlier, one.value)
        if earlier == one.value == 0 or self._is_content(self._first[one.mode], one.value, fall):  # 0 cannot fall
            return
        rose = -fall > self.parameters.increase_threshold_percent
        unit = "epoch" if self.parameters.by_epoch or place(record).startswith("epoch ") else "step"
        before = count(self.parameters.num_steps, unit)
        change = f"it rose by {-fall:.3g} %" if fall < 0 else f"it fell by {fall:.3g} %"
        said = (
            f"and was {earlier:.4g} {before} before: {change}; it should fall by more than "
            f"{self.parameters.diff_percent:g} %"
        )
        if fall > self.parameters.diff_percent:
            first, rose = self._first[one.mode], True
            said = f"and the first loss recorded was {first:.4g}: it is above that, though {change} within {before}"
        yield self.found(
            record,
            f"{name} at {place(record)} is {one.value:.4g}, {said}.",
            cures.falling(self.context.settings, rose),
            loss=one.value,
            before=earlier,
            fall_percent=fall,
            threshold=self.parameters.diff_percent,
        )

    def _is_content(self, first: float, now: float, fall: float) -> bool:
        falls = fall > self.parameters.diff_percent
        if now < self.parameters.share_of_chance * math.log(max(1, len(self.context.classes or ()))):
            return True
        if not self.parameters.enough_percent:
            return falls
        low = now <= first * (1 - self.parameters.enough_percent / 100)
        return low or (falls and now <= first)

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        apart = count(self.parameters.num_steps, "epoch" if self.parameters.by_epoch else "step")
        if self._seen:
            is_hook = self.context.settings is None and not self.parameters.by_epoch
            more_often = ", save them more often (save_interval)" if is_hook else ""
            return (
                f"No two losses {apart} apart were there to be compared: train longer{more_often}, or lower num_steps."
            )
        if self._first and self.parameters.by_epoch:
            return "No epoch was recorded: training losses, and validation losses after them."
        if self._first and self.parameters.mode:
            return f"No loss was recorded in mode {self.parameters.mode.upper()}."
        return "No loss was recorded: save the collection losses, or give a script a metric with loss in its name."


def _fall_percent(earlier: float, now: float) -> float:
    """By how many percent of its size the loss fell; negative where it rose, -inf where it is no number any more."""
    if math.isnan(now) or math.isnan(earlier):
        return -math.inf
    if earlier == now:
        return 0.0
    return 100 * (earlier - now) / abs(earlier) if earlier else -math.inf if now > 0 else math.inf
