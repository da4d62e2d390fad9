"""The rule on steps that take far longer than the others."""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

from pydantic import Field

from vizsla.analysis.profiling.usage import percentile
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.loading import NO_STEPS
from vizsla.analysis.rules.reading import collection
from vizsla.analysis.rules.samples import ProfilerParameters, is_machine, seconds
from vizsla.analysis.rules.selection import MaybeMode
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import count, duration, percent

LEAST_STEPS = 100  # there have to be more
GROWTH = 1.25  # times as many steps from one judgement of a running loop to the next


class StepOutlierParameters(ProfilerParameters):
    """step_outlier."""

    stddev: float = Field(3.0, gt=0)
    """A step is an outlier where it takes this many standard deviations longer than the mean."""
    mode: MaybeMode = None
    """TRAIN, EVAL, PREDICT or GLOBAL; without it each by itself."""
    n_outliers: int = Field(10, ge=0)
    """There have to be more outliers than this."""
    least_percent: float = Field(2.0, ge=0, le=100)
    """vizsla's own: what outliers take beyond the median also has to be this percent of all steps' time; 0 asks
    nothing."""


class _Outliers(NamedTuple):
    """What was found among the steps of one mode."""

    steps: int
    outliers: int
    limit: float
    mean: float
    longest: float
    at: int
    """The step that took longest."""
    lost: float
    """Seconds beyond the median."""
    share: float
    """Of all steps' time."""
    phase: str
    """Where most of them lost it."""


class Course:
    """The steps of one mode: what each took, phase by phase. Phases of two steps may come in turn."""

    def __init__(self) -> None:
        self._open: dict[int, dict[str, float]] = {}
        self._phases: dict[str, array[float]] = {}
        self._numbers: array[int] = array("q")
        self.let_be: set[int] = set()
        """Steps that are slower for a known reason."""
        self.saved: set[int] = set()
        """Steps whose tensors were recorded; let be as well, where there are enough others."""

    def add(self, step: int, phase: str, took: float) -> None:
        """Takes in a phase. Two steps later the step is known whole."""
        if step not in self._open:
            ended = [number for number in self._open if number < step - 1]
            for number in ended:
                self._close(number)
            self._open[step] = defaultdict(float)
        self._open[step][phase] += took

    def __len__(self) -> int:
        """Steps that are known whole."""
        return len(self._numbers)

    def end(self) -> None:
        """Nothing more comes of the steps so far."""
        for number in list(self._open):
            self._close(number)

    def _close(self, number: int) -> None:
        for phase, took in self._open.pop(number).items():
            values = self._phases.setdefault(phase, array("d"))
            values.extend([0.0] * (len(self._numbers) - len(values)))
            values.append(took)
        self._numbers.append(number)

    def outliers(self, stddev: float) -> _Outliers | None:
        """None where there are not enough steps, or no outlier."""
        rows = self._judged()
        if len(rows) <= LEAST_STEPS:
            return None
        phases = {name: self._padded(values) for name, values in self._phases.items()}
        totals = {at: math.fsum(values[at] for values in phases.values()) for at in rows}
        mean = math.fsum(totals.values()) / len(rows)
        limit = mean + stddev * math.sqrt(math.fsum((each - mean) ** 2 for each in totals.values()) / len(rows))
        found = [at for at in rows if totals[at] > limit]
        if not found:
            return None
        median = percentile(sorted(totals.values()), 50)
        worst = max(found, key=totals.__getitem__)
        lost = math.fsum(totals[at] - median for at in found)
        where = _where(found, {name: (values, _median(values, rows)) for name, values in phases.items()})
        return _Outliers(
            *(len(rows), len(found), limit, mean, totals[worst], self._numbers[worst]),
            *(lost, lost / (mean * len(rows)), where),
        )

    def _judged(self) -> list[int]:
        """The places of the steps that are held against each other."""
        rows = [at for at, number in enumerate(self._numbers) if number not in self.let_be]
        others = [at for at in rows if self._numbers[at] not in self.saved]
        return others if len(others) > LEAST_STEPS else rows

    def _padded(self, values: array[float]) -> array[float]:
        values.extend([0.0] * (len(self._numbers) - len(values)))
        return values


def _median(values: Sequence[float], rows: Sequence[int]) -> float:
    return percentile(sorted(values[at] for at in rows), 50)


def _where(found: Sequence[int], phases: Mapping[str, tuple[Sequence[float], float]]) -> str:
    """The phase in which most of `found` took longer than that phase mostly does."""
    slowest = (max(phases, key=lambda name: phases[name][0][at] - phases[name][1]) for at in found)
    return Counter(slowest).most_common(1)[0][0]


