"""Statistics of tensors: the numbers numpy gives, whatever the type and layout, and one transfer for all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.utils._python_dispatch import TorchDispatchMode

from vizsla.observers import tensors
from vizsla.observers.tensors import Gathering

NORMAL = st.floats(-1e6, 1e6, width=32)
ANY = NORMAL | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0])


pytestmark = pytest.mark.usefixtures("one_thread")


def arrays_of(elements: st.SearchStrategy[float], min_dims: int = 0) -> st.SearchStrategy[np.ndarray]:
    shapes = arrays.array_shapes(min_dims=min_dims, max_dims=4, min_side=0, max_side=5)
    return arrays.arrays(np.float32, shapes, elements=elements)


def taken(numbers: dict[str, torch.Tensor]) -> dict[str, Any]:
    gathering = Gathering[str]()
    gathering.add("it", numbers)
    ((_, found),) = gathering.take()
    return found


def close(found: float, wanted: float, scale: float = 1.0) -> bool:
    return bool(np.isclose(found, wanted, rtol=1e-4, atol=1e-5 * scale, equal_nan=True))


# ---- moments


@given(arrays_of(ANY))
def test_moments_are_those_of_the_finite_elements(array: np.ndarray) -> None:
    found = taken(tensors.moments(torch.from_numpy(array)))
    finite = array[np.isfinite(array)].astype(np.float64)
    assert (found["nan"], found["inf"]) == (np.isnan(array).sum(), np.isinf(array).sum())
    if not finite.size:
        assert all(math.isnan(value) for name, value in found.items() if name not in ("nan", "inf"))
        return
    scale = max(1.0, float(np.abs(finite).max()))
    assert close(found["mean"], finite.mean(), scale)
    assert close(found["variance"], finite.var(), scale**2)
    assert (found["min"], found["max"]) == (finite.min(), finite.max())
    assert close(found["abs_mean"], np.abs(finite).mean(), scale)
    assert close(found["l2"], np.sqrt((finite**2).sum()), scale)
    assert close(found["zeros"], (finite == 0).mean())


@given(arrays_of(NORMAL))
def test_both_ways_to_the_moments_agree(array: np.ndarray) -> None:
    tensor = torch.from_numpy(array)
    if tensor.numel():
        quick, careful = (
            taken(tensors._of_finite(tensor, torch.linalg.vector_norm(tensor))),
            taken(tensors._of_finite_part(tensor)),
        )
        scale = max(1.0, quick["max"] ** 2, quick["min"] ** 2)
        assert all(close(quick[name], careful[name], scale) for name in quick)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_any_type_is_looked_at(dtype: torch.dtype) -> None:
    found = taken(tensors.moments(torch.tensor([0, 1, 1, 0]).to(dtype)))
    assert (found["mean"], found["variance"], found["max"], found["zeros"]) == (0.5, 0.25, 1, 0.5)


def test_a_small_type_is_summed_in_a_large_one() -> None:
    many = torch.full((100_000,), 1.0, dtype=torch.float16)
    found = taken(tensors.moments(many))
    assert found["mean"] == 1
    assert found["l2"] == pytest.approx(math.sqrt(100_000))


@pytest.mark.parametrize("shape", [(6, 4, 3, 5), (6, 8)])
def test_the_layout_in_memory_changes_nothing(shape: tuple[int, ...]) -> None:
    plain = torch.linspace(-1, 2, math.prod(shape)).reshape(shape)
    others = [plain.transpose(0, 1).contiguous().transpose(0, 1), torch.stack([plain, plain], dim=-1)[..., 0]]
    if plain.dim() == 4:
        others.append(plain.contiguous(memory_format=torch.channels_last))
    wanted = taken(tensors.moments(plain) | tensors.percentiles(plain))
    for other in others:
        assert taken(tensors.moments(other) | tensors.percentiles(other)) == pytest.approx(wanted, rel=1e-5)


def test_a_sparse_gradient_is_looked_at_whole() -> None:
    table = torch.nn.Embedding(10, 4, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    assert table.weight.grad is not None
    found = taken(tensors.moments(table.weight.grad))
    assert found["zeros"] == pytest.approx(0.8)


def test_a_tensor_that_is_trained_stays_as_it_was() -> None:
    weight = torch.nn.Parameter(torch.randn(8, 8))
    before = weight.detach().clone()
    numbers = tensors.moments(weight) | tensors.percentiles(weight) | tensors.change(torch.zeros(8, 8), weight)
    assert torch.equal(before, weight.detach())
    assert not any(number.requires_grad for number in numbers.values())


# ---- percentiles


@given(arrays_of(ANY))
def test_percentiles_of_few_elements_are_exact(array: np.ndarray) -> None:
    found = taken(tensors.percentiles(torch.from_numpy(array)))
    finite = array[np.isfinite(array)].astype(np.float64)
    wanted = np.percentile(finite, [5, 95]) if finite.size else (math.nan, math.nan)
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    assert close(found["p5"], wanted[0], scale)
    assert close(found["p95"], wanted[1], scale)


def test_percentiles_of_many_elements_are_near() -> None:
    many = torch.linspace(0, 1, 1_000_000)[torch.randperm(1_000_000, generator=torch.Generator().manual_seed(1))]
    found = taken(tensors.percentiles(many))
    assert (found["p5"], found["p95"]) == (pytest.approx(0.05, abs=0.01), pytest.approx(0.95, abs=0.01))


# ---- change


@given(st.data())
def test_needed_rtol_is_where_allclose_begins_to_hold(data: st.DataObject) -> None:
    elements = st.floats(-10, 10, width=32)
    before = data.draw(arrays.arrays(np.float64, 6, elements=elements))
    now = data.draw(arrays.arrays(np.float64, 6, elements=elements))
    found = taken(tensors.change(torch.from_numpy(before), torch.from_numpy(now)))
    rtol = found["needed_rtol"]
    assert close(found["change_abs_mean"], np.abs(before - now).mean())
    assert close(found["previous_abs_mean"], np.abs(before).mean())
    if math.isinf(rtol):
        assert not np.allclose(before, now, rtol=1e3, atol=1e-8)
    else:
        assert np.allclose(before, now, rtol=rtol * (1 + 1e-9), atol=1e-8 * (1 + 1e-6))
        if rtol > 1e-12:
            assert not np.allclose(before, now, rtol=rtol * (1 - 1e-6), atol=1e-8)


def test_a_weight_that_did_not_move_needs_no_tolerance() -> None:
    weight = torch.tensor([0.0, 1.0, -2.0])
    assert taken(tensors.change(weight, weight.clone()))["needed_rtol"] == 0


@pytest.mark.parametrize("now", [[0.0, math.nan], [0.0, 1.0]])
def test_nothing_is_close_to_nan_nor_to_a_zero_that_was_left(now: list[float]) -> None:
    before = torch.tensor([1.0, 1.0])
    assert taken(tensors.change(before, torch.tensor(now)))["needed_rtol"] == math.inf


# ---- channels


def test_shares_are_of_each_channel() -> None:
    x = torch.zeros(2, 3, 2, 2)
    x[:, 1] = 1
    x[0, 2] = 5
    assert taken(tensors.active(x))["active"] == [0, 1, 0.5]
    assert taken(tensors.active(x[:, :, 0, 0]))["active"] == [0, 1, 0.5]
    found = taken(tensors.cumulative(x))
    assert found["cdf:0"] == [1, 0, 0.5]
    assert found["cdf:5"] == [1, 1, 1]
    assert found["cdf:-23"] == [0, 0, 0]
    means = taken(tensors.channels(x))
    assert means["channel_mean"] == [0, 1, 2.5]
    assert means["channel_variance"] == [0, 0, 6.25]


def test_cumulative_shares_have_the_edges_that_rules_look_for() -> None:
    names = {"-23", "-16.99999", "-9.4999", "-5", "0", "5", "9.4999", "16.99999", "23"}
    assert set(tensors.cumulative(torch.zeros(1, 1))) == {f"cdf:{name}" for name in names}


def test_of_very_many_channels_the_first_are_told() -> None:
    assert len(taken(tensors.active(torch.ones(1, 5000)))["active"]) == 4096


@pytest.mark.parametrize("tensor", [torch.ones(3), torch.tensor(1.0), torch.ones(0, 4)])
def test_what_has_no_channels_has_no_shares(tensor: torch.Tensor) -> None:
    assert tensors.active(tensor) == tensors.cumulative(tensor) == tensors.channels(tensor) == {}


# ---- samples


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_a_sample_keeps_every_channel_and_most_of_the_limit(shape: list[int]) -> None:
    whole = torch.arange(math.prod(shape)).reshape(shape)
    part = tensors.sample(whole, limit=1000)
    if len(shape) > 1:
        assert part.shape[1] == shape[1]
    assert part.numel() <= max(1000, shape[1] if len(shape) > 1 else 0) * 2
    assert part.numel() >= min(whole.numel(), 50)
    assert len(set(part.flatten().tolist())) == part.numel()


def test_a_small_tensor_is_its_own_sample() -> None:
    small = torch.ones(10, 10)
    assert tensors.sample(small) is small


def test_the_border_of_photos_is_not_all_that_is_looked_at() -> None:
    x = torch.zeros(64, 16, 56, 56)
    x[:, :, 1:-1, 1:-1] = 1
    assert taken(tensors.moments(tensors.sample(x, 1 << 14)))["mean"] == 1


# ---- one transfer


class Transfers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what would make the host wait for a GPU."""

    asked = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.asked += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)
        return func(*args, **(kwargs or {}))


