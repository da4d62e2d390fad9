"""The rule on what goes into the network: whether photos were normalised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import collection, number, numbers, place
from vizsla.analysis.rules.selection import Regexes, Selection
from vizsla.keys import Section
from vizsla.records import Record

MXNET_INPUT = ".*hybridsequential0_input_0"  # the documented default is a name that no PyTorch network has
MEASURED_AXIS = 1  # of the statistics in a record; other axes need the raw tensor
CURE = (
    "Normalise the photos: subtract the mean and divide by the standard deviation of each channel. The built-in "
    "classifier does so with its backbone's own; dark or bright photos may still be off, which is no harm to it."
)


class CheckInputImagesParameters(Section):
    """check_input_images."""

    threshold_mean: float = Field(0.2, ge=0)
    """A channel's mean may not be further from zero than this."""
    threshold_samples: int = Field(500, ge=1)
    """How many photos are gathered before they are judged, and again each time as many have come."""
    regex: Regexes = MXNET_INPUT
    """Inspect tensors whose names match. As it stands: the network's input, whatever it is called."""
    channel: int = Field(1, ge=0, le=3)
    """The dimension that channels are in; others than 1 (N, C, H, W) need raw tensors."""


class CheckInputImages(Rule[CheckInputImagesParameters]):
    """Photos that were not normalised."""

    Parameters: ClassVar[type[Section]] = CheckInputImagesParameters
    looks_at: ClassVar[str] = "the network's input"
    meaning: ClassVar[str] = (
        "over `threshold_samples` photos the mean of a channel is further than `threshold_mean` from zero"
    )
    advice: ClassVar[str] = "normalise the photos as the backbone was trained"

    def __init__(self, name: str, parameters: CheckInputImagesParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(None, parameters.regex)
        self._by_type = parameters.regex == MXNET_INPUT
        self._sums: list[float] = []  # of each channel's mean, weighted by photos
        self._photos = self._judged = 0.0
        self._unreadable = 0

    def see(self, record: Record) -> Iterator[Finding]:
        wanted = collection(record) == "inputs" if self._by_type else self._selection.takes(record)
        if record.kind != "tensor" or not wanted:
            return
        found = self._means(record)
        if found is None:
            self._unreadable += 1
            return
        means, photos = found
        if len(self._sums) != len(means):
            self._sums, self._photos, self._judged = [0.0] * len(means), 0.0, 0.0
        self._sums = [total + mean * photos for total, mean in zip(self._sums, means, strict=True)]
        self._photos += photos
        if self._photos - self._judged >= self.parameters.threshold_samples:
            self._judged = self._photos
            yield from self._verdict(record)

    def _means(self, record: Record) -> tuple[Sequence[float], float] | None:
        """Each channel's mean, and of how many photos; None where it is not known."""
        means, photos = numbers(record, "channel_mean"), number(record, "samples")
        if self.parameters.channel == MEASURED_AXIS and means and photos is not None:
            return means, photos
        values = self.context.load(record) if self.context.load and record.file else None
        if values is None or values.ndim <= self.parameters.channel or not len(values):
            return None
        others = tuple(axis for axis in range(values.ndim) if axis != self.parameters.channel)
        return [float(mean) for mean in values.mean(axis=others)], float(len(values))

    def _verdict(self, record: Record) -> Iterator[Finding]:
        self.datapoints += 1
        means = [total / self._photos for total in self._sums]
        worst = max(range(len(means)), key=lambda channel: abs(means[channel]))
        limit = self.parameters.threshold_mean
        if abs(means[worst]) > limit:
            message = (
                f"The mean of channel {worst} of {record.name} over {self._photos:g} photos up to {place(record)} is "
                f"{means[worst]:.3g}, further from zero than {limit:g}."
            )
            yield self.found(record, message, CURE, mean=means[worst], threshold=limit)

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        if self._photos:
            wanted = self.parameters.threshold_samples
            return (
                f"Only {self._photos:g} photos were seen, and threshold_samples={wanted}: lower it, or save more often "
                "(save_interval; debug.save_every)."
            )
        if self._unreadable:
            return f"The input was saved without its means along dimension {self.parameters.channel}: save it raw."
        what = "the collection inputs" if self._by_type else f"what is called {self.parameters.regex}"
        return f"No input of the network was saved: save {what}."
