"""What a script's smdebug hook is to save: SageMaker's DebugHookConfig, completed with what the job's rules look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from vizsla.container import HOOK
from vizsla.job import RuleRequest

# Rule → the collections it looks at. The hook finds activations and inputs by the type of a module; SageMaker's
# rule_configs look for names such as `.*relu_output`, which a ReLU in a Sequential does not have.
NEEDED: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "VanishingGradient": ("gradients",),
        "ExplodingTensor": ("gradients", "losses"),
        "PoorWeightInitialization": ("activation_inputs", "gradients", "losses"),
        "WeightUpdateRatio": ("weights",),
        "UnchangedTensor": ("weights",),
        "DeadRelu": ("activation_outputs",),
        "SaturatedActivation": ("activation_inputs",),
        "LossNotDecreasing": ("losses",),
        "Overfit": ("losses",),
        "Overtraining": ("losses",),
        "CheckInputImages": ("inputs",),
    }
)


def config(given: Mapping[str, Any] | None, rules: Sequence[RuleRequest]) -> dict[str, Any] | None:
    """The hook's configuration for a job with these rules; None is the usual one, which saves losses alone."""
    needed = [name for rule in rules for name in NEEDED.get(rule.rule, ())]
    if given is None and not needed:
        return None
    made = {"LocalPath": HOOK["LocalPath"], **(given or {})}
    collections = list(made.get("CollectionConfigurations") or [])
    named = {each["CollectionName"] for each in collections}
    collections += [{"CollectionName": name} for name in dict.fromkeys(["losses", *needed]) if name not in named]
    return {**made, "CollectionConfigurations": collections}
