"""Networks for the training loop and the server: built, split into stages, and frozen up to one of them.

Between `weights.py`, which finds and loads pretrained weights, and `training/`. A network is a timm network; a stage is
one of its parts in the order a photo passes them, the unit that `train_from` names.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vizsla import backbones
from vizsla.errors import UserError
from vizsla.vision import weights as weight_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vizsla.backbones import Backbone

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
# Containers whose children are stages of their own, as timm's authors call them.
_EXPANDED = frozenset({"blocks", "stages", "dense_stages", "layers", "features", "levels", "transformers"})


@dataclass(frozen=True, slots=True)
class Frozen:
    """Which stages are trained and which are not, as `freeze` left them."""

    train_from: str  # the first trained stage, or "all"
    trained: tuple[str, ...]
    frozen: tuple[str, ...]


def describe(name: str) -> Backbone:
    """The facts about `name`: vizsla's own, else what timm says of it. UserError for a name that timm does not know."""
    known = backbones.find(name)
    if known.name in backbones.KNOWN:
        return known
    config = _timm_config(name)
    return replace(
        known,
        size=int(config.input_size[-1]),
        mean=tuple(config.mean),
        std=tuple(config.std),
        interpolation="bilinear" if config.interpolation == "bilinear" else "bicubic",
        hub_id=config.hf_hub_id,
    )


def build(
    name: str, num_classes: int, dropout: float, weights: str = "pretrained", size: int | None = None
) -> nn.Module:
    """A network with a fresh head for `num_classes`, and a dropout before it; logits of shape (B, num_classes).

    `weights` is "pretrained", "none" (random, from torch's generator as the caller seeded it) or a file; `size` is the
    side of the photos it will see, in pixels, by default its own. UserError for a name that timm does not know, for
    photos of a size the network cannot take, and for weights that cannot be found or do not fit.
    """
    backbone = describe(name)
    _check_size(backbone, size)
    found = weight_files.locate(backbone, weights)
    net = _create(backbone.timm_name, num_classes, dropout)
    _zero_head(net)
    weight_files.load_into(net, found, backbone)
    return net


def rebuild(name: str, num_classes: int) -> nn.Module:
    """The bare architecture, for a bundle's weights to be loaded into. UserError for a name timm does not know."""
    return _create(describe(name).timm_name, num_classes, dropout=0.0)


def stages(net: nn.Module) -> list[str]:
    """The names of the network's stages, first to last: the values of `train_from`.

    They are the children with parameters; of containers called blocks, stages, layers or features, each part. A
    normalisation belongs to the stage before it. timm registers children in the order a photo passes them.
    """
    return list(modules_by_stage(net))


def freeze(net: nn.Module, train_from: str) -> Frozen:
    """Lets gradients flow only into the stages from `train_from` on: "all", "last", "head" or the name of a stage.

    "last" is the last stage that is part of the body, all that follows it, and the head. Parameters of no stage (a
    class token, position embeddings) are trained only with "all". UserError for a stage that does not exist.
    """
    names = stages(net)
    if train_from == "all":
        net.requires_grad_(True)
        return Frozen("all", tuple(names), ())
    first = names.index(_first_trained(net, names, train_from))
    net.requires_grad_(False)
    modules = modules_by_stage(net)
    for stage in names[first:]:
        for module in modules[stage]:
            net.get_submodule(module).requires_grad_(True)
    return Frozen(names[first], tuple(names[first:]), tuple(names[:first]))


def set_train_mode(net: nn.Module, frozen: Frozen, keep_statistics: bool = False) -> None:
    """Training mode for what is trained; evaluation mode, and so fixed batch-norm statistics, for the rest.

    With `keep_statistics` the batch norms of trained stages keep theirs too, while their weights and biases are
    trained: a few hundred photos tell less about them than ImageNet did.
    """
    _set_modes(net, frozen)
    if keep_statistics:
        for module in net.modules():
            if isinstance(module, _BATCH_NORMS):
                module.eval()


def _set_modes(net: nn.Module, frozen: Frozen) -> None:
    if frozen.train_from == "all":
        net.train()
        return
    net.eval()
    # Some timm networks apply the head's dropout themselves and ask their own flag, not a child's.
    net.training = True
    modules = modules_by_stage(net)
    for stage in frozen.trained:
        for module in modules[stage]:
            net.get_submodule(module).train()


def trainable(net: nn.Module) -> list[nn.Parameter]:
    """The parameters that gradients flow into."""
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


