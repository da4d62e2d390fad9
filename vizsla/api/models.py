"""Which backbones there are, and which have their weights at hand."""

from __future__ import annotations

from typing import Any

from vizsla.backends import local


def list_models() -> list[dict[str, Any]]:
    """One row a known backbone; "weights" says where its ImageNet weights are on this machine, or is null."""
    return list(local.ask("models", {}))
