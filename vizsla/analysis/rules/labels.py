"""Rules on labels and predictions: how many photos a class has, and which classes are taken for which.

Labels and predictions are class indices, one a photo, in pairs of records with the same mode and step. They come as
`indices` in the record, or raw where a script saved them as tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.pairs import Pairs, indices
from vizsla.analysis.rules.reading import collection, place
from vizsla.analysis.rules.selection import MaybeInt, Regexes, Selection
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import count

BALANCE = (
    "Add photos of the rare classes or leave out some of the common ones; with few photos of a class, look at its own "
    "accuracy in the report, not at the accuracy of all."
)
LOOK = (
    "Look at the photos of these classes and their labels: `vizsla data check`, and the photos most confused in the "
    "report."
)
NOT_SAVED = "No {} were saved: the built-in classifier saves them, a script calls hook.save_tensor."


class ClassImbalanceParameters(Section):
    """class_imbalance."""

    threshold_imbalance: float = Field(10.0, ge=1)
    """The largest class may not have more than this many times the photos of the smallest."""
    threshold_misprediction: float = Field(0.7, ge=0, le=1)
    """The share of a class's photos that are taken for another one may not be above this."""
    samples: int = Field(500, ge=1)
    """How many labels are gathered before they are judged, and again each time as many have come."""
    argmax: bool = False
    """Whether raw predictions are a number for each class, of which the largest counts."""
    labels_regex: Regexes = ".*labels"
    """What labels are called."""
    predictions_regex: Regexes = ".*predictions"
    """What predictions are called."""


class _Tally:
    """The photos of one mode: labels of all so far, answers since the last verdict (a network gets better)."""

    def __init__(self) -> None:
        self.labels: Counter[int] = Counter()
        self.judged = 0  # how many labels there were when they were judged last
        self.paired: Counter[int] = Counter()  # photos of each class with a prediction, since the last verdict
        self.wrong: Counter[int] = Counter()


