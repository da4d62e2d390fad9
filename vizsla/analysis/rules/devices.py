"""Rules on GPUs. Without a GPU they are not applicable, and say so."""

from __future__ import annotations

import math
from bisect import insort
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import ClassVar

from pydantic import Field

from vizsla.analysis.profiling.usage import percentile
from vizsla.analysis.rules.base import Finding
from vizsla.analysis.rules.samples import Sampled, SampledParameters, shares
from vizsla.keys import Section
from vizsla.records import Record

FARTHEST = 0.8325  # square root of ln 2: no two histograms are further apart
_LARGER_BATCH = "Use a larger batch or network; look first whether Dataloader or CPUBottleneck found something."


class Window:
    """The last so many values, in order of time and of size."""

    def __init__(self, size: int) -> None:
        self._by_time: deque[float] = deque(maxlen=size)
        self._by_size: list[float] = []
        self.highest = 0.0
        """Of all values ever added."""

    def add(self, value: float) -> None:
        if len(self._by_time) == self._by_time.maxlen:
            self._by_size.remove(self._by_time[0])
        self._by_time.append(value)
        insort(self._by_size, value)
        self.highest = max(self.highest, value)

    def __len__(self) -> int:
        return len(self._by_size)

    def percentile(self, percent: float) -> float:
        """The value that `percent` of those in the window lie below; 0 of none."""
        return percentile(self._by_size, percent) if self._by_size else 0.0


class LowGPUUtilizationParameters(SampledParameters):
    """low_gpu_utilization."""

    threshold_p95: float = Field(70.0, ge=0, le=100)
    """A GPU whose 95th percentile is below this is hardly used."""
    threshold_p5: float = Field(10.0, ge=0, le=100)
    """One that is above that, and whose 5th percentile is below this, is used by fits and starts."""
    window: int = Field(500, ge=1)
    """The last so many samples are looked at."""


class LowGPUUtilization(Sampled[LowGPUUtilizationParameters]):
    """GPUs that have too little to do, each by itself."""

    Parameters: ClassVar[type[Section]] = LowGPUUtilizationParameters
    looks_at: ClassVar[str] = "GPUs in system samples"
    meaning: ClassVar[str] = (
        "over the last `window` samples a GPU's 95th percentile is below `threshold_p95`, or its 5th below "
        "`threshold_p5`"
    )
    advice: ClassVar[str] = "a larger batch, more loader workers, or a smaller machine"

    def restart(self) -> None:
        self._windows: defaultdict[int, Window] = defaultdict(lambda: Window(self.parameters.window))

    def take(self, record: Record) -> None:
        for gpu, used in enumerate(shares(record, "gpu")):
            self._windows[gpu].add(used)

    def judge(self, record: Record) -> Iterator[Finding]:
        for gpu, window in self._windows.items():
            p5, p95 = window.percentile(5), window.percentile(95)
            if p95 < self.parameters.threshold_p95:
                said = f"its 95th percentile is {p95:.0f} %, below {self.parameters.threshold_p95:g} %"
                message = f"GPU {gpu} has too little to do: {said if window.highest else 'it was never used'}."
            elif p5 < self.parameters.threshold_p5:
                said = f"its 5th percentile is {p5:.0f} %, its 95th {p95:.0f} %"
                message = f"GPU {gpu} is used by fits and starts: {said}."
            else:
                continue
            if self.first((gpu, p95 < self.parameters.threshold_p95)):
                yield self.found(record, message, _LARGER_BATCH, gpu=gpu, p5=p5, p95=p95)

    def unfit(self) -> str:
        return self.without_gpu() or self.too_few()


class GPUMemoryIncreaseParameters(SampledParameters):
    """gpu_memory_increase."""

    patience: int = Field(1000, ge=1)
    """Samples of a training that are left out: in its beginning memory grows in every training."""
    increase: float = Field(5.0, gt=0, le=100)
    """By how many percent of the GPU's memory (points, not a ratio) it may grow."""
    window: int = Field(10, ge=1)
    """Means of so many samples are compared."""


class Memory:
    """The memory of one GPU: means of windows that do not overlap, as they rise."""

    def __init__(self, window: int) -> None:
        self._last: deque[float] = deque(maxlen=2 * window)
        self._window = window
        self._lowest = math.inf
        self._told = -math.inf  # the mean that was told last

    def grew(self, used: float, increase: float) -> tuple[float, float] | None:
        """(before, now) where the mean is `increase` above the lowest before, and above what was told already."""
        self._last.append(used)
        if len(self._last) < 2 * self._window:
            return None
        both = list(self._last)
        before, now = (math.fsum(half) / self._window for half in (both[: self._window], both[self._window :]))
        self._lowest = min(self._lowest, before)
        if now - self._lowest <= increase or now - self._told <= increase:
            return None
        self._told = now
        return self._lowest, now


