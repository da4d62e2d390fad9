"""What the built-in classifier is given to begin badly with: a network of sigmoids, and spoilt files of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from timm.models import generate_default_cfgs, register_model
from torch import nn

from vizsla.vision import networks

TOWER = "sigmoid_tower"
default_cfgs = generate_default_cfgs({TOWER: {"input_size": (3, 32, 32)}})


class Tower(nn.Module):
    """Twelve layers of sigmoids over small pictures, as timm has networks. There is no norm and no way around."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stem = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(3 * 8 * 8, 32), nn.Sigmoid())
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(32, 32), nn.Sigmoid()) for _ in range(11)))
        self.fc = nn.Linear(32, num_classes)
        self.pretrained_cfg = {"classifier": "fc"}

    def get_classifier(self) -> nn.Module:
        """As timm's networks name their head."""
        return self.fc

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.blocks(self.stem(x)))
        return logits


@register_model
def sigmoid_tower(pretrained: bool = False, num_classes: int = 1000, **_unused: Any) -> nn.Module:
    """For timm's registry, under this name."""
    return Tower(num_classes)


def scaled(place: Path, model: str, norms: float = 1.0, others: float = 1.0) -> Path:
    """A file of the pretrained weights of `model`, times `norms` the scales of its norms, times `others` the rest."""
    net = networks.build(model, 1000, 0.0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(norms if parameter.ndim == 1 else others)
    file = place / "spoilt.safetensors"
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, file)
    return file