def head_parameters(net: nn.Module) -> list[nn.Parameter]:
    """The weights and biases of the classifier itself, the only part that starts fresh."""
    head = weight_files.head_names(net)
    return [parameter for name, parameter in net.named_parameters() if name in head]


def _zero_head(net: nn.Module) -> None:
    """Lets training start from equal probabilities, whatever the seed; a head that a file brings is loaded after."""
    with torch.no_grad():
        for parameter in head_parameters(net):
            parameter.zero_()


def _create(timm_name: str, num_classes: int, dropout: float) -> nn.Module:
    import timm

    net: nn.Module = timm.create_model(timm_name, pretrained=False, num_classes=num_classes, drop_rate=dropout)
    if not hasattr(net, "get_classifier"):
        raise UserError(f"{timm_name} is an encoder and has no classifier.", "Choose the model without _enc.")
    return net


def _timm_config(name: str) -> Any:
    import timm
    from timm.models import get_pretrained_cfg

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, sorted({*backbones.KNOWN, *timm.list_models()}), n=3, cutoff=0.0)
        raise UserError(
            f"There is no network called {name!r}, neither in vizsla nor in timm.",
            f"Did you mean {', '.join(near)}? `vizsla models` lists vizsla's own; any name of timm's works too.",
        )
    architecture, _, tag = name.partition(".")
    tags = [pretrained.partition(".")[2] for pretrained in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UserError(
            f"timm has no weights called {tag!r} for the network {architecture!r}.",
            f"It has these: {', '.join(tags) or 'none'}; {architecture} alone takes the first.",
        )
    return get_pretrained_cfg(name)


def _check_size(backbone: Backbone, size: int | None) -> None:
    """Transformers have one position embedding a patch: most take photos of one size only."""
    if size is None or size == backbone.size or backbone.name in backbones.KNOWN:
        return
    if _timm_config(backbone.name).fixed_input_size:
        raise UserError(
            f"{backbone.name} takes photos of {backbone.size}×{backbone.size} pixels only, not {size}×{size}.",  # noqa: RUF001
            f"Add --set image.size={backbone.size}, or choose another model.",
        )


def _first_trained(net: nn.Module, names: list[str], train_from: str) -> str:
    head = _first_of_head(net, names)
    if train_from == "head":
        return head
    if train_from == "last":
        return _last_of_body(names[: names.index(head)]) or head
    if train_from in names:
        return train_from
    near = difflib.get_close_matches(train_from, [*names, "head", "last", "all"], n=1, cutoff=0.0)
    raise UserError(
        f"This network has no stage called {train_from!r} to train from.",
        f"Did you mean {near[0]}? It can be head, last, all or one of the stages {', '.join(names)}.",
    )


def _first_of_head(net: nn.Module, names: list[str]) -> str:
    """The stage the classifier is in; the first of them where a network has two heads, as distilled ones do."""
    head = weight_files.head_names(net)
    modules = modules_by_stage(net)
    for stage in names:
        if any(name.startswith(f"{module}.") for module in modules[stage] for name in head):
            return stage
    return names[-1]


def _last_of_body(body: list[str]) -> str | None:
    """The last block; what comes between it and the head (a 1×1 convolution, say) goes with it."""  # noqa: RUF002
    blocks = [stage for stage in body if "." in stage] or body
    return blocks[-1] if blocks else None


def modules_by_stage(net: nn.Module) -> dict[str, list[str]]:
    """The modules of each stage, the one that names it among them, in the order of `stages`.

    A part without parameters goes with the stage after it (a dropout is trained with the head it stands before).
    """
    found: dict[str, list[str]] = {}
    waiting: list[str] = []
    for name, module in _parts(net):
        waiting.append(name)
        if next(module.parameters(), None) is None:
            continue
        if found and _is_norm(module):
            found[next(reversed(found))] += waiting
        else:
            found[name] = waiting
        waiting = []
    return found


def _parts(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in net.named_children():
        if name in _EXPANDED and isinstance(child, nn.Sequential | nn.ModuleList):
            yield from ((f"{name}.{part}", module) for part, module in child.named_children())
        else:
            yield name, child


def _is_norm(module: nn.Module) -> bool:
    """A normalisation and no more: timm has many kinds, all with Norm in their name, and no base class."""
    alone = all(next(child.parameters(), None) is None for child in module.children())
    return alone and "Norm" in type(module).__name__
