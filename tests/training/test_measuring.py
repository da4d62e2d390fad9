"""The fastest way to do the work is found by trying each for a moment: here with machines whose speeds are made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from vizsla.errors import VizslaError
from vizsla.job import RunSettings
from vizsla.training import measuring
from vizsla.training.execution import Execution, usual
from vizsla.training.measuring import BUDGET_S, Pass, measure

ORT, LAST, FIRST, HALF = "onnxruntime", "torch channels_last", "torch contiguous", "torch bfloat16"


@dataclass
class Machine:
    """Work in made-up time: img/s of the frozen part by engine, of training by layout, of reading by threads."""

    engines: Mapping[str, float] = field(default_factory=lambda: {ORT: 140.0, LAST: 45.0, FIRST: 38.0})
    training: Mapping[str, float] | None = field(default_factory=lambda: {"channels_last": 130.0, "contiguous": 90.0})
    reading: Mapping[int, float] = field(default_factory=lambda: {0: 90.0, 1: 100.0, 2: 101.0})
    fewer_threads: float = 0.6
    export_s: float = 0.0
    apart: float = 0.0
    batch: int = 8
    now: float = 100.0
    made: list[str] = field(default_factory=list)
    exported_s: float = 0.0

    def clock(self) -> float:
        return self.now

    def frozen(self, how: Execution) -> Pass | None:
        if not self.engines:
            return None
        kind = ORT if how.engine == ORT else HALF if how.precision == "bfloat16" else f"torch {how.memory_format}"
        self.made.append(kind)
        if kind == ORT:
            self.now += self.export_s
            self.exported_s += self.export_s
        if kind not in self.engines:
            raise VizslaError("it has a layer that nobody knows.")
        return self._pass(self.engines[kind] * (self.fewer_threads if how.threads == 1 else 1), self.batch)

    def trained(self, how: Execution) -> Pass | None:
        if self.training is None:
            return None
        self.made.append(f"train {how.memory_format}")
        return self._pass(self.training[how.memory_format], self.batch)

    def read(self, how: Execution, photos: int) -> Pass:
        self.made.append(f"read {how.loader_workers}")
        return self._pass(self.reading[how.loader_workers], photos)

    def losses(self, how: Execution, other: Execution, photos: int) -> tuple[float, float]:
        self.now += photos / self.engines[HALF] + photos / self.engines[ORT]
        self.made.append(f"losses of {how.precision} and {other.precision} on {photos}")
        return 0.5 * (1 + self.apart), 0.5

    def _pass(self, rate: float, photos: int) -> Pass:
        def once() -> int:
            self.now += photos / rate
            return photos

        return once


def chosen_on(machine: Machine, **given: object) -> Execution:
    settings = RunSettings.model_validate(given)
    return measure(usual(settings, share=2), settings, machine, machine.clock)


def said(execution: Execution, words: str) -> str:
    (line,) = [line for line in execution.why if line.startswith(words)]
    return line


@pytest.fixture(autouse=True)
def _no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "has_bfloat16", lambda: False)


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "has_bfloat16", lambda: True)


# ---- what runs the frozen part


@pytest.mark.parametrize(
    ("speeds", "engine", "memory_format"),
    [
        ({ORT: 140.0, LAST: 45.0, FIRST: 38.0}, ORT, "channels_last"),
        ({ORT: 60.0, LAST: 96.0, FIRST: 38.0}, "torch", "channels_last"),
        ({ORT: 60.0, LAST: 70.0, FIRST: 96.0}, "torch", "contiguous"),
    ],
)
def test_the_fastest_engine_is_taken(speeds: dict[str, float], engine: str, memory_format: str) -> None:
    chosen = chosen_on(Machine(engines=speeds))
    assert (chosen.engine, chosen.memory_format) == (engine, memory_format)


def test_the_reason_has_the_figures_of_all_that_were_tried() -> None:
    line = said(chosen_on(Machine()), "frozen part")
    assert line == (
        "frozen part in ONNX Runtime float32: 140 img/s against "
        "45 in torch float32 channels_last, 38 in torch float32 contiguous"
    )


def test_an_engine_that_cannot_run_it_is_left_out_and_named() -> None:
    chosen = chosen_on(Machine(engines={LAST: 45.0, FIRST: 38.0}))
    assert chosen.engine == "torch"
    assert "not in ONNX Runtime float32: it has a layer that nobody knows" in chosen.why


def test_where_no_engine_can_run_it_that_is_an_error() -> None:
    with pytest.raises(VizslaError, match="a layer that nobody knows"):
        chosen_on(Machine(engines={"none of them": 1.0}))


def test_where_nothing_is_frozen_torch_trains_the_whole() -> None:
    chosen = chosen_on(Machine(engines={}))
    assert (chosen.engine, chosen.memory_format) == ("torch", "channels_last")
    assert "frozen" not in chosen.rates
    assert said(chosen, "trained part") == "trained part in channels_last: 130 img/s against 90 in contiguous"


# ---- bfloat16


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_is_taken_where_it_is_faster_and_a_probe_loses_nothing() -> None:
    machine = Machine(engines={ORT: 70.0, HALF: 96.0, LAST: 38.0, FIRST: 30.0}, apart=0.009)
    chosen = chosen_on(machine)
    assert (chosen.engine, chosen.precision) == ("torch", "bfloat16")
    assert said(chosen, "bfloat16").endswith("within 0.9%")


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("apart", [0.011, -0.011])
def test_bfloat16_that_changes_the_loss_is_not_taken(apart: float) -> None:
    chosen = chosen_on(Machine(engines={ORT: 70.0, HALF: 96.0, LAST: 38.0, FIRST: 30.0}, apart=apart))
    assert (chosen.engine, chosen.precision) == (ORT, "float32")
    assert said(chosen, "not in bfloat16").endswith("1.1% apart")


@pytest.mark.usefixtures("bfloat16")
def test_a_slower_bfloat16_is_not_even_compared() -> None:
    machine = Machine(engines={ORT: 140.0, HALF: 96.0, LAST: 38.0, FIRST: 30.0})
    assert chosen_on(machine).precision == "float32"
    assert not [each for each in machine.made if each.startswith("losses")]


@pytest.mark.usefixtures("bfloat16")
def test_at_most_256_photos_tell_the_precisions_apart() -> None:
    machine = Machine(engines={ORT: 700.0, HALF: 9600.0, LAST: 380.0, FIRST: 300.0}, batch=64)
    chosen_on(machine)
    (compared,) = [each for each in machine.made if each.startswith("losses")]
    assert compared == "losses of bfloat16 and float32 on 256"


def test_a_cpu_without_bfloat16_never_tries_it() -> None:
    machine = Machine()
    chosen_on(machine)
    assert HALF not in machine.made


# ---- threads, layout, decoding


def test_fewer_threads_are_taken_only_where_they_are_clearly_faster() -> None:
    assert chosen_on(Machine(fewer_threads=1.2)).threads == 2
    chosen = chosen_on(Machine(fewer_threads=1.5))
    assert chosen.threads == 1
    assert said(chosen, "threads") == "threads 1: 210 img/s against 140 with 2"


def test_beside_onnx_runtime_the_trained_part_chooses_the_layout() -> None:
    chosen = chosen_on(Machine(training={"channels_last": 60.0, "contiguous": 90.0}))
    assert (chosen.engine, chosen.memory_format) == (ORT, "contiguous")


def test_the_fewest_decoding_threads_that_are_as_fast_are_taken_and_all_figures_said() -> None:
    chosen = chosen_on(Machine())
    assert chosen.loader_workers == 1
    assert said(chosen, "loader workers") == ("loader workers 1: 90 img/s with 0, 100 img/s with 1, 101 img/s with 2")


def test_the_rates_are_there_to_predict_from() -> None:
    assert chosen_on(Machine()).rates == pytest.approx({"frozen": 140.0, "train": 130.0, "read": 100.0})


# ---- what is given


def test_what_is_given_is_taken_and_not_measured() -> None:
    machine = Machine()
    chosen = chosen_on(machine, engine="torch", precision="float32", memory_format="contiguous", threads=1)
    assert (chosen.engine, chosen.memory_format, chosen.threads) == ("torch", "contiguous", 1)
    assert ORT not in machine.made
    assert LAST not in machine.made
    assert "train channels_last" not in machine.made
    assert not [line for line in chosen.why if line.startswith(("frozen", "threads", "trained"))]


def test_a_given_number_of_decoding_threads_is_the_only_one_that_is_tried() -> None:
    machine = Machine(reading={7: 50.0})
    assert chosen_on(machine, loader_workers=7).loader_workers == 7
    assert [each for each in machine.made if each.startswith("read")] == ["read 7"]


# ---- the budget


@pytest.mark.parametrize("scale", [0.02, 0.1, 0.3, 1.0, 10.0])
def test_measuring_ends_in_time_on_slow_machines_and_fast_ones(scale: float) -> None:
    machine = Machine(
        engines={ORT: 140 * scale, LAST: 45 * scale, FIRST: 38 * scale},
        training={"channels_last": 130 * scale, "contiguous": 90 * scale},
        reading={0: 40 * scale, 1: 100 * scale, 2: 101 * scale},
        batch=8,
    )
    begun = machine.now
    chosen_on(machine)
    longest = max(8 / (38 * scale), 96 / (40 * scale))  # a pass that has begun is not broken off
    assert machine.now - begun <= BUDGET_S + longest


def test_a_pass_that_would_not_fit_any_more_is_not_begun() -> None:
    machine = Machine(engines={ORT: 2.0, LAST: 1.0, FIRST: 1.0}, training=None, reading={0: 1.0, 1: 1.0, 2: 1.0})
    begun = machine.now
    chosen_on(machine)  # a pass of 8 photos takes 4 s
    assert machine.now - begun == pytest.approx(4)


def test_the_export_of_the_frozen_part_takes_nothing_from_the_budget() -> None:
    quick, slow = Machine(), Machine(export_s=60.0)
    assert chosen_on(slow).why == chosen_on(quick).why
    assert slow.exported_s >= 60


def test_what_there_was_no_time_for_is_said() -> None:
    chosen = chosen_on(Machine(engines={ORT: 5.0, LAST: 0.5, FIRST: 0.5}, batch=16))
    assert chosen.engine == ORT
    assert any(line.startswith("there was no time to try torch") for line in chosen.why)
