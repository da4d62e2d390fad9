"""The live table and the lines of a sweep."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from vizsla.console.sweep import SweepTable, line, table

LOSS = {"name": "average test loss", "type": "Minimize"}


def trial(number: int, status: str = "Completed", objective: float | None = 0.5, **changes: Any) -> dict[str, Any]:
    name, given = f"s-{number:03d}", {"lr": "0.00123456789", "batch_size": "64"}
    return {"name": name, "status": status, "hyperparameters": given, "objective": objective, "epochs": 3,
            "seconds": 10.0, "reason": None, **changes}  # fmt: skip


def document(*trials: dict[str, Any], best: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"trials": list(trials), "best": best, "objective": LOSS}


def shown(found: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    console.print(table(found))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.splitlines()


def test_the_table_has_a_row_a_trial_and_marks_the_best() -> None:
    first, second, third = trial(1), trial(2, objective=0.25), trial(3, "InProgress", None)
    head, *rows = shown(document(first, second, third, best=second))
    assert head.split() == ["trial", "state", "lr", "batch_size", "average", "test", "loss", "epochs", "time"]
    assert rows[0].split()[:5] == ["s-001", "Completed", "0.0012346", "64", "0.5000"]
    assert [row.split()[0] for row in rows if "★" in row] == ["s-002"]
    assert rows[2].split()[4] == "-"


def test_before_the_first_trial_there_is_a_table_without_rows() -> None:
    assert len(shown(document())) == 1


def test_what_scripts_and_users_named_cannot_move_the_cursor() -> None:
    evil = "\x1b[2J"
    one = trial(1, "Failed", None, hyperparameters={evil: evil}, reason=evil)
    assert "\x1b" not in "".join(shown(document(one)))
    assert "\x1b" not in line(one)


def test_a_line_says_how_a_trial_ended_and_why() -> None:
    assert line(trial(1)) == "s-001: Completed with 0.5000 after 3 epochs; lr=0.0012346, batch_size=64"
    assert line(trial(2, "Failed", None, reason="no disk")).endswith("batch_size=64 (no disk)")


def test_without_a_terminal_each_trial_is_told_once_when_it_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepTable(to_stderr=False) as told:
        told.show(document(trial(1, "InProgress", None)), 2, 1)
        told.show(document(trial(1), trial(2, "InProgress", None)), 2, 1)
        told.show(document(trial(1), trial(2, "Stopped")), 2, 1)
    assert [row.split(":")[0] for row in capsys.readouterr().out.splitlines()] == ["s-001", "s-002"]
