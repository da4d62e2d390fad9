"""What the code says about rules, as tables of docs/rules.md: `docs/build.py` puts them between their marks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from vizsla import keys
from vizsla.analysis import defaults
from vizsla.analysis.rules.base import Rule, snake
from vizsla.analysis.rules.registry import PROFILER, RULES, TENSOR_RULES, find

_BLOCK = re.compile(r"(<!-- built: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """`page` with what lies between `<!-- built: NAME -->` and `<!-- end -->` written anew.

    Raises KeyError for a name that there is no table for.
    """
    tables: dict[str, Callable[[], str]] = {
        "rules": partial(rules_table, TENSOR_RULES),
        "profiler": partial(rules_table, PROFILER),
        "parameters": parameters_tables,
        "profile": profile_table,
    }
    return _BLOCK.sub(lambda found: f"{found[1]}\n{tables[found[2]]()}\n{found[3]}", page)


def rules_table(rules: Iterable[type[Rule[Any]]]) -> str:
    """A line a rule: what it looks at, when it fires, what to do."""
    rows = [
        f"| [`{snake(rule)}`](#{snake(rule)}) | {rule.looks_at} | {rule.meaning} | {rule.advice} |" for rule in rules
    ]
    return "\n".join(["| rule | looks at | fires when | what to do |", "|---|---|---|---|", *rows, ""])


def parameters_tables() -> str:
    """Every rule with its parameters and their defaults."""
    return "\n".join(f"### {snake(rule)}\n\n{_about(rule)}\n\n{_parameters(rule)}" for rule in RULES)


def profile_table() -> str:
    """Where the default rules of `vizsla train` differ from what is documented, and why."""
    rows = ["| rule | parameter | documented | `vizsla train` | why |", "|---|---|---|---|---|"]
    for rule, differences in defaults.PROFILE.items():
        documented = {key.name: key.default for key in keys.declared(find(rule).Parameters)}
        rows += [
            f"| `{snake(find(rule))}` | `{each.parameter}` | {_code(documented[each.parameter])} | "
            f"{_code(each.value)} | {each.reason} |"
            for each in differences
        ]
    return "\n".join([*rows, ""])


def _about(rule: type[Rule[Any]]) -> str:
    return f"`{rule.__name__}`: {' '.join((rule.__doc__ or '').split())} {rule.fires()}."


def _parameters(rule: type[Rule[Any]]) -> str:
    lines = ["| parameter | default | meaning |", "|---|---|---|"]
    lines += [f"| `{key.name}` | {_code(key.default)} | {_plain(key.help)} |" for key in keys.declared(rule.Parameters)]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Text as code in a table's cell; nothing for nothing."""
    return f"`{text}`".replace("|", r"\|") if text else ""


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
