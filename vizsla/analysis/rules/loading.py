"""The rule on what loads the photos."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field, model_validator

from vizsla.analysis.profiling import causes
from vizsla.analysis.profiling.causes import Cause
from vizsla.analysis.profiling.meter import Figures, Meter
from vizsla.analysis.rules import slow
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.samples import ProfilerParameters, is_machine, seconds
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import count, percent

LEAST_STEPS = 10  # below which a loop that has ended is not judged
EVERY = 50  # phases between two judgements


class DataloaderParameters(ProfilerParameters):
    """dataloader."""

    min_threshold: float = Field(70.0, ge=0)
    """Where the loop waits for photos, fewer loader workers than this percent of the cores are too few."""
    max_threshold: float = Field(200.0, gt=0)
    """More loader workers than this percent of the cores are too many."""
    patience: float = Field(10.0, ge=0)
    """vizsla's own: seconds of a running loop before the first judgement. One that has ended before is judged by what
    there is, if that is 10 steps."""

    @model_validator(mode="after")
    def _has_a_range(self) -> DataloaderParameters:
        if self.min_threshold > self.max_threshold:
            raise ValueError("min_threshold may not be above max_threshold")
        return self


class Dataloader(Rule[DataloaderParameters]):
    """Loops that wait for their photos, and loader workers that are too many. Few workers are no fault where the loop
    does not wait.
    """

    Parameters: ClassVar[type[Section]] = DataloaderParameters
    looks_at: ClassVar[str] = "phases of training steps; loader workers, system samples"
    meaning: ClassVar[str] = (
        "the loop waits for photos for a tenth of its time and more, or there are more loader workers than "
        "`max_threshold` percent of the cores; fewer than `min_threshold` are named"
    )
    advice: ClassVar[str] = "as many loader workers as cores, smaller photos, or a disk of this machine"

    def __init__(self, name: str, parameters: DataloaderParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._meter = Meter()
        self._seconds = 0.0
        self._phases = 0
        self._last: Record | None = None
        self._told: set[str] = set()

    def see(self, record: Record) -> Iterator[Finding]:
        self._meter.see(record)
        if is_machine(record):
            self._told = set()
        took = seconds(record)
        if took is None or record.mode != "train":
            return
        self._seconds += took
        self._phases += 1
        self.datapoints += record.name == "forward"
        self._last = record
        if self._seconds > self.parameters.patience and self._phases % EVERY == 0:
            yield from self._judge(record)

    def done(self, now: float | None) -> Iterator[Finding]:
        if self._last is not None:
            yield from self._judge(self._last)

    def _judge(self, record: Record) -> Iterator[Finding]:
        figures = self._meter.figures()
        if figures is None or figures.steps < LEAST_STEPS:
            return
        for what, cause in (("waits", self._waits(figures)), ("many", self._many(figures))):
            if cause and what not in self._told:
                self._told.add(what)
                measured = {"load_percent": 100 * figures.part("load"), "cores": figures.share}
                workers = {} if figures.loader_workers is None else {"loader_workers": figures.loader_workers}
                yield slow.finding(self, record, cause, figures, **measured, **workers)

    def _waits(self, figures: Figures) -> Cause | None:
        if cause := causes.waits_for_photos(figures, self.context.settings):
            return cause
        workers, waited = figures.loader_workers, figures.part("load")
        if waited < causes.WAITS or causes.waits_for_disk(figures, self.context.settings):
            return None  # the latter is what IOBottleneck says
        said = f"The loop waits for {'photos' if workers is not None else 'data'} {percent(waited, 0)} of a step's time"
        if workers is None:
            return Cause("loading", waited, f"{said}.", advice=_MORE_WORKERS)
        if workers >= figures.share * self.parameters.min_threshold / 100:
            return None
        text = f"{said} with {count(workers, 'loader worker')} on {count(figures.share, 'core')}."
        return Cause("loading", waited, text, {"run.loader_workers": str(figures.share)})

    def _many(self, figures: Figures) -> Cause | None:
        workers, cores = figures.loader_workers, figures.share
        if workers is None or workers <= cores * self.parameters.max_threshold / 100:
            return None
        cause = causes.too_many_workers(figures, self.context.settings)
        text = f"{count(workers, 'loader worker')} decode on {count(cores, 'core')}."
        return cause or Cause("oversubscription", 0.0, text, {"run.loader_workers": str(cores)})

    def unfit(self) -> str:
        if self._last is None:
            return NO_STEPS
        figures = self._meter.figures()
        if figures is None or figures.steps < LEAST_STEPS:
            return f"The loop made {self.datapoints} steps, and {LEAST_STEPS + 1} are needed: train longer."
        return ""


NO_STEPS = (
    "No training step was recorded: leave profile.enabled on; in a script, use the smdebug hook or "
    "vizsla.profiler.watch (docs/profiler.md)."
)
_MORE_WORKERS = "Load data beside the steps (more num_workers for a DataLoader), from a faster disk, or less of it."
