"""Every rule: how it came out, what it means, what to do, and what it measured against its threshold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from vizsla import keys
from vizsla.analysis import charts, evaluations, measured, page
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.analysis.rules import RULES, Evaluation, Rule
from vizsla.words import NONE, count

MOST_FINDINGS = 5  # of a rule: the first ones tell where it began; the JSON twin has a hundred
_ORDER = ("IssuesFound", "Error", "InProgress", "Stopped", "NoIssuesFound", "NotApplicable")


def section(facts: JobFacts) -> Section | None:
    """None for a job without rules."""
    if not facts.rules:
        return None
    ranked = sorted(facts.rules, key=lambda each: _ORDER.index(each.status))
    parts = [
        page.render("sentences.html.j2", {"sentences": [_counted(ranked)]}),
        *(_verdict(facts, each) for each in ranked),
    ]
    return Section("rules", "Rules", page.joined(parts))


def _counted(ranked: Sequence[Evaluation]) -> str:
    states = Counter(each.status for each in ranked)
    by_state = ", ".join(f"{states[status]} {status}" for status in _ORDER if states[status])
    return f"{count(len(ranked), 'rule')}: {by_state}."


def _verdict(facts: JobFacts, found: Evaluation) -> Markup:
    """One rule in full; open where it found something."""
    rule = next((rule for rule in RULES if rule.__name__ == found.rule), None)
    chart = measured.chart(found, facts.records, evaluations.context(facts.folder, facts.plan))
    values = {
        "title": found.name if found.name == found.rule else f"{found.name} ({found.rule})",
        "status": found.status,
        "counts": f"triggered {count(found.triggered, 'time')} · {count(found.datapoints, 'datapoint')}",
        "open": found.status in ("IssuesFound", "Error"),
        "reason": page.prose(found.reason),
        "meaning": page.prose(_sentence(rule.fires())) if rule else "",
        "looks_at": _sentence(f"Looks at {rule.looks_at}") if rule else "",
        "cures": [page.prose(cure) for cure in _cures(found, rule)],
        "findings": [finding.message for finding in found.findings[:MOST_FINDINGS]],
        "more": found.triggered - min(MOST_FINDINGS, len(found.findings)),
        "chart": charts.html([chart]) if chart else "",
        "parameters": page.table(_parameters(found, rule)) if found.parameters else "",
    }
    return page.render("verdict.html.j2", values)


def _cures(found: Evaluation, rule: type[Rule[Any]] | None) -> list[str]:
    """What to do about what was found; of a rule that found nothing, what one would do."""
    cures = dict.fromkeys(finding.cure for finding in found.findings)
    return list(cures)[:MOST_FINDINGS] if cures else [_sentence(rule.advice)] if rule else []


def _parameters(found: Evaluation, rule: type[Rule[Any]] | None) -> Table:
    documented = {key.name: key for key in keys.declared(rule.Parameters)} if rule else {}
    rows = []
    for name, value in found.parameters.items():
        key = documented.get(name)
        rows.append([name, _text(value), key.default or NONE if key else NONE, page.prose(key.help) if key else ""])
    return Table(("Parameter", "Value", "Documented default", "Meaning"), rows)


def _text(value: object) -> str:
    """A parameter as it would be typed."""
    if value is None:
        return NONE
    return value if isinstance(value, str) else json.dumps(value)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