class GPUMemoryIncrease(Sampled[GPUMemoryIncreaseParameters]):
    """GPUs whose memory fills up, at once or slowly. What a training takes in its first steps is no increase: nothing
    is compared before patience is over.
    """

    judges_ended = False
    looks_every = 1
    Parameters: ClassVar[type[Section]] = GPUMemoryIncreaseParameters
    looks_at: ClassVar[str] = "GPU memory in system samples"
    meaning: ClassVar[str] = (
        "the mean of `window` samples is more than `increase` points above the lowest mean before it, `patience` "
        "samples left out"
    )
    advice: ClassVar[str] = "look for tensors that are kept with their graphs; a smaller batch if it gets full"

    def restart(self) -> None:
        self._memories: defaultdict[int, Memory] = defaultdict(lambda: Memory(self.parameters.window))

    def take(self, record: Record) -> None:
        """A sample counts once patience is over: in `judge`."""

    def judge(self, record: Record) -> Iterator[Finding]:
        for gpu, used in enumerate(shares(record, "gpu_memory")):
            grown = self._memories[gpu].grew(used, self.parameters.increase)
            if grown:
                before, now = grown
                message = (
                    f"The memory of GPU {gpu} grew from {before:.1f} % to {now:.1f} %, by more than "
                    f"{self.parameters.increase:g} points."
                )
                cure = "Keep numbers, not tensors with their graphs (loss.item()); a smaller batch if it gets full."
                yield self.found(record, message, cure, gpu=gpu, before=before, now=now)

    def unfit(self) -> str:
        return self.without_gpu() or self.too_few()


class LoadBalancingParameters(SampledParameters):
    """load_balancing."""

    threshold: float = Field(0.5, gt=0, le=FARTHEST)
    """How far the histograms of two GPUs may be apart (Jensen-Shannon): 0 are the same, 0.8325 have nothing in
    common. More would never be reached, and is refused."""
    least_points: float = Field(10.0, ge=0, le=100)
    """vizsla's own: the means of the two also have to be this many points apart. Histograms that are neighbours are as
    far apart as any others."""


class LoadBalancing(Sampled[LoadBalancingParameters]):
    """GPUs of one machine of which some do the work of others."""

    Parameters: ClassVar[type[Section]] = LoadBalancingParameters
    looks_at: ClassVar[str] = "GPUs in system samples"
    meaning: ClassVar[str] = "the histograms of how much two GPUs are used are more than `threshold` apart"
    advice: ClassVar[str] = "give each GPU the same share of a batch: DistributedDataParallel, not DataParallel"

    def restart(self) -> None:
        self._histograms: defaultdict[int, list[int]] = defaultdict(lambda: [0] * 51)  # 2 points each; 100 has its own
        self._sums: defaultdict[int, float] = defaultdict(float)

    def take(self, record: Record) -> None:
        for gpu, used in enumerate(shares(record, "gpu")):
            self._histograms[gpu][min(50, max(0, int(used // 2)))] += 1
            self._sums[gpu] += used

    def judge(self, record: Record) -> Iterator[Finding]:
        for one, two in combinations(sorted(self._histograms), 2):
            here, there = self._mean(one), self._mean(two)
            if abs(here - there) < self.parameters.least_points:
                continue
            apart = distance(self._histograms[one], self._histograms[two])
            if apart > self.parameters.threshold and self.first((one, two)):
                message = (
                    f"GPU {one} is used {here:.0f} %, GPU {two} {there:.0f} %, and their histograms {apart:.2f} apart."
                )
                cure = "Give each GPU the same share of a batch: DistributedDataParallel, not DataParallel."
                yield self.found(record, message, cure, distance=apart, threshold=self.parameters.threshold)

    def unfit(self) -> str:
        if self.gpus == 1:
            return "There is one GPU, and nothing to balance."
        return self.without_gpu() or self.too_few()

    def _mean(self, gpu: int) -> float:
        return self._sums[gpu] / sum(self._histograms[gpu])


def distance(one: Sequence[int], two: Sequence[int]) -> float:
    """How far two histograms are apart: the root of the Jensen-Shannon divergence, in natural units."""
    p, q = ([count / sum(each) for count in each] for each in (one, two))
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return math.sqrt(max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2))


def _divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Kullback and Leibler's; q is not 0 where p is not."""
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a)
