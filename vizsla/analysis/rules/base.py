"""What a rule is: a fold over the records of a job, that says what it found and what to do about it.

Records come in order, one at a time, while a job runs or afterwards; `evaluating` feeds them, `registry` finds rules by
name. A rule knows records and its parameters, never tensors, files or the training.
"""

from __future__ import annotations

import difflib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from vizsla import keys
from vizsla.errors import UserError
from vizsla.keys import Section
from vizsla.records import Record
from vizsla.words import visible

if TYPE_CHECKING:
    import numpy as np

P = TypeVar("P", bound=Section)

STATUSES = ("InProgress", "NoIssuesFound", "IssuesFound", "Error", "Stopped", "NotApplicable")
KEPT_FINDINGS = 100  # of one evaluation; further ones are counted

# Parameters that SageMaker's own tools put in; which job is looked at is known here without them.
_ADDED = frozenset({"base_trial", "rule_to_invoke"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a rule holds against a training, with the cure."""

    rule: str
    """The configured name of the evaluation."""
    message: str
    """What is wrong and where: the layer, the step, the numbers against the threshold."""
    cure: str
    """What to change, as the user would type it."""
    mode: str | None = None
    step: int | None = None
    epoch: int | None = None
    tensor: str | None = None
    numbers: Mapping[str, float] | None = None
    """What was measured and what it was held against, by name."""

    def document(self) -> dict[str, Any]:
        """The finding as strict JSON has it; a number that is not finite is the word of `records`."""
        numbers = {name: value if math.isfinite(value) else str(float(value)) for name, value in self.measured.items()}
        return {
            "rule": self.rule,
            "message": self.message,
            "cure": self.cure,
            "mode": self.mode,
            "step": self.step,
            "epoch": self.epoch,
            "tensor": self.tensor,
            "numbers": numbers,
        }

    @property
    def measured(self) -> Mapping[str, float]:
        return self.numbers or {}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a rule came out."""

    name: str
    """As configured; of one job, no two are the same."""
    rule: str
    """CamelCase."""
    status: str
    """One of `STATUSES`."""
    triggered: int
    """How often it found something."""
    datapoints: int
    """How many measurements it looked at."""
    parameters: Mapping[str, Any]
    """All of them, defaults too."""
    findings: tuple[Finding, ...]
    """The first hundred."""
    reason: str = ""
    """Why nothing could be inspected, what failed, or what could not be looked at."""

    def document(self) -> dict[str, Any]:
        """The evaluation as strict JSON has it."""
        return {
            "name": self.name,
            "rule": self.rule,
            "status": self.status,
            "triggered": self.triggered,
            "datapoints": self.datapoints,
            "parameters": dict(self.parameters),
            "findings": [finding.document() for finding in self.findings],
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may know besides the records."""

    settings: Mapping[str, Any] | None = None
    """The plan's settings by their key (`lr`, `data.fraction`), for concrete cures; None for a script."""
    others: Callable[[str], Sequence[Record]] | None = None
    """The records of another job, by name or path; raises VizslaError where there is none."""
    load: Callable[[Record], np.ndarray[Any, Any] | None] | None = None
    """The raw tensor of a record, None where it was not saved."""
    classes: Sequence[str] | None = None
    """What the classes are called, by index; None for a script, which has not said it."""

    def class_name(self, index: int) -> str:
        """dog, or "class 3" where the names are not known."""
        known = self.classes or ()
        return visible(known[index]) if 0 <= index < len(known) else f"class {index}"


class Rule(ABC, Generic[P]):
    """One evaluation of one rule: parameters and what has been seen so far."""

    Parameters: ClassVar[type[Section]]
    """The documented names and defaults; the docstring below a field is its help."""
    looks_at: ClassVar[str]
    """Which records it inspects, for a person."""
    meaning: ClassVar[str]
    """When it fires, in a sentence."""
    advice: ClassVar[str]
    """What to do then, in a sentence."""

    def __init__(self, name: str, parameters: P, context: Context) -> None:
        self.name = name
        self.parameters = parameters
        self.context = context
        self.datapoints = 0

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> P:
        """The parameters that strings mean. Raises UserError for an unknown one (naming the nearest), or a value that
        cannot be.
        """
        wanted = {name: value for name, value in given.items() if name not in _ADDED}
        names = [key.name for key in keys.declared(cls.Parameters)]
        for name in wanted:
            if name.replace("-", "_") not in names:
                raise cls.unknown(name, names)
        try:
            parameters: P = keys.parse(cls.Parameters, wanted)  # type: ignore[assignment]
        except UserError as error:
            raise UserError(f"{cls.__name__}: {error.message}", error.hint) from error
        return parameters

    @classmethod
    def unknown(cls, name: str, names: Sequence[str]) -> UserError:
        """That there is no parameter `name`, and which of `names` is the nearest."""
        near = difflib.get_close_matches(name.replace("-", "_"), names, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}? " if near else ""
        return UserError(f"{cls.__name__} has no parameter {name!r}.", f"{hint}It has {', '.join(names)}.")

    @classmethod
    def fires(cls) -> str:
        """When it fires, as a sentence without its full stop."""
        return f"Fires {cls.meaning}" if cls.meaning.startswith("never") else f"Fires when {cls.meaning}"

    @abstractmethod
    def see(self, record: Record) -> Iterable[Finding]:
        """What `record` shows, given all before it."""

    def tick(self, now: float) -> Iterable[Finding]:
        """What can be said at `now` (unix seconds) although no record came. Called from time to time, or never."""
        return ()

    def done(self, now: float | None) -> Iterable[Finding]:
        """What can only be said when the last record has been seen; `now` is when the job ended, if that is known."""
        return ()

    @abstractmethod
    def unfit(self) -> str:
        """Why there was nothing to inspect and how to change that; "" if there was. Asked once all has been seen."""

    def remark(self) -> str:
        """What could not be looked at although the rest was; mostly ""."""
        return ""

    @property
    def stops(self) -> bool:
        """Whether a parameter asks for the job to be stopped at a finding."""
        return False

    def found(self, record: Record, message: str, cure: str, **numbers: float) -> Finding:
        """A finding at the place of `record`; a tensor's name is that of a tensor record only."""
        tensor = record.name if record.kind == "tensor" else None
        return Finding(self.name, message, cure, record.mode, record.step, record.epoch, tensor, numbers)


def snake(rule: type[Rule[Any]]) -> str:
    """VanishingGradient → vanishing_gradient, as `rule_configs` calls it; GPUMemoryIncrease → gpu_memory_increase."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", rule.__name__).lower()
