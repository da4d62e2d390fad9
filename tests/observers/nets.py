"""Small networks, one for each thing that a debugger can stumble over."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from vizsla.job import DebugSettings
from vizsla.observers.inspector import Inspector
from vizsla.observers.raw import RawFiles
from vizsla.observers.saving import Saving
from vizsla.observers.visit import At
from vizsla.records import Record


class Small(nn.Module):
    """Two convolutions and a head; `activation` is used twice in a pass."""

    def __init__(self, activation: nn.Module | None = None, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.act = activation or nn.ReLU(inplace=True)
        self.body = nn.Conv2d(4, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.stem(x))
        x = self.act(self.norm(self.body(x)))
        logits: torch.Tensor = self.head(self.drop(x.mean((2, 3))))
        return logits


class Wordy(nn.Module):
    """Takes keywords, and has a part that answers with a dict and one that answers with a tuple."""

    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> dict[str, Any]:
            logits = self.line(x)
            return {"logits": logits, "hidden": (x, [x + 1]), "said": "hello"}

    def __init__(self) -> None:
        super().__init__()
        self.part = Wordy.Part()

    def forward(self, *, features: torch.Tensor, scale: float) -> dict[str, Any]:
        answer: dict[str, Any] = self.part(features * scale)
        return answer


class Watched:
    """Trains a network under an inspector, as a loop would; keeps the records."""

    def __init__(
        self, model: nn.Module, settings: DebugSettings | None = None, every: int = 1, raw: RawFiles | None = None
    ) -> None:
        self.records: list[Record] = []
        self.model = model
        saving = {"train": Saving(every, start=0), "eval": Saving(every)}
        self.inspector = Inspector(model, settings or DebugSettings(), saving, self.records.append, raw)
        self.inspector.expect(0, 0)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optim = torch.optim.SGD(trained, lr=0.1)
        self.losses: list[float] = []

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        step = len(self.losses)
        self.model.train()
        loss = cross_entropy(self.model(x).float(), y)
        self.optim.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optim.step()
        self.losses.append(loss.item())
        self.inspector.end_step(At(step, step, 1))
        self.inspector.expect(step + 1, 0)

    def named(self, name: str, mode: str = "train") -> list[dict[str, Any]]:
        """The values of this tensor, in the order of the steps."""
        return [
            dict(record.value)
            for record in self.records
            if record.name == name and record.mode == mode and isinstance(record.value, dict)
        ]

    def names(self, collection: str, step: int = 0) -> set[str]:
        return {
            record.name
            for record in self.records
            if isinstance(record.value, dict) and record.value["collection"] == collection and record.step == step
        }


def photos(count: int = 8, size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pictures, and their classes out of three."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, size, size, generator=draw), torch.randint(0, 3, (count,), generator=draw)
