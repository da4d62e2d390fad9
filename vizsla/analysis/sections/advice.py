"""Recommendations: what to do about this training, first of all."""

from __future__ import annotations

from vizsla.analysis import page
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section
from vizsla.analysis.recommendations import Recommendation
from vizsla.words import count, duration, listed


def section(facts: JobFacts) -> Section | None:
    """None for a job without rules, which nobody has judged, unless the profiler found something."""
    found = facts.recommendations
    if not facts.rules and not found:
        return None
    rows = [{"cure": page.prose(each.cure), "message": each.message, "source": _source(each)} for each in found]
    html = page.render("advice.html.j2", {"rows": rows, "without": _nothing(facts)})
    return Section("recommendations", "Recommendations", html)


def _source(found: Recommendation) -> str:
    asked = listed(found.rules) or "profiler"
    saved = found.seconds_saved
    return f"{asked}; saves about {duration(saved)} of this job" if saved is not None and saved >= 1 else asked


def _nothing(facts: JobFacts) -> str:
    """That no rule found anything is good news only as far as rules had something to look at."""
    judged = [each.name for each in facts.rules if each.status in ("NoIssuesFound", "InProgress")]
    others = [each.name for each in facts.rules if each.name not in judged]
    said = f"{count(len(judged), 'rule')} found nothing to mend{'' if facts.finished else ' so far'}."
    return f"{said} Not judged: {listed(others, most=20)}." if others else said