def test_no_number_is_asked_for_before_all_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "moments", tensors._of_finite_part)  # the way it goes on a GPU
    lists: list[torch.Tensor] = []
    tolist = torch.Tensor.tolist

    def noted(self: torch.Tensor) -> Any:
        lists.append(self)
        return tolist(self)

    monkeypatch.setattr(torch.Tensor, "tolist", noted)
    gathering = Gathering[int]()
    with Transfers() as transfers:  # type: ignore[no-untyped-call]
        for index in range(20):
            x = torch.randn(4, 3, 8, 8)
            numbers = tensors.moments(x) | tensors.percentiles(x) | tensors.change(x, x + 1)
            gathering.add(index, numbers | tensors.active(x) | tensors.cumulative(x) | tensors.channels(x))
        assert transfers.asked == len(lists) == 0
        found = gathering.take()
    assert len(lists) == 1
    assert [key for key, _ in found] == list(range(20))
    assert gathering.take() == []


def test_what_is_known_goes_with_what_is_measured_in_order() -> None:
    gathering = Gathering[str]()
    gathering.add("a", {"sum": torch.tensor(1.5)}, {"size": 3, "type": "ReLU"})
    gathering.add("b", {"indices": torch.tensor([2, 0])})
    assert gathering.take() == [("a", {"size": 3, "type": "ReLU", "sum": 1.5}), ("b", {"indices": [2, 0]})]
