"""What a script's smdebug hook is to save: SageMaker's DebugHookConfig, completed with what the job's rules look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from vizsla.container import HOOK
from vizsla.errors import UserError
from vizsla.job import DebugSettings, RuleRequest

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


# What `--set debug.…` is called in a hook; the rest of those settings is the built-in classifier's alone.
PARAMETERS = MappingProxyType(
    {
        "save_every": "train.save_interval",
        "eval_save_every": "eval.save_interval",
        "start_step": "train.start_step",
        "end_step": "train.end_step",
    }
)
INTERVAL = "10"
"""Steps between two that are saved for a rule where the user names no interval: SageMaker's 500 show rules nothing."""
HOW_OFTEN = ("save_interval", "save_steps")


def config(
    given: Mapping[str, Any] | None, rules: Sequence[RuleRequest], debug: DebugSettings
) -> dict[str, Any] | None:
    """The hook's configuration for a job with these rules; None is the usual one, which saves losses alone.

    Raises UserError for a setting of `debug` that a hook has no word for.
    """
    needed = [name for rule in rules for name in NEEDED.get(rule.rule, ())]
    parameters = {**_parameters(debug), **((given or {}).get("HookParameters") or {})}
    if given is None and not needed and not parameters:
        return None
    collections = list((given or {}).get("CollectionConfigurations") or [])
    named = {each["CollectionName"] for each in collections}
    wanted = dict.fromkeys(["losses", *needed])
    collections += [{"CollectionName": name} for name in wanted if name not in named]
    if needed and not _says_how_often(parameters):
        collections = [_often(each) if each["CollectionName"] in wanted else each for each in collections]
    return {
        "LocalPath": HOOK["LocalPath"],
        **(given or {}),
        **({"HookParameters": parameters} if parameters else {}),
        "CollectionConfigurations": collections,
    }


def _parameters(debug: DebugSettings) -> dict[str, str]:
    """The debugger's settings that were given, as HookParameters."""
    said = debug.model_dump(exclude_defaults=True)
    if unknown := [name for name in said if name not in PARAMETERS]:
        known = ", ".join(f"debug.{name}" for name in PARAMETERS)
        raise UserError(
            f"debug.{unknown[0]} is the built-in classifier's; a script's hook does not know it.",
            f"A hook takes {known}; what it saves is said in the script, or by DebuggerHookConfig in Python.",
        )
    return {PARAMETERS[name]: str(value) for name, value in said.items() if value is not None}


def _says_how_often(parameters: Mapping[str, Any]) -> bool:
    return any(name.rpartition(".")[2] in HOW_OFTEN for name in parameters)


def _often(collection: Mapping[str, Any]) -> dict[str, Any]:
    own = collection.get("CollectionParameters") or {}
    if _says_how_often(own):
        return dict(collection)
    return {**collection, "CollectionParameters": {**own, "save_interval": INTERVAL}}
