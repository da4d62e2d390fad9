"""What a job was asked to do, with what differs from the defaults first, and how this machine did it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vizsla import backbones, keys
from vizsla.analysis import page
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section, Table
from vizsla.keys import Key
from vizsla.plan import Plan
from vizsla.words import NONE


def section(facts: JobFacts) -> Section:
    """The plan of the built-in classifier, or the hyperparameters of a script as they were given."""
    values: dict[str, object] = {
        "entry_point": facts.job.entry_point,
        "hyperparameters": _hyperparameters(facts),
        "changed": "",
        "unchanged": "",
        "execution": page.table(_named(facts.execution)) if facts.execution else "",
    }
    if facts.plan:
        values |= _planned(facts.plan)
    return Section("settings", "Settings", page.render("settings.html.j2", values))


def changed(plan: Plan) -> dict[str, str]:
    """The settings of a plan that are not the defaults, by key, as a user would type them."""
    return {key.name: value for key, value, default in _settings(plan) if value != default}


def _planned(plan: Plan) -> dict[str, object]:
    found = _settings(plan)
    changed = [_row(*setting) for setting in found if setting[1] != setting[2]]
    unchanged = [[key.name, value or NONE, _meaning(key)] for key, value, default in found if value == default]
    return {
        "changed": page.table(Table(("Setting", "Value", "Default", "Meaning"), changed)) if changed else "",
        "unchanged": page.table(Table(("Setting", "Value", "Meaning"), unchanged)),
    }


def _settings(plan: Plan) -> list[tuple[Key, str, str]]:
    """Each key with its value and its default; the photo's size is by default the backbone's own."""
    own = {"image.size": str(backbones.find(plan.model).size)}
    values = plan.model_dump(mode="json")
    return [(key, _value(values, key.name), own.get(key.name, key.default)) for key in keys.declared(Plan)]


def _value(values: Mapping[str, Any], name: str) -> str:
    """The value of a dotted key as text, written like the defaults of `keys.declared`."""
    value: Any = values
    for part in name.split("."):
        value = value[part]
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row(key: Key, value: str, default: str) -> Sequence[str]:
    return [key.name, value or NONE, default or NONE, _meaning(key)]


def _meaning(key: Key) -> str:
    return key.help.replace("`", "")


def _hyperparameters(facts: JobFacts) -> str:
    if facts.plan or not facts.job.hyperparameters:
        return ""
    return page.table(_named(facts.job.hyperparameters))


def _named(values: Mapping[str, Any]) -> Table:
    return Table(("Name", "Value"), [[name, NONE if value is None else str(value)] for name, value in values.items()])
