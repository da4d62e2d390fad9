"""What SageMaker's users import as rule_configs: a function a built-in rule, and the actions.

`rule_configs.overfit()` names a rule; `Rule.sagemaker` makes one with parameters and actions of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vizsla.errors import UserError
from vizsla.job import PROFILER_RULES, Action, RuleRequest
from vizsla.sdk.arguments import texts


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """A rule by its name, with parameters."""

    rule: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def request(self) -> RuleRequest:
        """The rule under its own name, without actions; a parameter that is None is as documented."""
        given = {name: value for name, value in self.parameters.items() if value is not None}
        return RuleRequest(name=self.rule, rule=self.rule, parameters=texts(given))

    @property
    def is_profilers(self) -> bool:
        """Whether it looks at time and not at tensors."""
        return self.rule in PROFILER_RULES


class StopTraining:
    """Ends the job when its rule finds something. SageMaker's prefix says which job; here it is the rule's own."""

    def __init__(self, training_job_prefix: str | None = None) -> None:
        self.training_job_prefix = training_job_prefix

    def actions(self) -> tuple[Action, ...]:
        return (Action(name="stop"),)


class Command:
    """Runs a program when its rule finds something, with the finding as JSON on its stdin; no shell is asked."""

    def __init__(self, command: Sequence[str]) -> None:
        if isinstance(command, str) or not command:
            raise UserError(
                f"{command!r} is no command.", 'Give the program and its arguments: Command(["notify", "me"])'
            )
        self.command = tuple(command)

    def actions(self) -> tuple[Action, ...]:
        return (Action(name="command", command=self.command),)


class ActionList:
    """Several actions of one rule."""

    def __init__(self, *given: StopTraining | Command) -> None:
        self.given = given

    def actions(self) -> tuple[Action, ...]:
        return tuple(action for each in self.given for action in each.actions())


def Email(email_address: str) -> Command:
    """Refused: SageMaker sends these. Raises UserError."""
    raise _only_aws("mail", email_address)


def SMS(phone_number: str) -> Command:
    """Refused: SageMaker sends these. Raises UserError."""
    raise _only_aws("message", phone_number)


def _only_aws(what: str, to: str) -> UserError:
    return UserError(
        f"No {what} to {to} is sent from here: SageMaker does that through SNS.",
        "Let a program of yours do it: rule_configs.Command([PROGRAM, ARGUMENT, …])",
    )


def __getattr__(name: str) -> Callable[..., RuleConfig]:
    """`vanishing_gradient`, `overfit` …, and the profiler's rules by their names."""
    if name.startswith("__"):
        raise AttributeError(name)
    found = _configs().get(name)
    if found:
        return found
    near = difflib.get_close_matches(name, _configs(), n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise AttributeError(f"rule_configs has no {name!r}.{hint} It has {', '.join(_configs())}.")


def __dir__() -> list[str]:
    return [*_configs(), "ActionList", "Command", "Email", "SMS", "StopTraining"]


def _configs() -> dict[str, Callable[..., RuleConfig]]:
    from vizsla.api import rules

    known = rules.names()
    tensor_rules = {name: _maker(rule) for name, rule in known.items() if rule not in PROFILER_RULES}
    return tensor_rules | {rule: _maker(rule) for rule in known.values() if rule in PROFILER_RULES}


def _maker(rule: str) -> Callable[..., RuleConfig]:
    def config(**parameters: Any) -> RuleConfig:
        return RuleConfig(rule, parameters)

    config.__name__ = rule
    config.__doc__ = f"The built-in rule {rule}."
    return config
