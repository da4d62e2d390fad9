"""What a trace says of the operators: their own time, on the CPU and on a GPU that this machine need not have."""

from __future__ import annotations

import json
from typing import Any

from vizsla.observers import operators
from vizsla.observers.operators import Operator
from vizsla.training.clock import Phase

BASE_S = 1_000_000.0  # what the times of the trace are counted from, as unix time


def event(
    name: str, start: float, length: float, cat: str = "cpu_op", thread: int = 1, call: int | None = None
) -> dict[str, Any]:
    """Times in µs. call: what a kernel and the operator that started it have in common."""
    args = {} if call is None else {"External id": call}
    return {"ph": "X", "cat": cat, "name": name, "pid": 7, "tid": thread, "ts": start, "dur": length, "args": args}


def made(*events: dict[str, Any]) -> dict[str, Any]:
    return {"baseTimeNanoseconds": BASE_S * 1e9, "traceEvents": [{"ph": "M", "name": "process_name"}, *events]}


def phase(name: str, start: float, length: float) -> Phase:
    return Phase(name, BASE_S + start / 1e6, length / 1e6)


FORWARD = [phase("forward", 0, 1000)]


def table(trace: dict[str, Any], lap: list[Phase]) -> dict[str, tuple[int, float, float]]:
    """calls, µs on the CPU and µs on a GPU, by operator."""
    return {
        one.name: (one.calls, round(one.cpu_s * 1e6, 3), round(one.cuda_s * 1e6, 3))
        for one in operators.most_expensive(trace, [lap])
    }


def test_an_operators_time_is_without_those_that_it_calls() -> None:
    trace = made(event("outer", 0, 100), event("inner", 10, 30), event("deep", 20, 5), event("inner", 50, 20))
    assert table(trace, FORWARD) == {"outer": (1, 50, 0), "inner": (2, 45, 0), "deep": (1, 5, 0)}


def test_what_runs_on_another_thread_is_called_by_nobody_here() -> None:
    trace = made(event("forward", 0, 100), event("backward", 10, 30, thread=2))
    assert table(trace, FORWARD) == {"forward": (1, 100, 0), "backward": (1, 30, 0)}


def test_a_kernel_counts_for_the_operator_that_started_it() -> None:
    trace = made(
        *(event("conv", 0, 10, call=1), event("relu", 20, 5, call=2)),
        *(event("gemm", 400, 70, "kernel", 99, call=1), event("winograd", 470, 30, "kernel", 99, call=1)),
        *(event("clamp", 500, 9, "kernel", 99, call=2), event("unknown", 600, 50, "kernel", 99)),
    )
    assert table(trace, FORWARD) == {"conv": (1, 10, 100), "relu": (1, 5, 9)}
    assert list(table(trace, FORWARD)) == ["conv", "relu"]


def test_what_observers_and_the_debugger_compute_is_left_out() -> None:
    trace = made(
        event("conv", 0, 100),
        *(event(operators.OURS, 30, 40, "user_annotation"), event("mean", 35, 30)),
        *(event("mean", 1200, 50), event("conv", 2500, 10)),
    )
    lap = [*FORWARD, phase("observe", 1000, 500), phase("load", 2000, 1000)]
    assert table(trace, lap) == {"conv": (2, 80, 0)}


def test_only_the_most_expensive_are_kept() -> None:
    trace = made(*(event(f"op{number}", 10 * number, number + 1) for number in range(9)))
    kept = operators.most_expensive(trace, [FORWARD], kept=2)
    assert kept == [Operator("op8", 1, 9e-6), Operator("op7", 1, 8e-6)]


def test_the_phases_are_put_into_the_trace_and_nothing_else_is_changed() -> None:
    trace = made(event("conv", 5, 10))
    raw = json.dumps(trace, indent=1).encode()
    added = json.loads(operators.with_phases(raw, trace, [(3, FORWARD)]))
    name, order, forward, *rest = added["traceEvents"]
    assert (name["args"], order["args"]) == ({"name": "phases of the loop"}, {"sort_index": -1})
    assert (forward["name"], forward["ts"], forward["dur"], forward["args"]) == ("forward", 0.0, 1000.0, {"step": 3})
    assert {**added, "traceEvents": rest} == trace


def test_a_phase_never_reaches_into_the_next() -> None:
    lap = [phase("load", 0, 1000.7), phase("forward", 1000, 500), phase("backward", 1500, 100)]
    trace = made()
    added = json.loads(operators.with_phases(json.dumps(trace).encode(), trace, [(0, lap)]))
    spans = [(one["ts"], one["ts"] + one["dur"]) for one in added["traceEvents"] if one.get("cat") == "phase"]
    assert spans == [(0, 1000), (1000, 1500), (1500, 1600)]


def test_phases_come_into_a_trace_without_events_too() -> None:
    trace: dict[str, Any] = {"traceEvents": []}
    added = json.loads(operators.with_phases(json.dumps(trace).encode(), trace, [(0, FORWARD)]))
    assert len(added["traceEvents"]) == 3
