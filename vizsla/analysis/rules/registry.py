"""Rules by name: what a user types to a rule that can be fed. The door to this package for all that ask for rules."""

from __future__ import annotations

import difflib
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from typing import Any

from vizsla.analysis.rules.activations import DeadRelu, SaturatedActivation
from vizsla.analysis.rules.base import Context, Rule, snake
from vizsla.analysis.rules.batches import BatchSize
from vizsla.analysis.rules.beginning import MaxInitializationTime
from vizsla.analysis.rules.devices import GPUMemoryIncrease, LoadBalancing, LowGPUUtilization
from vizsla.analysis.rules.fit import Overfit, Overtraining
from vizsla.analysis.rules.gradients import VanishingGradient
from vizsla.analysis.rules.initialization import PoorWeightInitialization
from vizsla.analysis.rules.inputs import CheckInputImages
from vizsla.analysis.rules.labels import ClassImbalance, Confusion
from vizsla.analysis.rules.loading import Dataloader
from vizsla.analysis.rules.losses import LossNotDecreasing
from vizsla.analysis.rules.overall import OverallFrameworkMetrics, OverallSystemUsage
from vizsla.analysis.rules.processors import CPUBottleneck, IOBottleneck
from vizsla.analysis.rules.profiler_report import ProfilerReport
from vizsla.analysis.rules.runs import SimilarAcrossRuns, StalledTrainingRule
from vizsla.analysis.rules.steps import StepOutlier
from vizsla.analysis.rules.tensors import AllZero, ExplodingTensor, TensorVariance
from vizsla.analysis.rules.unchanged import UnchangedTensor
from vizsla.analysis.rules.weights import WeightUpdateRatio
from vizsla.errors import UserError
from vizsla.job import Action, RuleRequest

TENSOR_RULES: tuple[type[Rule[Any]], ...] = (
    *(VanishingGradient, ExplodingTensor, Overfit, Overtraining, PoorWeightInitialization, LossNotDecreasing),
    *(WeightUpdateRatio, DeadRelu, SaturatedActivation, AllZero, UnchangedTensor, TensorVariance),
    *(ClassImbalance, Confusion, CheckInputImages, SimilarAcrossRuns, StalledTrainingRule),
)
PROFILER: tuple[type[Rule[Any]], ...] = (
    *(ProfilerReport, CPUBottleneck, IOBottleneck, Dataloader, BatchSize, StepOutlier, MaxInitializationTime),
    *(LowGPUUtilization, GPUMemoryIncrease, LoadBalancing, OverallSystemUsage, OverallFrameworkMetrics),
)
RULES = (*TENSOR_RULES, *PROFILER)

# SageMaker's rules that vizsla does not have, and what they are for.
ELSEWHERE = {
    "nlpsequenceratio": "networks that read text",
    "featureimportanceoverweight": "XGBoost",
    "treedepth": "XGBoost",
    "createxgboostreport": "XGBoost",
}

_PARAMETER = re.compile(r"\s*([A-Za-z_][\w-]*)=(.*)", re.DOTALL)


def find(name: str) -> type[Rule[Any]]:
    """The rule that `name` means: CamelCase or snake_case, `stalled_training` with or without its `_rule`.

    Raises UserError naming the nearest one.
    """
    by_key = {_key(rule.__name__): rule for rule in RULES}
    found = by_key.get(_key(name))
    if found:
        return found
    if subject := ELSEWHERE.get(_key(name)):
        raise UserError(
            f"{name} is a rule of SageMaker's that vizsla does not have: it is about {subject}.",
            "vizsla trains classifiers of photos; leave it out.",
        )
    near = difflib.get_close_matches(_key(name), by_key, n=1, cutoff=0.4)
    hint = f"Did you mean {snake(by_key[near[0]])}? " if near else ""
    known = ", ".join(snake(rule) for rule in RULES)
    raise UserError(f"There is no rule called {name!r}.", f"{hint}All rules: {known}.")


def parse(text: str) -> RuleRequest:
    """`overfit` or `overfit:ratio_threshold=0.2,patience=2` as a request, checked, under the rule's own name.

    `action=stop` ends the training at the rule's first finding; `action=command PROGRAM …` starts a program.
    A comma belongs to the value before it where no `name=` follows, so regular expressions may have some.
    Raises UserError as `make` does.
    """
    name, _, rest = text.partition(":")
    parameters: dict[str, str] = {}
    last = ""
    for piece in rest.split(",") if rest.strip() else []:
        if found := _PARAMETER.fullmatch(piece):
            last, value = found.groups()
            if last in parameters:
                raise UserError(f"{last} is given twice in {text!r}.", "Give it once.")
            parameters[last] = value.strip()
        elif last:
            parameters[last] += f",{piece}"
        else:
            raise UserError(f"{piece!r} in {text!r} is no parameter.", "Write a rule as NAME:parameter=value,…")
    rule = find(name.strip())
    actions = _actions(parameters.pop("action")) if "action" in parameters else ()
    request = RuleRequest(name=rule.__name__, rule=rule.__name__, parameters=parameters, actions=actions)
    make(request)
    return request


def _actions(text: str) -> tuple[Action, ...]:
    """`stop`, or `command` and what to run, split as a shell would. Raises UserError for anything else."""
    try:
        name, *command = shlex.split(text)
        if command and not command[0].strip():
            raise ValueError("a program without a name")
        return (Action.model_validate({"name": name, "command": tuple(command)}),)
    except ValueError as error:
        raise UserError(
            f"action={text} cannot be.", "It is action=stop, or action=command PROGRAM ARGUMENT …"
        ) from error


def distinct(requests: Iterable[RuleRequest]) -> tuple[RuleRequest, ...]:
    """The requests, with those that have a name another one has numbered: Overfit, Overfit-2."""
    seen: Counter[str] = Counter()
    named = []
    for request in requests:
        seen[request.name] += 1
        count = seen[request.name]
        named.append(request if count == 1 else request.model_copy(update={"name": f"{request.name}-{count}"}))
    return tuple(named)


def make(request: RuleRequest, context: Context | None = None) -> Rule[Any]:
    """The rule asked for, ready to see its first record.

    Raises UserError for an unknown rule or parameter (naming the nearest), or a value that cannot be.
    """
    rule = find(request.rule)
    return rule(request.name, rule.parse(request.parameters), context or Context())


def _key(name: str) -> str:
    """All spellings of a name as one."""
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("rule")
