"""What a training would do and how long it would take, before it is started."""

from __future__ import annotations

from typing import Any

from vizsla.api import requests
from vizsla.api.requests import Request
from vizsla.backends import local
from vizsla.errors import UserError


def plan(request: Request) -> dict[str, Any]:
    """The document that docs/execution.md describes. Raises UserError for all that a training would be refused for."""
    for place in request.channels.values():
        if place.is_file() and place.suffix == ".py":
            raise UserError(
                f"{place} is a script: what it would do, only it knows.",
                "`vizsla plan` takes a folder of photos, as `vizsla train` does.",
            )
    asked = requests.job(request)
    planned = requests.plan(asked)
    question = {
        "channels": asked.channels,
        "plan": planned.model_dump(mode="json") if planned else {},
        "launch": asked.launch.model_dump(mode="json"),
    }
    return dict(local.ask("plan", question, long=True))
