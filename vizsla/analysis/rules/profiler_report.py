"""The rule that asks all others of the profiler's at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import ConfigDict

from vizsla import keys
from vizsla.analysis.rules.base import Context, Finding, Rule, snake
from vizsla.analysis.rules.batches import BatchSize
from vizsla.analysis.rules.beginning import MaxInitializationTime
from vizsla.analysis.rules.devices import GPUMemoryIncrease, LoadBalancing, LowGPUUtilization
from vizsla.analysis.rules.loading import Dataloader
from vizsla.analysis.rules.overall import OverallFrameworkMetrics, OverallSystemUsage
from vizsla.analysis.rules.processors import CPUBottleneck, IOBottleneck
from vizsla.analysis.rules.samples import ProfilerParameters
from vizsla.analysis.rules.steps import StepOutlier
from vizsla.errors import UserError
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import listed

ASKED: Final[tuple[type[Rule[Any]], ...]] = (
    *(CPUBottleneck, IOBottleneck, Dataloader, BatchSize, StepOutlier, MaxInitializationTime),
    *(LowGPUUtilization, GPUMemoryIncrease, LoadBalancing, OverallSystemUsage, OverallFrameworkMetrics),
)


class ProfilerReportParameters(ProfilerParameters):
    """profiler_report. What is not here is a parameter of a rule it asks, such as CPUBottleneck_cpu_threshold."""

    model_config = ConfigDict(extra="allow")

    @property
    def others(self) -> Mapping[str, str]:
        """`<RuleName>_<parameter>` → value, as they were given."""
        return self.model_extra or {}


class ProfilerReport(Rule[ProfilerReportParameters]):
    """All other rules of the profiler's at once, over the same records. Their parameters are given as
    `<RuleName>_<parameter>`, such as `CPUBottleneck_cpu_threshold=95`; what is not given is as documented. What they
    find is found here, under their names.
    """

    Parameters: ClassVar[type[Section]] = ProfilerReportParameters
    looks_at: ClassVar[str] = "all that the profiler records"
    meaning: ClassVar[str] = "any of the other rules of the profiler's finds something"
    advice: ClassVar[str] = "what the rule that found it advises"

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> ProfilerReportParameters:
        """As every rule does; a parameter of another rule is checked by that one."""
        others = {name: value for name, value in given.items() if _owner(name)}
        own = super().parse({name: value for name, value in given.items() if name not in others})
        kept: dict[str, Any] = own.model_dump()
        for rule, theirs in _by_rule(others).items():
            rule.parse(theirs)
            kept |= {f"{rule.__name__}_{name}": value for name, value in theirs.items()}
        return ProfilerReportParameters.model_validate(kept)

    @classmethod
    def unknown(cls, name: str, names: Sequence[str]) -> UserError:
        every = [f"{rule.__name__}_{key.name}" for rule in ASKED for key in keys.declared(rule.Parameters)]
        return super().unknown(name, [*names, *(each for each in every if not each.endswith(tuple(names)))])

    def __init__(self, name: str, parameters: ProfilerReportParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        given = _by_rule(parameters.others)
        self._rules = [rule(rule.__name__, rule.parse(given.get(rule, {})), context) for rule in ASKED]
        self._ended = False

    def see(self, record: Record) -> Iterator[Finding]:
        for rule in self._rules:
            yield from rule.see(record)
        self.datapoints = sum(rule.datapoints for rule in self._rules)

    def tick(self, now: float) -> Iterator[Finding]:
        for rule in self._rules:
            yield from rule.tick(now)

    def done(self, now: float | None) -> Iterator[Finding]:
        self._ended = True
        for rule in self._rules:
            yield from rule.done(now)

    def unfit(self) -> str:
        unfit = [rule.unfit() for rule in self._rules]
        return "" if not all(unfit) else " ".join(dict.fromkeys(unfit))

    def remark(self) -> str:
        unfit = [type(rule).__name__ for rule in self._rules if self._ended and rule.unfit()]
        return f"Not judged: {listed(unfit, most=len(ASKED))}." if unfit else ""


def _by_rule(others: Mapping[str, str]) -> dict[type[Rule[Any]], dict[str, str]]:
    found: dict[type[Rule[Any]], dict[str, str]] = {}
    for given, value in others.items():
        if owner := _owner(given):
            found.setdefault(owner[0], {})[owner[1]] = value
    return found


def _owner(given: str) -> tuple[type[Rule[Any]], str] | None:
    """The rule that `StepOutlier_stddev` (or `step_outlier_stddev`, in any case) is of, and its name there."""
    name = given.replace("-", "_")
    for rule in ASKED:
        for prefix in (rule.__name__, snake(rule)):
            if name.lower().startswith(f"{prefix.lower()}_"):
                return rule, name[len(prefix) + 1 :].lower()
    return None
