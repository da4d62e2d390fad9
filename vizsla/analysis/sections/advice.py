"""Recommendations: what to do about this training, first of all."""

from __future__ import annotations

from vizsla.analysis import page, recommendations
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section
from vizsla.words import count, listed


def section(facts: JobFacts) -> Section | None:
    """None for a job without rules, which nobody has judged."""
    if not facts.rules:
        return None
    rows = [
        {"cure": page.prose(each.cure), "message": each.message, "source": listed(each.rules)}
        for each in recommendations.of(facts.rules)
    ]
    html = page.render("advice.html.j2", {"rows": rows, "without": _nothing(facts)})
    return Section("recommendations", "Recommendations", html)


def _nothing(facts: JobFacts) -> str:
    """That no rule found anything is good news only as far as rules had something to look at."""
    judged = [each.name for each in facts.rules if each.status in ("NoIssuesFound", "InProgress")]
    others = [each.name for each in facts.rules if each.name not in judged]
    said = f"{count(len(judged), 'rule')} found nothing to mend{'' if facts.finished else ' so far'}."
    return f"{said} Not judged: {listed(others, most=20)}." if others else said