class ClassImbalance(Rule[ClassImbalanceParameters]):
    """Classes with too few photos, and classes that are never recognised. Each mode is counted by itself."""

    Parameters: ClassVar[type[Section]] = ClassImbalanceParameters
    looks_at: ClassVar[str] = "labels, predictions"
    meaning: ClassVar[str] = (
        "the largest class has more than `threshold_imbalance` times the photos of the smallest, or of a class more "
        "than `threshold_misprediction` are taken for others"
    )
    advice: ClassVar[str] = "add photos of the rare classes, or leave out some of the common ones"

    def __init__(self, name: str, parameters: ClassImbalanceParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._labels = Selection.of(None, parameters.labels_regex)
        self._predictions = Selection.of(None, parameters.predictions_regex)
        self._tallies: dict[str, _Tally] = {}
        self._pairs = Pairs()
        self._unreadable = 0

    def see(self, record: Record) -> Iterator[Finding]:
        if record.kind != "tensor":
            return
        is_label = self._labels.takes(record)
        if not is_label and not self._predictions.takes(record):
            return
        classes = indices(record, self.context.load, self.parameters.argmax and not is_label)
        if classes is None:
            self._unreadable += 1
            return
        tally = self._tallies.setdefault(record.mode or "global", _Tally())
        if is_label:
            tally.labels.update(classes)
        for label, prediction in self._pairs.add(record, is_label, classes):
            tally.paired[label] += 1
            tally.wrong[label] += label != prediction
        yield from self._balance(record, tally)
        yield from self._mispredictions(record, tally)

    def _balance(self, record: Record, tally: _Tally) -> Iterator[Finding]:
        total, limit = tally.labels.total(), self.parameters.threshold_imbalance
        if total - tally.judged < self.parameters.samples:
            return
        tally.judged = total
        self.datapoints += 1
        (largest, most), *_, (smallest, least) = [*tally.labels.most_common(), tally.labels.most_common()[-1]]
        if most / least > limit:
            message = (
                f"Of {total} labels up to {place(record)}, {most} are {self.context.class_name(largest)} and {least} "
                f"{self.context.class_name(smallest)}: {most / least:.3g} times as many, more than {limit:g}."
            )
            yield self.found(record, message, BALANCE, ratio=most / least, threshold=limit)

    def _mispredictions(self, record: Record, tally: _Tally) -> Iterator[Finding]:
        limit = self.parameters.threshold_misprediction
        if tally.paired.total() < self.parameters.samples:
            return
        self.datapoints += 1
        paired, wrong = tally.paired, tally.wrong
        tally.paired, tally.wrong = Counter(), Counter()
        missed = {label: wrong[label] / photos for label, photos in paired.items() if wrong[label] / photos > limit}
        if not missed:
            return
        worst = max(missed, key=missed.__getitem__)
        message = (
            f"{100 * missed[worst]:.3g} % of the last {paired[worst]} photos of {self.context.class_name(worst)} were "
            f"taken for others at {place(record)}, more than {100 * limit:g} %"
        )
        rest = f"; so it is with {count(len(missed) - 1, 'other class', 'other classes')}." if len(missed) > 1 else "."
        yield self.found(record, message + rest, f"{BALANCE} {LOOK}", misprediction=missed[worst], threshold=limit)

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        most = max((tally.labels.total() for tally in self._tallies.values()), default=0)
        if most:
            wanted = self.parameters.samples
            return (
                f"Only {most} labels of one mode were seen, and samples={wanted}: lower it, or save more often "
                "(save_interval; debug.save_every)."
            )
        if self._unreadable:
            return "Labels were saved, but not their values: save them raw."
        return NOT_SAVED.format("labels")


class ConfusionParameters(Section):
    """confusion."""

    category_no: MaybeInt = Field(None, ge=2)
    """How many classes there are; by default as many as were seen."""
    labels: str = "labels"
    """What labels are called."""
    predictions: str = "predictions"
    """What predictions are called."""
    labels_collection: str = "labels"
    """The collection labels are in."""
    predictions_collection: str = "predictions"
    """The collection predictions are in."""
    min_diag: float = Field(0.9, ge=0, le=1)
    """Of what is taken for a class, at least this share has to be of it."""
    max_off_diag: float = Field(0.1, ge=0, le=1)
    """Of what is taken for a class, at most this share may be of any one other."""


class Confusion(Rule[ConfusionParameters]):
    """Classes that are taken for others. Each validation is judged by itself; without any, the training at its end."""

    Parameters: ClassVar[type[Section]] = ConfusionParameters
    looks_at: ClassVar[str] = "labels and predictions"
    meaning: ClassVar[str] = (
        "of the photos taken for a class, less than `min_diag` are of it, or more than `max_off_diag` are of one other"
    )
    advice: ClassVar[str] = "look at the photos of the classes named and at their labels, and add some of both"

    def __init__(self, name: str, parameters: ConfusionParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._mode: str | None = None  # of the turn that is coming in
        self._last: Record | None = None
        self._counts: Counter[tuple[int, int]] = Counter()  # (label, prediction) → photos of this turn
        self._pairs = Pairs()
        self._unreadable = 0

    def see(self, record: Record) -> Iterator[Finding]:
        is_label = self._is(record, self.parameters.labels, self.parameters.labels_collection)
        if not is_label and not self._is(record, self.parameters.predictions, self.parameters.predictions_collection):
            return
        if record.mode != self._mode:
            if self._mode != "train":
                yield from self._judged()
            self._counts.clear()
            self._mode = record.mode
        classes = indices(record, self.context.load, argmax=False)
        if classes is None:
            self._unreadable += 1
            return
        self._last = record
        for label, prediction in self._pairs.add(record, is_label, classes):
            self._check(label, prediction)
            self._counts[label, prediction] += 1

    def _is(self, record: Record, name: str, group: str) -> bool:
        return record.kind == "tensor" and (record.name == name or collection(record) == group)

    def _check(self, label: int, prediction: int) -> None:
        most = self.parameters.category_no
        if most is not None and max(label, prediction) >= most:
            raise ValueError(f"class {max(label, prediction)} was seen, and category_no={most} allows 0 to {most - 1}")

    def done(self, now: float | None) -> Iterator[Finding]:
        if self._mode != "train" or not self.datapoints:
            yield from self._judged()

    def _judged(self) -> Iterator[Finding]:
        """What the turn's counts show, each class's column by itself."""
        record, counts = self._last, Counter(self._counts)
        if record is None or not counts:
            return
        self.datapoints += 1
        columns: Counter[int] = Counter()
        for (_, prediction), photos in counts.items():
            columns[prediction] += photos
        right = {column: counts[column, column] / photos for column, photos in columns.items()}
        wrong = {
            (label, column): photos / columns[column] for (label, column), photos in counts.items() if label != column
        }
        low = sorted((share, column) for column, share in right.items() if share < self.parameters.min_diag)
        high = sorted(
            ((share, *pair) for pair, share in wrong.items() if share > self.parameters.max_off_diag), reverse=True
        )
        if low or high:
            yield self._finding(record, low, high)

    def _finding(self, record: Record, low: list[tuple[float, int]], high: list[tuple[float, int, int]]) -> Finding:
        """The worst of each, and how many more there are."""
        said, measured, name = list[str](), dict[str, float](), self.context.class_name
        if low:
            (share, column), least = low[0], self.parameters.min_diag
            said.append(
                f"only {100 * share:.3g} % of the photos taken for {name(column)} are it, less than the "
                f"{100 * least:g} % asked for{_more(low, 'class', 'classes')}"
            )
            measured |= {"diagonal": share, "min_diag": least}
        if high:
            (share, label, column), most = high[0], self.parameters.max_off_diag
            said.append(
                f"{100 * share:.3g} % of the photos taken for {name(column)} are {name(label)}, more than the "
                f"{100 * most:g} % allowed{_more(high, 'pair of classes', 'pairs of classes')}"
            )
            measured |= {"off_diagonal": share, "max_off_diag": most}
        return self.found(record, f"Classes are confused at {place(record)}: {'; '.join(said)}.", LOOK, **measured)

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        if self._unreadable:
            return "Labels and predictions were saved, but not their values: save them raw."
        return NOT_SAVED.format("pairs of labels and predictions")


def _more(found: list[tuple[float, int]] | list[tuple[float, int, int]], noun: str, nouns: str) -> str:
    return f" (and so it is with {count(len(found) - 1, f'more {noun}', f'more {nouns}')})" if len(found) > 1 else ""
