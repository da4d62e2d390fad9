"""Rule, CollectionConfig and DebuggerHookConfig: SageMaker's words for what is watched and what is saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vizsla.api import rules
from vizsla.errors import UserError
from vizsla.job import COLLECTIONS, RuleRequest
from vizsla.sdk.arguments import text
from vizsla.sdk.rule_configs import PROFILER, ActionList, Command, RuleConfig, StopTraining

Actions = ActionList | StopTraining | Command | None

# SageMaker's word for what the debugger of the built-in classifier records under another one.
OWN_WORD = {"relu_input": "activation_inputs", "relu_output": "activation_outputs", "input_image": "inputs"}


class Rule:
    """A rule that a training is held against while it runs."""

    def __init__(self, request: RuleRequest, collections: Sequence[CollectionConfig] = ()) -> None:
        self.request = request
        self.collections = tuple(collections)

    @classmethod
    def sagemaker(
        cls,
        base_config: RuleConfig,
        name: str | None = None,
        container_local_output_path: str | None = None,
        s3_output_path: str | None = None,
        other_trials_s3_input_paths: Sequence[str] | None = None,
        rule_parameters: Mapping[str, Any] | None = None,
        collections_to_save: Sequence[CollectionConfig] | None = None,
        actions: Actions = None,
    ) -> Rule:
        """A built-in rule. The two output paths mean nothing here: what a rule finds is in the job's folder.

        Raises UserError for a profiler's rule, an unknown parameter or a value that cannot be.
        """
        if base_config.rule in PROFILER:
            raise UserError(f"{base_config.rule} is a rule of the profiler's.", "Write ProfilerRule.sagemaker(…)")
        parameters = {key: text(value) for key, value in {**base_config.parameters, **(rule_parameters or {})}.items()}
        if other_trials_s3_input_paths:
            parameters["other_trials"] = other_trials_s3_input_paths[0]
        request = RuleRequest(
            name=name or base_config.rule,
            rule=base_config.rule,
            parameters=parameters,
            actions=actions.actions() if actions else (),
        )
        rules.check(request)
        return cls(request, collections_to_save or ())

    @classmethod
    def custom(cls, *_given: object, **_named: object) -> Rule:
        """Refused: a custom rule is a container of the user's in AWS. Raises UserError."""
        raise UserError(
            "A custom rule runs in a container at AWS, which is not to be had here.",
            "Read the records of a job with vizsla.records.read, and say what you think of them.",
        )


@dataclass(frozen=True, slots=True)
class ProfilerRule:
    """A rule over the profile of a training."""

    config: RuleConfig
    name: str

    @classmethod
    def sagemaker(cls, base_config: RuleConfig, name: str | None = None, **_paths: object) -> ProfilerRule:
        """A built-in rule of the profiler's. Raises UserError for a rule that looks at tensors."""
        if base_config.rule not in PROFILER:
            raise UserError(f"{base_config.rule} is no rule of the profiler's.", "Write Rule.sagemaker(…)")
        return cls(base_config, name or base_config.rule)


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """Tensors that are saved whole, by the name of their collection."""

    name: str
    parameters: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """As SageMaker's JSON has it."""
        given = {key: text(value) for key, value in (self.parameters or {}).items()}
        return {"CollectionName": self.name, **({"CollectionParameters": given} if given else {})}


@dataclass(frozen=True, slots=True)
class DebuggerHookConfig:
    """What is saved and how often. The two paths mean nothing here: tensors are in the job's folder."""

    s3_output_path: str | None = None
    container_local_output_path: str | None = None
    hook_parameters: Mapping[str, Any] | None = None
    collection_configs: Sequence[CollectionConfig] | None = None

    def document(self, others: Iterable[CollectionConfig] = ()) -> dict[str, Any]:
        """SageMaker's DebugHookConfig, for a script's smdebug hook; `others` are collections that rules name."""
        parameters = {key: text(value) for key, value in (self.hook_parameters or {}).items()}
        collections = [each.document() for each in (*(self.collection_configs or ()), *others)]
        return {
            **({"HookParameters": parameters} if parameters else {}),
            **({"CollectionConfigurations": collections} if collections else {}),
        }

    def settings(self, others: Iterable[CollectionConfig] = ()) -> dict[str, str]:
        """The same as settings of the built-in classifier's debugger. Raises UserError for what it has no word for."""
        given = {key: text(value) for key, value in (self.hook_parameters or {}).items()}
        found = {}
        for setting, names in _SETTINGS.items():
            value = next((given.pop(name) for name in names if name in given), None)
            if value is not None:
                found[setting] = value
        if unknown := [name for name in given if name.rpartition(".")[2] not in _PER_MODE]:
            known = ", ".join(sorted({name for names in _SETTINGS.values() for name in names}))
            raise UserError(f"The debugger has no hook parameter {unknown[0]!r}.", f"It has {known}.")
        if whole := [_own_word(each) for each in (*(self.collection_configs or ()), *others) if not _reduced(each)]:
            found["debug.raw"] = ",".join(dict.fromkeys(whole)) if "all" not in whole else "all"
        return found


_PER_MODE = ("save_interval", "start_step", "end_step")
_SETTINGS = {
    "debug.save_every": ("train.save_interval", "save_interval"),
    "debug.eval_save_every": ("eval.save_interval",),
    "debug.start_step": ("train.start_step", "start_step"),
    "debug.end_step": ("train.end_step", "end_step"),
}


def _reduced(collection: CollectionConfig) -> bool:
    """Whether only figures of it are asked for, which are always recorded."""
    return any("reductions" in key or "norms" in key for key in collection.parameters or {})


def _own_word(collection: CollectionConfig) -> str:
    name = OWN_WORD.get(collection.name, collection.name)
    if name not in (*COLLECTIONS, "all"):
        known = ", ".join(("all", *COLLECTIONS, *OWN_WORD))
        raise UserError(f"The debugger records no collection {collection.name!r}.", f"There are {known}.")
    return name
