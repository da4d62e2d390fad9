"""The rule on the size of a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.profiling import causes
from vizsla.analysis.profiling.causes import Cause
from vizsla.analysis.profiling.meter import Figures, Meter
from vizsla.analysis.rules import slow
from vizsla.analysis.rules.base import Context, Finding
from vizsla.analysis.rules.devices import Window
from vizsla.analysis.rules.reading import number
from vizsla.analysis.rules.samples import Sampled, SampledParameters, shares
from vizsla.keys import Section
from vizsla.records import Record


class BatchSizeParameters(SampledParameters):
    """batch_size."""

    cpu_threshold_p95: float = Field(70.0, gt=0, le=100)
    """Processors whose 95th percentile is below this percent have time."""
    gpu_threshold_p95: float = Field(70.0, gt=0, le=100)
    """So has a GPU whose 95th percentile is below this percent."""
    gpu_memory_threshold_p95: float = Field(70.0, gt=0, le=100)
    """A GPU whose memory's 95th percentile is below this percent has room."""
    window: int = Field(500, ge=1)
    """The last so many samples are looked at."""


class BatchSize(Sampled[BatchSizeParameters]):
    """Batches that are too small for the machine, or, without a GPU, too large for its memory. Without a GPU a batch
    is too small where what a step costs in any case weighs, or where the processors have time although the loop does
    not wait for photos.
    """

    Parameters: ClassVar[type[Section]] = BatchSizeParameters
    looks_at: ClassVar[str] = "system samples; phases, batch size"
    meaning: ClassVar[str] = (
        "over the last `window` samples the processors are below `cpu_threshold_p95` and a GPU and its memory below "
        "`gpu_threshold_p95` and `gpu_memory_threshold_p95`; without a GPU, where another batch would be faster or "
        "memory is full"
    )
    advice: ClassVar[str] = "a larger batch; a smaller one where memory is full"

    def __init__(self, name: str, parameters: BatchSizeParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._meter = Meter()

    def see(self, record: Record) -> Iterator[Finding]:
        self._meter.see(record)
        yield from super().see(record)

    def restart(self) -> None:
        self._cpu = Window(self.parameters.window)
        self._gpus: dict[int, tuple[Window, Window]] = {}

    def take(self, record: Record) -> None:
        cpu = number(record, "cpu")
        if cpu is not None and math.isfinite(cpu):
            self._cpu.add(cpu)
        for gpu, pair in enumerate(zip(shares(record, "gpu"), shares(record, "gpu_memory"), strict=False)):
            windows = self._gpus.setdefault(gpu, (Window(self.parameters.window), Window(self.parameters.window)))
            for window, value in zip(windows, pair, strict=True):
                window.add(value)

    def judge(self, record: Record) -> Iterator[Finding]:
        has_time = len(self._cpu) > 0 and self._cpu.percentile(95) < self.parameters.cpu_threshold_p95
        if self.gpus:
            yield from self._small_for_gpus(record) if has_time else ()
            return
        figures = self._meter.figures()
        if figures is None:
            return
        for cause in slow.worth_it(self._causes(figures, has_time)):
            if self.first(cause.bound):
                yield slow.finding(self, record, cause, figures, cpu_p95=self._cpu.percentile(95))

    def _small_for_gpus(self, record: Record) -> Iterator[Finding]:
        for gpu, windows in self._gpus.items():
            used, memory = (window.percentile(95) for window in windows)
            limits = self.parameters.gpu_threshold_p95, self.parameters.gpu_memory_threshold_p95
            if used < limits[0] and memory < limits[1] and self.first(gpu):
                message = (
                    f"GPU {gpu} is used {used:.0f} % and its memory {memory:.0f} % (95th percentiles), and the "
                    f"processors {self._cpu.percentile(95):.0f} %: all have time for larger batches."
                )
                yield self.found(record, message, self._larger(), gpu=gpu, gpu_p95=used, gpu_memory_p95=memory)

    def _larger(self) -> str:
        settings = self.context.settings
        if settings is None:
            return "Try a batch twice as large."
        return f"Try --set batch_size={2 * settings['batch_size']} (it is {settings['batch_size']})."

    def _causes(self, figures: Figures, has_time: bool) -> list[Cause | None]:
        settings = self.context.settings
        idle = _leaves_time(figures) if has_time else None
        return [causes.lacks_memory(figures, settings), causes.has_small_batches(figures, settings), idle]

    def unfit(self) -> str:
        return self.too_few()


def _leaves_time(figures: Figures) -> Cause | None:
    """A small batch that keeps no more than some of the cores busy, though the loop waits for nothing.

    What could be gained is that the idle cores compute, too.
    """
    batch, threads = figures.batch_size, figures.threads
    if not batch or batch >= causes.USUAL_BATCH or not threads or threads < figures.share:
        return None
    if figures.part("load") >= causes.WAITS or not figures.step_seconds or figures.share < figures.cores:
        return None
    idle = 1 - figures.cpu / figures.cores
    message = f"A batch of {batch} keeps {figures.cpu:.1f} of {figures.cores} cores busy, and the loop does not wait."
    return Cause("compute", max(0.0, idle), message, {"batch_size": str(min(2 * batch, causes.USUAL_BATCH))})
