"""Rules on GPUs on recorded samples, those among them that SageMaker's own rules are known to get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.analysis.profiling.making import START, job, machine, sample, steps
from tests.analysis.rules.making import judge
from vizsla.analysis.rules import parse
from vizsla.analysis.rules.devices import distance
from vizsla.errors import UserError
from vizsla.records import Record

GPU_RULES = ("low_gpu_utilization", "gpu_memory_increase", "load_balancing")


def used(*gpus: Sequence[float]) -> list[Record]:
    """How much each GPU was used, sample by sample."""
    return samples([{"gpu": list(each)} for each in zip(*gpus, strict=True)])


def memory(values: Sequence[float]) -> list[Record]:
    return samples([{"gpu": [90.0], "gpu_memory": [value]} for value in values])


def samples(figures: Sequence[dict[str, Any]]) -> list[Record]:
    taken = [sample(START + 0.5 * at, **each) for at, each in enumerate(figures, 1)]
    return [machine(), *steps(START, 1), *taken]


@pytest.mark.parametrize("rule", GPU_RULES)
def test_without_a_gpu_they_do_not_apply(rule: str) -> None:
    found = judge(rule, job(number=200))
    assert found.status == "NotApplicable"
    assert "No GPU" in found.reason


# ---- LowGPUUtilization


def test_a_gpu_with_too_little_to_do() -> None:
    found = judge("low_gpu_utilization", used([90.0] * 1001, [40.0] * 1001))
    assert [finding.measured["gpu"] for finding in found.findings] == [1]
    assert "its 95th percentile is 40 %" in found.findings[0].message


def test_a_gpu_that_was_never_used_is_called_that() -> None:
    found = judge("low_gpu_utilization", used([90.0] * 1001, [0.0] * 1001))
    assert "GPU 1 has too little to do: it was never used." in found.findings[0].message


def test_a_gpu_used_by_fits_and_starts() -> None:
    found = judge("low_gpu_utilization", used([0.0, *[95.0] * 9] * 101))
    assert "fits and starts" in found.findings[0].message


def test_a_gpu_that_works_is_let_be() -> None:
    assert judge("low_gpu_utilization", used([90.0, 95.0] * 501)).status == "NoIssuesFound"


def test_only_the_last_samples_count() -> None:
    assert judge("low_gpu_utilization", used([5.0] * 500 + [90.0] * 600)).status == "NoIssuesFound"
    found = judge("low_gpu_utilization", used([90.0] * 600 + [5.0] * 600))
    assert found.status == "IssuesFound"


# ---- GPUMemoryIncrease

FLAT = [40.0] * 1001


def test_a_jump_of_six_points_is_seen() -> None:
    """With windows that overlap, it would take 25."""
    found = judge("gpu_memory_increase", memory([*FLAT, *[40.0] * 20, *[46.0] * 30]))
    assert found.triggered == 1
    assert (found.findings[0].measured["before"], round(found.findings[0].measured["now"])) == (40.0, 45)


def test_the_documented_parameters_can_fire() -> None:
    """With windows that overlap, they never could: no jump is higher than 100."""
    records = memory([*[40.0] * 200, *[40.0] * 600, *[60.0] * 600])
    assert judge("gpu_memory_increase:increase=10,patience=100,window=500", records).status == "IssuesFound"


def test_a_slow_leak_is_seen_and_told_each_time_it_has_grown_so_much() -> None:
    found = judge("gpu_memory_increase", memory([*FLAT, *(40 + 0.02 * at for at in range(1000))]))
    assert 3 <= found.triggered <= 4
    assert found.findings[-1].measured["now"] > 54


def test_memory_that_comes_and_goes_is_told_once() -> None:
    found = judge("gpu_memory_increase", memory([*FLAT, *([40.0] * 50 + [60.0] * 50) * 5]))
    assert found.triggered <= 3  # on the way up to what it needs, and never again


def test_what_a_training_takes_to_begin_is_no_increase() -> None:
    assert judge("gpu_memory_increase", memory([*range(80), *[80.0] * 1500])).status == "NoIssuesFound"
    short = judge("gpu_memory_increase", memory([*range(80), *[80.0] * 100]))
    assert (short.status, "lower patience=1000" in short.reason) == ("NotApplicable", True)


def test_memory_that_stays_is_let_be() -> None:
    assert judge("gpu_memory_increase", memory([*FLAT, *[44.0] * 500])).status == "NoIssuesFound"


# ---- LoadBalancing


def test_one_gpu_that_does_the_work_of_two() -> None:
    """SageMaker's rule compared no two GPUs of one machine, and left out what is above 98 %."""
    found = judge("load_balancing", used([95.0] * 1500, [5.0] * 1500))
    assert (found.status, found.triggered) == ("IssuesFound", 1)
    assert found.findings[0].measured["distance"] == pytest.approx(0.8326, abs=1e-3)
    assert judge("load_balancing", used([100.0] * 1500, [5.0] * 1500)).status == "IssuesFound"


def test_equal_work_is_let_be() -> None:
    up, down = [80.0, 90.0] * 600, [90.0, 80.0] * 600
    assert judge("load_balancing", used(up, down)).status == "NoIssuesFound"


def test_gpus_that_hardly_differ_are_let_be_though_their_histograms_have_nothing_in_common() -> None:
    records = used([91.0] * 1200, [95.0] * 1200)
    assert judge("load_balancing", records).status == "NoIssuesFound"
    assert judge("load_balancing:least_points=0", records).status == "IssuesFound"


def test_every_pair_of_three_is_compared() -> None:
    assert judge("load_balancing", used([90.0] * 1200, [90.0] * 1200, [5.0] * 1200)).triggered == 2


def test_one_gpu_has_nothing_to_balance() -> None:
    found = judge("load_balancing", used([90.0] * 1200))
    assert (found.status, found.reason) == ("NotApplicable", "There is one GPU, and nothing to balance.")


def test_a_threshold_that_could_never_be_reached_is_refused() -> None:
    assert distance([1, 0], [0, 1]) == pytest.approx(0.8326, abs=1e-4)
    assert distance([3, 1], [6, 2]) == 0
    with pytest.raises(UserError, match=r"threshold=0.84"):
        parse("load_balancing:threshold=0.84")
