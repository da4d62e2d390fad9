"""What does this machine do fastest? Each way to do the work is tried for a moment, and the quickest is taken.

Asked by `execution.choose` where no choice is kept. What is tried comes from outside as `Work` (`trying.py` has the
real one), and so does the clock, so the choosing can be followed without a network or a photo. One question after
another: what runs the frozen part, how images lie in memory, how many threads compute, how many decode. What is given
is not asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from vizsla.errors import VizslaError
from vizsla.job import RunSettings
from vizsla.training.execution import Execution, MemoryFormat, has_bfloat16

BUDGET_S = 5.0  # beside the export of the frozen part
MOMENT_S, PASSES = 0.25, 3  # for a way to do it, once it is warm: whichever comes first
CLEARLY = 1.05  # an unusual memory format is taken only where it is faster by more than measurements differ by
# Fewer threads look faster for a moment whenever somebody else needs a core; on a quiet machine they rarely are.
FEWER_THREADS = 1.25
AS_GOOD = 0.97  # the fewest decoding threads within so much of the best: others only take cores from the network
LOSSES_DIFFER = 0.01  # at most, between the precisions, relative to float32
FEWEST, MOST = 64, 256  # training photos for that comparison
READ_FEWEST, READ_MOST = 16, 96  # photos read to compare numbers of decoding threads

Pass = Callable[[], int]
"""Does the work once and says how many photos that were."""


class Work(Protocol):
    """What there is to do, in whatever way an execution says."""

    def frozen(self, how: Execution) -> Pass | None:
        """Photos through the frozen part; None where nothing is frozen. VizslaError where an engine cannot run it."""

    def trained(self, how: Execution) -> Pass | None:
        """A training step of what is not frozen; None where nothing is trained by steps."""

    def read(self, how: Execution, photos: int) -> Pass:
        """So many photos decoded, and through the frozen part meanwhile."""

    def losses(self, how: Execution, other: Execution, photos: int) -> tuple[float, float] | None:
        """The valid losses of a probe on so many training photos, both ways; None where there can be no probe."""


class Budget:
    """The time there is for measuring, question by question: `left_s` is what is left for the one that is asked."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._ends = clock, clock() + seconds
        self._question_ends = self._ends
        self.last_s = 0.0  # what the last pass took

    @property
    def left_s(self) -> float:
        return self._question_ends - self._clock()

    def ask(self, share: float) -> None:
        """The next question may take this share of the time that is left, so that the later ones have some too."""
        now = self._clock()
        self._question_ends = now + share * (self._ends - now)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What happens in here takes nothing from the budget."""
        begun = self._clock()
        yield
        seconds = self._clock() - begun
        self._ends, self._question_ends = self._ends + seconds, self._question_ends + seconds

    def rate(self, once: Pass) -> tuple[float, float]:
        """(photos a second of the quickest pass, seconds it took). The first warms up, and counts if no other fits."""
        first, seconds = self.timed(once)
        until, found = self._clock() + MOMENT_S, list[tuple[float, float]]()
        while self.left_s > seconds and (not found or (self._clock() < until and len(found) < PASSES)):
            found.append(self.timed(once))
        return max(found, default=(first, seconds))

    def timed(self, once: Pass) -> tuple[float, float]:
        """(photos a second, seconds) of one pass."""
        begun = self._clock()
        photos = once()
        self.last_s = seconds = max(self._clock() - begun, 1e-9)
        return photos / seconds, seconds


def measure(
    usual: Execution, given: RunSettings, work: Work, clock: Callable[[], float] = time.perf_counter
) -> Execution:
    """`usual` with what is fastest here in the place of all that is not given; `why` and `rates` say what was found.

    Raises VizslaError where nothing can run the frozen part.
    """
    asking = _Asking(given, work, Budget(BUDGET_S, clock))
    how = asking.loader_workers(asking.threads(asking.memory_format(asking.engine(usual))))
    return replace(how, why=tuple(asking.why), rates=asking.rates)


@dataclass(frozen=True, slots=True)
class _Asking:
    """The questions of one choice. Each takes the answers so far, and adds to `why` and `rates`."""

    given: RunSettings
    work: Work
    budget: Budget
    why: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)

    def engine(self, usual: Execution) -> Execution:
        """What runs the frozen part, in which precision and, for torch, with which memory format."""
        self.budget.ask(0.5)
        ways = _ways(usual, self.given)
        if len(ways) == 1:
            return ways[0]
        if not (found := self._tried(ways)):
            return usual
        chosen = self._in_agreement(sorted(found, key=lambda each: -each[0]))
        self.rates["frozen"] = chosen[0]
        self.why.append(_against("frozen part in ", chosen, found))
        return chosen[1]

    def memory_format(self, how: Execution) -> Execution:
        """How images lie in memory in training; torch's frozen part has decided that already."""
        self.budget.ask(0.35)
        settled = self.given.memory_format or ("frozen" in self.rates and how.engine == "torch")
        formats: tuple[MemoryFormat, ...] = (how.memory_format,) if settled else ("channels_last", "contiguous")
        found: list[tuple[float, Execution]] = []
        for memory_format in formats:
            way = replace(how, memory_format=memory_format)
            with self.budget.beside():
                once = self.work.trained(way)
            if once and self.budget.left_s > 0:
                found.append((self.budget.rate(once)[0], way))
        if not found:
            return how
        chosen = max(found, key=lambda each: each[0] * (CLEARLY if each[1].memory_format == how.memory_format else 1))
        self.rates["train"] = chosen[0]
        if len(found) > 1:
            self.why.append(
                f"trained part in {chosen[1].memory_format}: {_shown(chosen[0])} img/s against "
                + ", ".join(f"{_shown(rate)} in {way.memory_format}" for rate, way in found if way != chosen[1])
            )
        return chosen[1]

    def threads(self, how: Execution) -> Execution:
        """All cores of the share, or half of them where those are faster."""
        name = "frozen" if "frozen" in self.rates else "train"
        if self.given.threads or how.threads == 1 or name not in self.rates:
            return how
        self.budget.ask(0.25)
        fewer = replace(how, threads=how.threads // 2)
        with self.budget.beside():
            once = self.work.frozen(fewer) if name == "frozen" else self.work.trained(fewer)
        if once is None or self.budget.left_s <= self.budget.last_s:
            return how
        before, (after, _) = self.rates[name], self.budget.rate(once)
        chosen, rate, other = (how, before, after) if after < FEWER_THREADS * before else (fewer, after, before)
        self.rates[name] = rate
        others = fewer.threads if chosen is how else how.threads
        self.why.append(f"threads {chosen.threads}: {_shown(rate)} img/s against {_shown(other)} with {others}")
        return chosen

    def loader_workers(self, how: Execution) -> Execution:
        """The fewest threads that decode as fast as any number tried, beside the frozen part."""
        self.budget.ask(1.0)
        counts = self._counts(how)
        found: dict[int, float] = {}
        share_s, seconds = self.budget.left_s / (2 * len(counts)), 0.0
        photos = round(min(READ_MOST, max(READ_FEWEST, self.rates.get("frozen", READ_MOST) * share_s)))
        if "frozen" in self.rates:
            seconds = photos / self.rates["frozen"]
        for count in counts:
            if self.budget.left_s <= seconds:
                break
            with self.budget.beside():
                once = self.work.read(replace(how, loader_workers=count), photos)
            found[count], seconds = self.budget.timed(once)
        if not found:
            return how
        best = max(found.values())
        chosen = min(count for count, rate in found.items() if rate >= AS_GOOD * best)
        self.rates["read"] = found[chosen]
        if self.given.loader_workers is None:
            tried = ", ".join(f"{_shown(found[count])} img/s with {count}" for count in sorted(found))
            self.why.append(f"loader workers {chosen}: {tried}")
        return replace(how, loader_workers=chosen)

    def _counts(self, how: Execution) -> Sequence[int]:
        if self.given.loader_workers is not None:
            return (self.given.loader_workers,)
        share = how.loader_workers
        return tuple(dict.fromkeys([share, share // 2, 1, 0]))

    def _tried(self, ways: Sequence[Execution]) -> list[tuple[float, Execution]]:
        found: list[tuple[float, Execution]] = []
        seconds = 0.0  # that the one before took, once
        for way in ways:
            if found and self.budget.left_s <= seconds:
                self.why.append(f"there was no time to try {_named(way)}")
                continue
            try:
                with self.budget.beside():
                    once = self.work.frozen(way)
            except VizslaError as error:
                if way is ways[-1] and not found:
                    raise
                self.why.append(f"not in {_named(way)}: {error.message.rstrip('.')}")
                continue
            if once is None:
                return []
            rate, seconds = self.budget.rate(once)
            found.append((rate, way))
        return found

    def _in_agreement(self, found: Sequence[tuple[float, Execution]]) -> tuple[float, Execution]:
        """The quickest; one in bfloat16 only where a probe says that nothing is lost by it."""
        exact = next(((rate, way) for rate, way in found if way.precision == "float32"), None)
        for rate, way in found:
            if way.precision == "float32" or self.given.precision or exact is None:
                return rate, way
            self.budget.ask(0.75)
            photos = min(MOST, int(self.budget.left_s / (1 / rate + 1 / exact[0])))
            if photos < FEWEST:
                self.why.append("not in bfloat16: there was no time to compare a probe in both precisions")
                return exact
            losses = self.work.losses(way, exact[1], photos)
            if losses is None:
                self.why.append("not in bfloat16: there can be no probe to compare the precisions by")
                return exact
            reduced, full = losses
            apart = abs(reduced - full) / max(abs(full), 1e-12)
            if apart <= LOSSES_DIFFER:
                self.why.append(f"bfloat16: a probe on {photos} photos has the same valid loss within {apart:.1%}")
                return rate, way
            self.why.append(f"not in bfloat16: a probe on {photos} photos has a valid loss {apart:.1%} apart")
            return exact
        raise ValueError("nothing was tried")


def _ways(usual: Execution, given: RunSettings) -> list[Execution]:
    """What can run the frozen part, the likeliest to be fastest first. ONNX Runtime has one precision and layout."""
    ways = []
    if given.engine != "torch" and given.precision != "bfloat16":
        ways.append(replace(usual, engine="onnxruntime", precision="float32"))
    if given.engine == "onnxruntime":
        return ways
    eager = replace(usual, engine="torch")
    if given.precision is None and has_bfloat16():
        ways.append(replace(eager, precision="bfloat16"))
    ways.append(eager)
    if given.memory_format is None:
        ways.append(replace(eager, memory_format="contiguous"))
    return ways


def _against(what: str, chosen: tuple[float, Execution], found: Sequence[tuple[float, Execution]]) -> str:
    others = [f"{_shown(rate)} in {_named(way)}" for rate, way in found if way != chosen[1]]
    said = f"{what}{_named(chosen[1])}: {_shown(chosen[0])} img/s"
    return f"{said} against {', '.join(others)}" if others else said


def _named(way: Execution) -> str:
    if way.engine == "onnxruntime":
        return f"ONNX Runtime {way.precision}"
    return f"torch {way.precision} {way.memory_format}"


def _shown(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
