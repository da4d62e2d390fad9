"""Rules that never find anything: they say where the time went. The report has the same as tables and plots."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Final

from vizsla.analysis.profiling.phases import Totals
from vizsla.analysis.profiling.usage import Table
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.loading import NO_STEPS
from vizsla.analysis.rules.samples import NO_SAMPLES, ProfilerParameters, is_sample, seconds
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import duration, number, percent

_SAID: Final = frozenset({"CPU, all cores", "CPU, the job", "I/O wait", "Memory", "GPU", "GPU memory"})


class OverallSystemUsageParameters(ProfilerParameters):
    """overall_system_usage."""


class OverallSystemUsage(Rule[OverallSystemUsageParameters]):
    """How the machine was used, from the first moment of the job to its last. It never finds anything; what it says is
    the reason of its evaluation.
    """

    Parameters: ClassVar[type[Section]] = OverallSystemUsageParameters
    looks_at: ClassVar[str] = "system samples"
    meaning: ClassVar[str] = "never: it says how much of the processors, memory and GPUs was used"
    advice: ClassVar[str] = "look at System in the report"

    def __init__(self, name: str, parameters: OverallSystemUsageParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._table = Table()

    def see(self, record: Record) -> Iterator[Finding]:
        self.datapoints += is_sample(record)
        self._table.see(record)
        yield from ()

    def unfit(self) -> str:
        return "" if self.datapoints else NO_SAMPLES

    def remark(self) -> str:
        rows = [each for each in self._table.metrics() if each.name in _SAID and each.unit.startswith("%")]
        figures = [f"{each.name} {number(each.p50)} {each.unit} (p95 {number(each.p95)})" for each in rows]
        return f"Medians: {', '.join(figures)}." if figures else ""


class OverallFrameworkMetricsParameters(ProfilerParameters):
    """overall_framework_metrics."""


class OverallFrameworkMetrics(Rule[OverallFrameworkMetricsParameters]):
    """Where the loop's time went, by phase. It never finds anything; what it says is the reason of its evaluation."""

    Parameters: ClassVar[type[Section]] = OverallFrameworkMetricsParameters
    looks_at: ClassVar[str] = "phases"
    meaning: ClassVar[str] = "never: it says which share of the time each phase took"
    advice: ClassVar[str] = "look at Where the time goes in the report"

    def __init__(self, name: str, parameters: OverallFrameworkMetricsParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._totals = Totals()

    def see(self, record: Record) -> Iterator[Finding]:
        if seconds(record) is not None:
            self.datapoints += 1
            self._totals.see(record)
        yield from ()

    def unfit(self) -> str:
        return "" if self.datapoints else NO_STEPS

    def remark(self) -> str:
        phases = self._totals.phases()
        whole = math.fsum(each.seconds for each in phases)
        shares = [f"{each.name} {percent(each.seconds / whole, 0)}" for each in phases if whole]
        return f"Of {duration(whole)}: {', '.join(shares)}." if shares else ""
