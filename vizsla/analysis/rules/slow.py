"""What holds a training up, as findings: the causes that `profiling` knows, in the words of rules.

Rules and the report's verdict ask the same functions about the same figures, so they never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vizsla.analysis.profiling.bound import WORTH_IT, typed
from vizsla.analysis.profiling.causes import Cause, of_script
from vizsla.analysis.profiling.meter import Figures
from vizsla.analysis.rules.base import Finding, Rule
from vizsla.records import Record


def worth_it(causes: Iterable[Cause | None]) -> list[Cause]:
    """Those whose end would be noticed."""
    return [cause for cause in causes if cause is not None and (cause.urgent or cause.share >= WORTH_IT)]


def finding(rule: Rule[Any], record: Record, cause: Cause, figures: Figures, **numbers: float) -> Finding:
    """What `rule` found at `record`: a cause, with what it costs."""
    saved = cause.share * figures.loop_seconds
    more = {"percent_saved": 100 * cause.share, "seconds_saved": saved}
    return rule.found(record, cause.message, cure(rule, cause), **numbers, **more)


def cure(rule: Rule[Any], cause: Cause) -> str:
    """What to type, or for a script what to write."""
    told = of_script(cause) if rule.context.settings is None else cause
    return typed(told.settings, [told.advice])
