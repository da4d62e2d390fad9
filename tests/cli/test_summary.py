"""What is said of a training when it has ended: also that its rules are content."""

from __future__ import annotations

from typing import Any

import pytest

from vizsla.cli import summary


def document(**changes: Any) -> dict[str, Any]:
    return {
        "name": "dogs",
        "status": "Completed",
        "seconds": 65.3,
        "epochs": 1,
        "classes": ["beagle", "vizsla"],
        "images": {"train": 8, "valid": 2, "test": 2, "bad": []},
        "metrics": {"valid_loss": 0.5, "valid_accuracy": 1.0, "test_loss": None, "test_accuracy": None},
        "rules": [],
        "issues": [],
        "bundle": "model",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rules": ["Overfit", "DeadRelu"]}, "  rules    2 watched and found nothing: vizsla debug dogs"),
        ({"rules": ["Overfit", "DeadRelu"], "issues": ["DeadRelu"]}, "  rules    DeadRelu: vizsla debug dogs"),
        ({}, "  job      dogs (Completed, 1 epoch, 1 min 05 s)"),
    ],
)
def test_a_summary_says(changes: dict[str, Any], said: str) -> None:
    assert said in summary.of(document(**changes)).splitlines()


def test_without_rules_nothing_is_said_of_them() -> None:
    assert "rules" not in summary.of(document())
