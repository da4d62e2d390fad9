"""Rule, CollectionConfig and DebuggerHookConfig: SageMaker's words for what is watched and what is saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vizsla.api import rules
from vizsla.errors import UserError
from vizsla.job import COLLECTIONS, PROFILER_RULES, Action, RuleRequest
from vizsla.sdk.arguments import texts
from vizsla.sdk.rule_configs import ActionList, Command, RuleConfig, StopTraining

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
        if _config(base_config).is_profilers:
            raise UserError(f"{base_config.rule} is a rule of the profiler's.", "Write ProfilerRule.sagemaker(…)")
        usual = base_config.request
        parameters = {**usual.parameters, **texts(_mapping(rule_parameters, "rule_parameters"))}
        if other_trials_s3_input_paths:
            parameters["other_trials"] = other_trials_s3_input_paths[0]
        request = RuleRequest(
            name=name or usual.name, rule=usual.rule, parameters=parameters, actions=_actions(actions)
        )
        rules.check(request)
        return cls(request, _collections(collections_to_save, "collections_to_save"))

    @classmethod
    def custom(cls, *_given: object, **_named: object) -> Rule:
        """Refused: a custom rule is a container of the user's in AWS. Raises UserError."""
        raise _only_aws()


@dataclass(frozen=True, slots=True)
class ProfilerRule:
    """A rule over the profile of a training: of its time, not of its tensors."""

    request: RuleRequest

    @classmethod
    def sagemaker(
        cls,
        base_config: RuleConfig,
        name: str | None = None,
        container_local_output_path: str | None = None,
        s3_output_path: str | None = None,
    ) -> ProfilerRule:
        """A built-in rule of the profiler's. The two output paths mean nothing here.

        Raises UserError for a rule that looks at tensors, an unknown parameter or a value that cannot be.
        """
        if not _config(base_config).is_profilers:
            raise UserError(f"{base_config.rule} is no rule of the profiler's.", "Write Rule.sagemaker(…)")
        request = base_config.request
        rules.check(request)
        return cls(request.model_copy(update={"name": name or request.name}))

    @classmethod
    def custom(cls, *_given: object, **_named: object) -> ProfilerRule:
        """Refused: a custom rule is a container of the user's in AWS. Raises UserError."""
        raise _only_aws()


def rule_list(given: object) -> list[Rule | ProfilerRule] | None:
    """What an estimator is given as its rules; a single one needs no list. Raises UserError for what is none."""
    if given is None:
        return None
    return [_rule(each) for each in (given if isinstance(given, Iterable) and not isinstance(given, str) else [given])]


def _rule(given: object) -> Rule | ProfilerRule:
    if isinstance(given, Rule | ProfilerRule):
        return given
    if isinstance(given, RuleConfig):
        return ProfilerRule.sagemaker(given) if given.is_profilers else Rule.sagemaker(given)
    if isinstance(given, str):
        (request,) = rules.parse([given])
        return of_request(request)
    raise UserError(f"{given!r} is no rule.", _RULE_HINT)


def of_request(request: RuleRequest) -> Rule | ProfilerRule:
    """The rule that asks for what `request` does."""
    return ProfilerRule(request) if request.rule in PROFILER_RULES else Rule(request)


def _only_aws() -> UserError:
    return UserError(
        "A custom rule runs in a container at AWS, which is not to be had here.",
        "Read the records of a job with vizsla.records.read, and say what you think of them.",
    )


def _config(given: object) -> RuleConfig:
    if isinstance(given, RuleConfig):
        return given
    raise UserError(f"{given!r} is no built-in rule.", "Write Rule.sagemaker(rule_configs.overfit())")


def _actions(given: object) -> tuple[Action, ...]:
    if given is None:
        return ()
    if isinstance(given, ActionList | StopTraining | Command):
        return given.actions()
    raise UserError(f"{given!r} is no action.", "Write actions=rule_configs.StopTraining(), a Command or an ActionList")


def _mapping(given: object, argument: str) -> Mapping[str, Any]:
    if given is None or isinstance(given, Mapping):
        return given or {}
    raise UserError(f"{argument} is {given!r}: it takes names with values.", f'Write {argument}={{"NAME": VALUE}}')


def _collections(given: object, argument: str) -> tuple[CollectionConfig, ...]:
    if given is None:
        return ()
    found = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    for each in found:
        if not isinstance(each, CollectionConfig):
            raise UserError(f"{argument} has {each!r} in it.", f'Write {argument}=[CollectionConfig("gradients")]')
    return found


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """Tensors that are saved whole, by the name of their collection."""

    name: str
    parameters: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _mapping(self.parameters, "parameters")
        if not isinstance(self.name, str):
            raise UserError(f"{self.name!r} is no collection's name.", 'Write CollectionConfig("gradients").')

    def document(self) -> dict[str, Any]:
        """As SageMaker's JSON has it. Raises UserError for a parameter that smdebug does not know."""
        given = texts(self.parameters or {})
        _refuse_unknown(given, f"A collection such as {self.name}", _OF_HOOKS)
        return {"CollectionName": self.name, **({"CollectionParameters": given} if given else {})}


