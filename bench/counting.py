"""What a network has to do for a photo: multiply-adds, counted by hooks, and the numbers its layers read and write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Layer:
    """A convolution or a linear layer, for one photo."""

    multiply_adds: int
    bytes: int
    """Read and written of activations, as float32; all between two such layers is taken to be fused into them."""
    depthwise: bool
    """A convolution that looks at one channel each."""


@dataclass
class Counted:
    """What one photo goes through."""

    layers: list[Layer] = field(default_factory=list)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def depthwise(self) -> float:
        """The share of depthwise convolutions in the multiply-adds."""
        return sum(layer.multiply_adds for layer in self.layers if layer.depthwise) / self.multiply_adds

    def bound(self, operations_per_s: float, bytes_per_s: float) -> float:
        """The share of the peak that memory allows, each layer waiting for whichever takes it longer (a roofline)."""
        computing = [2 * layer.multiply_adds / operations_per_s for layer in self.layers]
        moving = [layer.bytes / bytes_per_s for layer in self.layers]
        return sum(computing) / sum(map(max, computing, moving))

    def see(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """A forward hook of a convolution or a linear layer."""
        weight = module.weight
        assert isinstance(weight, Tensor)
        moved = FLOAT32_BYTES * (inputs[0][0].numel() + output[0].numel())
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        self.layers.append(Layer(output[0].numel() * weight[0].numel(), moved, depthwise))


def count(net: nn.Module, example: Tensor) -> Counted:
    """What one forward pass does for the first photo of `example`."""
    counted = Counted()
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks: list[Any] = [module.register_forward_hook(counted.see) for module in layers]
    try:
        with torch.no_grad():
            net(example)
    finally:
        for hook in hooks:
            hook.remove()
    return counted
