"""The rule on tensors that stay as they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from vizsla.analysis.rules import cures
from vizsla.analysis.rules.base import Context, Finding, Rule
from vizsla.analysis.rules.reading import number, place, scalar
from vizsla.analysis.rules.selection import Selection
from vizsla.analysis.rules.tensors import Named
from vizsla.keys import Section
from vizsla.records import Record

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

STATISTICS_ATOL = 1e-8  # the absolute tolerance under which `needed_rtol` of a record was worked out


class UnchangedTensorParameters(Named):
    """unchanged_tensor."""

    num_steps: int = Field(3, ge=2)
    """How many saved steps in a row the tensor has to stay as it is."""
    rtol: float = Field(1e-5, ge=0)
    """Relative tolerance, as in numpy.allclose."""
    atol: float = Field(1e-8, ge=0)
    """Absolute tolerance, as in numpy.allclose; others than 1e-8 need raw tensors."""
    equal_nan: bool = False
    """Whether NaN is equal to NaN."""


class UnchangedTensor(Rule[UnchangedTensorParameters]):
    """Tensors that do not change.

    Raw tensors and single numbers are compared as numpy.allclose does: each of the last steps with the latest. Where
    only statistics were saved, each saved step is compared with the one before.
    """

    Parameters: ClassVar[type[Section]] = UnchangedTensorParameters
    looks_at: ClassVar[str] = "the tensors named: weights, biases, single numbers, and what was saved raw"
    meaning: ClassVar[str] = "a tensor stayed as it is (numpy.allclose) over the last `num_steps` saved steps"
    advice: ClassVar[str] = "weights that stay are frozen, or the learning rate is too low for them to move"

    def __init__(self, name: str, parameters: UnchangedTensorParameters, context: Context) -> None:
        super().__init__(name, parameters, context)
        self._selection = Selection.of(parameters.collection_names, parameters.tensor_regex)
        self._values: dict[tuple[str, str | None], deque[Array]] = {}
        self._same: dict[tuple[str, str | None], int] = {}  # saved steps in a row that are as the one before
        self._incomparable = 0

    def see(self, record: Record) -> Iterable[Finding]:
        if record.kind not in ("tensor", "metric") or not self._selection.takes(record):
            return
        value = self._value(record)
        unchanged = self._by_statistics(record) if value is None else self._by_value(record, value)
        if unchanged:
            steps = self.parameters.num_steps
            message = f"{record.name} has not changed over the last {steps} saved steps, up to {place(record)}."
            yield self.found(record, message, cures.higher_lr(self.context.settings), num_steps=steps)

    def _value(self, record: Record) -> Array | None:
        import numpy as np

        single = scalar(record)
        if single is not None:
            return np.asarray(single)
        return self.context.load(record) if self.context.load and record.file else None

    def _by_value(self, record: Record, value: Array) -> bool:
        import numpy as np

        self.datapoints += 1
        steps = self.parameters.num_steps
        known = self._values.setdefault((record.name, record.mode), deque(maxlen=steps))
        known.append(value)
        tolerance = {"rtol": self.parameters.rtol, "atol": self.parameters.atol}
        return len(known) == steps and all(
            one.shape == value.shape and np.allclose(one, value, **tolerance, equal_nan=self.parameters.equal_nan)
            for one in list(known)[:-1]
        )

    def _by_statistics(self, record: Record) -> bool:
        needed = number(record, "needed_rtol")
        if needed is None or self.parameters.atol != STATISTICS_ATOL:
            self._incomparable += 1
            return False
        self.datapoints += 1
        key = (record.name, record.mode)
        nan = (number(record, "nan") or 0) > 0 and not self.parameters.equal_nan
        same = needed <= self.parameters.rtol and not nan  # a needed_rtol that is NaN is no agreement
        self._same[key] = self._same.get(key, 0) + 1 if same else 0
        return self._same[key] >= self.parameters.num_steps - 1

    def unfit(self) -> str:
        if self.datapoints:
            return ""
        if not self._incomparable:
            return f"No tensor was inspected: nothing that was saved is {self._selection}."
        return (
            f"The tensors that are {self._selection} cannot be compared between steps by their statistics: save them "
            f"raw, or name weights or biases (with atol={STATISTICS_ATOL:g}), saved at two steps at least."
        )