@dataclass(frozen=True, slots=True)
class DebuggerHookConfig:
    """What is saved and how often. The two paths mean nothing here: tensors are in the job's folder."""

    s3_output_path: str | None = None
    container_local_output_path: str | None = None
    hook_parameters: Mapping[str, Any] | None = None
    collection_configs: Sequence[CollectionConfig] | None = None

    def __post_init__(self) -> None:
        _mapping(self.hook_parameters, "hook_parameters")
        _collections(self.collection_configs, "collection_configs")

    def document(self, others: Iterable[CollectionConfig] = ()) -> dict[str, Any]:
        """SageMaker's DebugHookConfig, for a script's smdebug hook; `others` are collections that rules name.

        Raises UserError for a parameter that smdebug does not know.
        """
        parameters = texts(self.hook_parameters or {})
        _refuse_unknown(parameters, "A hook", _OF_HOOKS)
        collections = [each.document() for each in (*self._own, *others)]
        return {
            **({"HookParameters": parameters} if parameters else {}),
            **({"CollectionConfigurations": collections} if collections else {}),
        }

    def settings(self, others: Iterable[CollectionConfig] = ()) -> dict[str, str]:
        """The same as settings of the built-in classifier's debugger, where one interval holds for all collections.

        That is the shortest one named. Raises UserError for what the debugger has no word for.
        """
        given = texts(self.hook_parameters or {})
        known = [name for names in _SETTINGS.values() for name in names]
        _refuse_unknown(given, "The built-in classifier's debugger", known)
        chosen = {setting: [given[name] for name in names if name in given] for setting, names in _SETTINGS.items()}
        every = (*self._own, *others)
        whole = [_own_word(each) for each in every if not _reduced(each)]
        for setting in ("debug.save_every", "debug.eval_save_every"):
            own = [texts(each.parameters or {}) for each in every]
            chosen[setting] += [named[name] for named in own for name in _SETTINGS[setting] if name in named]
            chosen[setting].sort(key=lambda value: int(value) if value.isdecimal() else 0)
        found = {setting: values[0] for setting, values in chosen.items() if values}
        if whole:
            found["debug.raw"] = ",".join(dict.fromkeys(whole)) if "all" not in whole else "all"
        return found

    @property
    def _own(self) -> tuple[CollectionConfig, ...]:
        return _collections(self.collection_configs, "collection_configs")


_HOW_OFTEN = ("save_interval", "start_step", "end_step", "save_steps")
_EVERY = ("save_interval", "train.save_interval", "eval.save_interval")
_FIGURES = ("reductions", "abs_reductions", "norms", "abs_norms", "save_raw_tensor", "save_shape")
_OF_HOOKS = (  # what smdebug knows in both places
    *(f"{mode}{name}" for mode in ("", "train.", "eval.", "predict.", "global.") for name in _HOW_OFTEN),
    *(*_FIGURES, "include_regex", "include_workers", "save_all", "export_tensorboard", "tensorboard_dir"),
)
_SETTINGS = {
    "debug.save_every": ("train.save_interval", "save_interval"),
    "debug.eval_save_every": ("eval.save_interval",),
    "debug.start_step": ("train.start_step", "start_step"),
    "debug.end_step": ("train.end_step", "end_step"),
}


def _refuse_unknown(given: Iterable[str], who: str, known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise UserError(f"{who} has no parameter {name!r}.", f"There are {', '.join(sorted(known))}.")


def _reduced(collection: CollectionConfig) -> bool:
    """Whether only figures of it are asked for, which are always recorded. Raises UserError for what has no effect."""
    given = collection.parameters or {}
    _refuse_unknown(given, f"A collection of the built-in classifier such as {collection.name}", (*_FIGURES, *_EVERY))
    return any("reductions" in key or "norms" in key for key in given)


def _own_word(collection: CollectionConfig) -> str:
    name = OWN_WORD.get(collection.name, collection.name)
    if name not in (*COLLECTIONS, "all"):
        known = ", ".join(("all", *COLLECTIONS, *OWN_WORD))
        raise UserError(f"The debugger records no collection {collection.name!r}.", f"There are {known}.")
    return name


_RULE_HINT = 'Write Rule.sagemaker(rule_configs.overfit()), or "overfit:ratio_threshold=0.2".'
