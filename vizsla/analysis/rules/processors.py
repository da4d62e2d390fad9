"""Rules on the cores: whether something waits for them, and whether they wait for a disk.

Where there is a GPU it is the GPU that waits, as SageMaker documents it. Where there is none the cores are what the
training computes on: they should be busy, and what waits is the training.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, TypeVar

from pydantic import Field

from vizsla.analysis.profiling import causes
from vizsla.analysis.profiling.causes import Cause
from vizsla.analysis.profiling.meter import Figures, Meter
from vizsla.analysis.rules import slow
from vizsla.analysis.rules.base import Context, Finding
from vizsla.analysis.rules.reading import number
from vizsla.analysis.rules.samples import Sampled, SampledParameters, shares
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import percent


class BottleneckParameters(SampledParameters):
    """What both take."""

    threshold: float = Field(50.0, gt=0, le=100)
    """More than this percent of the samples have to be bottlenecks."""
    gpu_threshold: float = Field(10.0, gt=0, le=100)
    """A GPU that is used for less than this percent waits. Where there is none, it is not looked at."""


B = TypeVar("B", bound=BottleneckParameters)


class _Bottleneck(Sampled[B]):
    """Counts the samples that are bottlenecks."""

    def __init__(self, name: str, parameters: B, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._meter = Meter()

    @abstractmethod
    def is_hot(self, record: Record, has_gpu: bool) -> bool:
        """Whether what may be the bottleneck is as busy as the parameters say."""

    @abstractmethod
    def starved(self) -> tuple[str, str]:
        """What a GPU waits for, and the cure."""

    @abstractmethod
    def causes(self, figures: Figures) -> Iterable[Cause | None]:
        """Without a GPU: why the training waits, if it does."""

    def see(self, record: Record) -> Iterator[Finding]:
        self._meter.see(record)
        yield from super().see(record)

    def restart(self) -> None:
        self._bottlenecks = 0

    def take(self, record: Record) -> None:
        gpus = shares(record, "gpu")
        waits = not gpus or min(gpus) < self.parameters.gpu_threshold
        self._bottlenecks += waits and self.is_hot(record, bool(gpus))

    def judge(self, record: Record) -> Iterator[Finding]:
        share = self._bottlenecks / self.seen
        if 100 * share <= self.parameters.threshold:
            return
        measured = {"percent": 100 * share, "threshold": self.parameters.threshold}
        if self.gpus:
            yield from self._starved(record, share, measured)
        else:
            yield from self._slowed(record, measured)

    def unfit(self) -> str:
        return self.too_few()

    def _starved(self, record: Record, share: float, measured: Mapping[str, float]) -> Iterator[Finding]:
        if self.first("gpu"):
            why, cure = self.starved()
            message = f"In {percent(share, 0)} of {self.seen} samples a GPU was used for less than "
            yield self.found(record, f"{message}{self.parameters.gpu_threshold:g} % while {why}.", cure, **measured)

    def _slowed(self, record: Record, measured: Mapping[str, float]) -> Iterator[Finding]:
        figures = self._meter.figures()
        if figures is None:
            return
        for cause in slow.worth_it(self.causes(figures)):
            if self.first(cause.bound):
                yield slow.finding(self, record, cause, figures, **measured)


class CPUBottleneckParameters(BottleneckParameters):
    """cpu_bottleneck."""

    cpu_threshold: float = Field(90.0, gt=0, le=100)
    """A core above this percent is busy; without a GPU, all cores together have to be."""


class CPUBottleneck(_Bottleneck[CPUBottleneckParameters]):
    """Trainings that wait for the processor. With a GPU: a sample is a bottleneck where a GPU waits while a core is
    busy. Without one a busy core is as it should be: there, all cores have to be busy and the training be slower for
    it, because other programs take them or more threads compute than there are cores.
    """

    Parameters: ClassVar[type[Section]] = CPUBottleneckParameters
    looks_at: ClassVar[str] = "system samples; threads, phases"
    meaning: ClassVar[str] = (
        "in more than `threshold` percent of the samples a GPU waits for the processor, or the training for cores that "
        "other programs or too many threads take"
    )
    advice: ClassVar[str] = "as many threads as cores, no other programs; with a GPU, more loader workers"

    def is_hot(self, record: Record, has_gpu: bool) -> bool:
        busy = max(shares(record, "cores"), default=0.0) if has_gpu else number(record, "cpu") or 0.0
        return busy > self.parameters.cpu_threshold

    def starved(self) -> tuple[str, str]:
        cure = "Prepare batches on more cores (run.loader_workers; a script's num_workers), or store smaller photos."
        return f"a core was above {self.parameters.cpu_threshold:g} %", cure

    def causes(self, figures: Figures) -> Iterable[Cause | None]:
        settings = self.context.settings
        return causes.too_many_threads(figures, settings), causes.has_neighbours(figures, settings)


class IOBottleneckParameters(BottleneckParameters):
    """io_bottleneck."""

    io_threshold: float = Field(50.0, gt=0, le=100)
    """A core that waits for a disk more than this percent of its time is held up."""


class IOBottleneck(_Bottleneck[IOBottleneckParameters]):
    """Trainings that wait for a disk. With a GPU: a sample is a bottleneck where a GPU waits while a core waits for a
    disk. Without one, where a core does, and the loop waits for its photos.
    """

    Parameters: ClassVar[type[Section]] = IOBottleneckParameters
    looks_at: ClassVar[str] = "system samples; phases"
    meaning: ClassVar[str] = "in more than `threshold` percent of the samples the training waits for a disk"
    advice: ClassVar[str] = "copy the photos to a disk of this machine, store them smaller, or use more loader workers"

    def is_hot(self, record: Record, has_gpu: bool) -> bool:
        return max(shares(record, "iowait"), default=0.0) > self.parameters.io_threshold

    def starved(self) -> tuple[str, str]:
        cure = "Copy the photos to a disk of this machine, or store them smaller."
        return f"a core waited for a disk more than {self.parameters.io_threshold:g} % of its time", cure

    def causes(self, figures: Figures) -> Iterable[Cause | None]:
        without_steps = None if figures.step_seconds else _only_samples(figures)
        return causes.waits_for_disk(figures, self.context.settings), without_steps


def _only_samples(figures: Figures) -> Cause:
    """Of a script that records no steps: how much of its time the cores wait."""
    waited = min(0.9, (figures.iowait or 0.0) / figures.cores)
    message = f"Cores waited for a disk {percent(waited, 0)} of their time."
    return Cause("disk", waited, message, advice="Copy the photos to a disk of this machine, or store them smaller.")
