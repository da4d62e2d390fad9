"""Writes the pages that are built from what the code says: docs/settings.md, docs/commands.md, tables of docs/rules.md.

`make docs` runs it; tests/test_docs.py fails when a page is stale.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vizsla import keys
from vizsla.analysis.rules import tables
from vizsla.job import Launch
from vizsla.plan import Plan

DOCS = Path(__file__).parent
COMMANDS = (
    *("train", "run", "tune", "debug", "profile", "export", "report", "ps", "show", "logs", "stop", "rm", "rebuild"),
    *("predict", "evaluate", "data check", "data import", "models", "plan", "cache", "cache clear", "demo"),
)

SETTINGS_TOP = """# Settings

Built by `make docs` from `vizsla/plan.py` and `vizsla/job.py`.

Every setting is given as `--set key=value`; `-` and `_` are one. An unknown key is an error that names the nearest.

## The plan

These decide what is trained. Two trainings with the same plan, photos and execution give the same losses bit for bit.

"""
LAUNCH_TOP = """
## The launch

These say how this machine does it, and never change the plan. What is not given is chosen by the worker and written to
`checkpoints/vizsla/execution.json`.

"""


def settings_page() -> str:
    """docs/settings.md."""
    return SETTINGS_TOP + _table(keys.declared(Plan)) + LAUNCH_TOP + _table(keys.declared(Launch))


def commands_page() -> str:
    """docs/commands.md: what --help says of each command."""
    parts = ["# Commands\n\nBuilt by `make docs` from `--help`.\n"]
    parts += [f"## vizsla {name}\n\n```\n{_help(name)}\n```\n" for name in COMMANDS]
    return "\n".join(parts)


def pages() -> dict[Path, str]:
    """Every page that is built, by the place it lies."""
    rules = DOCS / "rules.md"
    return {
        DOCS / "settings.md": settings_page(),
        DOCS / "commands.md": commands_page(),
        rules: tables.filled(rules.read_text(encoding="utf-8")),
    }


def _table(rows: list[keys.Key]) -> str:
    lines = ["| key | default | meaning |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {f'`{row.default}`' if row.default else ''} | {row.help} |" for row in rows]
    return "\n".join(lines) + "\n"


def _help(command: str) -> str:
    plain = {**os.environ, "TYPER_USE_RICH": "0", "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "vizsla", *command.split(), "--help"],
        capture_output=True,
        text=True,
        env=plain,
        check=True,
    )
    return done.stdout.strip().replace("Usage: python -m vizsla", "Usage: vizsla")


if __name__ == "__main__":
    for place, text in pages().items():
        place.write_text(text, encoding="utf-8")
        print(f"wrote {place}")
