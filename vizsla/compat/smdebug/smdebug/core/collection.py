"""Named groups of tensors: what is saved is chosen, and asked for later, by collection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from vizsla.observers import activations

from .modes import ModeKeys
from .reduction_config import ReductionConfig
from .save_config import SaveConfig


class CollectionKeys:
    """The names of the collections that are always there."""

    ALL = "all"
    DEFAULT = "default"
    WEIGHTS = "weights"
    BIASES = "biases"
    GRADIENTS = "gradients"
    LOSSES = "losses"
    METRICS = "metrics"
    SM_METRICS = "sm_metrics"


SCALARS = (CollectionKeys.LOSSES, CollectionKeys.METRICS, CollectionKeys.SM_METRICS)
"""Never reduced."""

REGEXES = {
    CollectionKeys.ALL: [".*"],
    CollectionKeys.DEFAULT: [],
    CollectionKeys.WEIGHTS: ["^(?!gradient).*weight"],
    CollectionKeys.BIASES: ["^(?!gradient).*bias"],
    CollectionKeys.GRADIENTS: ["^gradient"],
    CollectionKeys.LOSSES: ["[Ll]oss_(?!input).*output"],
    "relu_input": [".*relu_input"],  # those of rule_configs, by their names in it
    "relu_output": [".*relu_output"],
}

# A ReLU of nn.Sequential is called `1`, which no regex for `relu` finds: these collections know modules by their type.
RELUS = frozenset({"ReLU", "ReLU6"})
BY_TYPE: dict[str, tuple[str, frozenset[str] | None]] = {
    "activation_inputs": ("input", None),  # every activation that vizsla's rules know
    "activation_outputs": ("output", None),
    "relu_input": ("input", RELUS),
    "relu_output": ("output", RELUS),
}


@dataclass(frozen=True)
class Named:
    """A tensor on its way through a model. role: parameter, gradient, input, output, loss, or own (the script's)."""

    name: str
    tensor: torch.Tensor
    role: str
    module: nn.Module | None = None
    is_root: bool = False
    """Of the input or output of a whole model."""

    @property
    def activation(self) -> str:
        """The class name of the activation it passes, "" of anything else."""
        return activations.kind(self.module) if self.module is not None else ""


class Collection:
    """Tensors whose name one of the regexes finds, that were added by name, or that pass a module that was added."""

    def __init__(
        self,
        name: str,
        include_regex: str | Iterable[str] | None = None,
        tensor_names: Iterable[str] | None = None,
        reduction_config: ReductionConfig | None = None,
        save_config: SaveConfig | None = None,
    ) -> None:
        self.name = name
        self.include_regex: list[str] = []
        self.tensor_names = set(tensor_names or ())
        self.reduction_config = reduction_config
        self.save_config = save_config
        self._modules: list[tuple[nn.Module, str]] = []
        self.include(include_regex or [])

    def include(self, *regexes: str | Iterable[str]) -> None:
        """Adds regular expressions, searched for anywhere in a name. Raises re.error."""
        for each in regexes:
            new = [each] if isinstance(each, str) else list(each)
            for regex in new:
                re.compile(regex)
            self.include_regex += new

    def add(self, names: str | Iterable[str]) -> None:
        """Adds tensors by name."""
        self.tensor_names |= {names} if isinstance(names, str) else set(names)

    add_tensor_name = add

    def add_module_tensors(self, module: nn.Module, inputs: bool = False, outputs: bool = True) -> None:
        """Adds what goes into `module`, or what comes out of it, or both."""
        if not isinstance(module, nn.Module):
            raise TypeError(f"add_module_tensors takes a torch.nn.Module, not {module!r}")
        self._modules += [(module, role) for role, wanted in (("input", inputs), ("output", outputs)) if wanted]

    def has(self, named: Named) -> bool:
        if named.name in self.tensor_names or any(re.search(regex, named.name) for regex in self.include_regex):
            return True
        if any(module is named.module and role == named.role for module, role in self._modules):
            return True
        if self.name == CollectionKeys.LOSSES and named.role == "loss":  # whatever the class of the loss is called
            return True
        if self.name == "inputs":
            return named.is_root and named.role == "input"
        role, kinds = BY_TYPE.get(self.name, ("", None))
        return named.role == role and bool(named.activation) and (kinds is None or named.activation in kinds)

    def __repr__(self) -> str:
        return (
            f"Collection({self.name!r}, include_regex={self.include_regex}, tensor_names={sorted(self.tensor_names)})"
        )


class Collections:
    """All collections of a hook, and which of them are saved: those `included`, losses always, or everything.

    save_config and reduction_config are for collections that have none of their own.
    """

    def __init__(
        self, save_config: SaveConfig, reduction_config: ReductionConfig | None, included: Iterable[str]
    ) -> None:
        self._save_config = save_config
        self._reduction_config = reduction_config
        self._all = {name: Collection(name, regexes) for name, regexes in REGEXES.items()}
        self.included = {CollectionKeys.LOSSES, *included}
        """May be added to."""

    def get(self, name: str) -> Collection:
        """The collection of this name; made now if there was none."""
        return self._all.setdefault(name, Collection(name))

    def add(self, collection: Collection | str) -> None:
        """Adds a collection, in the place of one of that name."""
        made = Collection(collection) if isinstance(collection, str) else collection
        self._all[made.name] = made

    def everything(self) -> dict[str, Collection]:
        return dict(self._all)

    def due(self, mode: ModeKeys, step: int) -> list[Collection]:
        """The included collections that are saved at this step of `mode`."""
        names = sorted(self.included, key=lambda name: (name == CollectionKeys.ALL, name))  # the telling names first
        return [each for each in map(self.get, names) if self.saves(each, mode, step)]

    def saves(self, collection: Collection, mode: ModeKeys, step: int) -> bool:
        return (collection.save_config or self._save_config).should_save_step(mode, step)

    def reduction(self, collection: Collection) -> ReductionConfig:
        """What is kept of a tensor in `collection`."""
        own = None if collection.name in SCALARS else collection.reduction_config or self._reduction_config
        return own or ReductionConfig()

    def __iter__(self) -> Iterator[Collection]:
        return iter(self._all.values())
