"""Ranges and warm starts as SageMaker's users write them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vizsla import CategoricalParameter, ContinuousParameter, IntegerParameter, UserError, WarmStartConfig
from vizsla import WarmStartTypes as Types
from vizsla.sdk.parameters import ParameterRange


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        (ContinuousParameter(0.001, 0.01), {"MinValue": "0.001", "MaxValue": "0.01", "ScalingType": "Auto"}),
        (
            ContinuousParameter(min_value=1, max_value=2, scaling_type="Logarithmic"),
            {"MinValue": "1.0", "MaxValue": "2.0", "ScalingType": "Logarithmic"},
        ),
        (IntegerParameter(2, 3), {"MinValue": "2", "MaxValue": "3", "ScalingType": "Auto"}),
        (CategoricalParameter([64, 128]), {"Values": ["64", "128"]}),
        (CategoricalParameter(["sgd", 0.5, np.int64(3), True]), {"Values": ["sgd", "0.5", "3", "true"]}),
        (CategoricalParameter("sgd"), {"Values": ["sgd"]}),
    ],
)
def test_a_range_is_written_as_aws_writes_it(given: ParameterRange, wire: dict[str, object]) -> None:
    assert given.as_tuning_range("x") == {"Name": "x", **wire}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ContinuousParameter(2, 1), "nothing between the ends"),
        (lambda: ContinuousParameter("low", 1), "'low' cannot be the end of a range"),  # type: ignore[arg-type]
        (lambda: ContinuousParameter(0, 1, "Log"), "'Log' is no scaling"),
        (lambda: IntegerParameter(1, 2.5), "2.5 is no whole number"),  # type: ignore[arg-type]
        (lambda: CategoricalParameter([]), "cannot have 0 values"),
        (lambda: CategoricalParameter([1, "1"]), "named twice"),
        (lambda: WarmStartConfig(Types.TRANSFER_LEARNING, []), "0 parents"),
    ],
)
def test_a_range_that_cannot_be_is_refused_where_it_is_written(make: Callable[[], object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


def test_a_warm_start_takes_names_in_any_collection() -> None:
    made = WarmStartConfig(warm_start_type=Types.TRANSFER_LEARNING, parents={"a", "b"})
    assert (made.type.value, made.parents) == ("TransferLearning", {"a", "b"})
    assert WarmStartConfig(Types.IDENTICAL_DATA_AND_ALGORITHM, parents="a").parents == {"a"}
