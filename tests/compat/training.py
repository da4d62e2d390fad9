"""Small trainings that a hook watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import smdebug.pytorch as smd
import torch
from smdebug import modes
from smdebug.trials import Trial, create_trial
from torch import nn

ALWAYS = smd.SaveConfig(save_interval=1)
PHOTOS = 8


class Net(nn.Module):
    """Three features to two classes, one ReLU used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Linear(3, 16)
        self.relu = nn.ReLU(inplace=True)
        self.body = nn.Sequential(nn.Linear(16, 16), nn.GELU())
        self.fc = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.body(x))
        out: torch.Tensor = self.fc(x)
        return out


class Training:
    """A model, a loss and an optimizer; each call is a step. `batches` is the same series in every training."""

    def __init__(
        self, model: nn.Module | None = None, hook: smd.Hook | None = None, dtype: Any = torch.float32
    ) -> None:
        torch.manual_seed(0)
        self.model = (Net() if model is None else model).to(dtype)
        self.criterion = nn.CrossEntropyLoss()
        self.hook = hook
        self.dtype = dtype
        self.batches = torch.Generator().manual_seed(1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.5)
        if hook:
            hook.register_hook(self.model)
            hook.register_loss(self.criterion)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(PHOTOS, 3, generator=self.batches).to(self.dtype)
        return x, torch.randint(0, 2, (PHOTOS,), generator=self.batches)

    def train(self, steps: int = 1) -> list[float]:
        """The losses."""
        if self.hook:
            self.hook.set_mode(modes.TRAIN)
        return [self._step() for _ in range(steps)]

    def evaluate(self, steps: int = 1) -> list[float]:
        if self.hook:
            self.hook.set_mode(modes.EVAL)
        with torch.no_grad():
            return [self._loss().item() for _ in range(steps)]

    def _loss(self) -> torch.Tensor:
        x, y = self.batch()
        found = self.model(x)
        loss: torch.Tensor = self.criterion(found["logits"] if isinstance(found, dict) else found, y)
        return loss

    def _step(self) -> float:
        loss = self._loss()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()


def everything(out: Path, **more: Any) -> smd.Hook:
    """A hook that saves all tensors at every step."""
    return smd.Hook(out_dir=str(out), save_all=True, save_config=ALWAYS, **more)


def finished(hook: smd.Hook) -> Trial:
    """What `hook` saved, once it is closed."""
    hook.close()
    return create_trial(hook.out_dir)