class StepOutlier(Rule[StepOutlierParameters]):
    """Steps that take far longer than the others. Let be are the first step of an attempt and of an epoch, steps under
    the operator profile, and those whose tensors the debugger recorded: all of them are slower for a known reason.
    """

    Parameters: ClassVar[type[Section]] = StepOutlierParameters
    looks_at: ClassVar[str] = "phases of steps"
    meaning: ClassVar[str] = (
        "more than `n_outliers` of more than 100 steps take `stddev` standard deviations longer than the mean"
    )
    advice: ClassVar[str] = "look in the report what the machine did at those steps, and in which phase they were"

    def __init__(self, name: str, parameters: StepOutlierParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._courses: dict[str, Course] = {}
        self._next: dict[str, float] = {}
        self._begun: set[tuple[str, int | None]] = set()  # modes and epochs whose first step was seen
        self._told: set[str] = set()

    def see(self, record: Record) -> Iterator[Finding]:
        if is_machine(record):
            self._begun.clear()
            self._end()
        if record.mode is None or record.step is None or record.kind not in ("phase", "tensor"):
            return
        if self.parameters.mode not in (None, record.mode):
            return
        took = seconds(record)
        if took is None:
            self._let_be(record.mode, record)
            return
        course = self._courses.setdefault(record.mode, Course())
        turn = record.mode, record.epoch if record.mode == "train" else None  # an epoch has one evaluation
        if turn not in self._begun:
            self._begun.add(turn)
            course.let_be.add(record.step)
        before = len(course)
        course.add(record.step, record.name, took)
        self.datapoints += len(course) - before
        if len(course) > self._next.get(record.mode, LEAST_STEPS):
            self._next[record.mode] = len(course) * GROWTH
            yield from self._judged(record.mode, course)

    def _let_be(self, mode: str, record: Record) -> None:
        """Notes steps that were slowed down by whoever looked at them."""
        course = self._courses.setdefault(mode, Course())
        if record.kind == "phase":
            course.let_be.update(_profiled(record))
        elif collection(record) != "losses" and record.step is not None:  # a loss alone costs nothing
            course.saved.add(record.step)

    def done(self, now: float | None) -> Iterator[Finding]:
        self._end()
        for mode, course in self._courses.items():
            yield from self._judged(mode, course)

    def _end(self) -> None:
        for course in self._courses.values():
            before = len(course)
            course.end()
            self.datapoints += len(course) - before

    def _judged(self, mode: str, course: Course) -> Iterator[Finding]:
        if mode in self._told:
            return
        found = course.outliers(self.parameters.stddev)
        if found and found.outliers > self.parameters.n_outliers and 100 * found.share >= self.parameters.least_percent:
            self._told.add(mode)
            yield self._finding(mode, found)

    def _finding(self, mode: str, found: _Outliers) -> Finding:
        words = {"eval": "evaluation ", "predict": "prediction "}.get(mode, "")
        message = (
            f"{found.outliers} of {count(found.steps, f'{words}step')} took longer than {_time(found.limit)} (mean "
            f"{_time(found.mean)} + {self.parameters.stddev:g} standard deviations), step {found.at} "
            f"{_time(found.longest)}: {percent(found.share, 0)} of the time was lost, mostly in {found.phase}."
        )
        measured = {
            "outliers": found.outliers,
            "steps": found.steps,
            "mean_s": found.mean,
            "limit_s": found.limit,
            "longest_s": found.longest,
            "percent_saved": 100 * found.share,
            "seconds_saved": found.lost,
        }
        return Finding(self.name, message, _CURES.get(found.phase, _ELSEWHERE), mode, found.at, numbers=measured)

    def unfit(self) -> str:
        if not self.datapoints:
            return NO_STEPS
        if any(len(course) > LEAST_STEPS for course in self._courses.values()):
            return ""
        return f"There were {count(self.datapoints, 'step')}, and more than {LEAST_STEPS} are needed: train longer."


def _profiled(record: Record) -> Sequence[int]:
    """The steps under the operator profile, and those beside them, in which it begins and ends."""
    if record.name != "profile" or record.step is None or not isinstance(record.value, Mapping):
        return ()
    steps = record.value.get("steps")
    return range(record.step - 1, record.step + steps + 1) if isinstance(steps, int) else ()


def _time(took: float) -> str:
    return f"{1000 * took:.3g} ms" if took < 1 else duration(took)


_ELSEWHERE: Final = (
    "Look in the report what the machine did at those steps: other programs, a full memory, a processor that got hot."
)
_CURES: Final = {
    "load": "Look for photos that are far larger than the others, and for what else uses the disk; more loader workers "
    "(run.loader_workers; a script's num_workers) hide it.",
    "observe": "Let less be looked at, or less often: --set debug.save_every=100; in a script, log less often.",
}
