"""SageMaker's `profiler-output/` from records: every figure and every phase is found again where its readers look."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from vizsla.analysis.profiler_output import events, files
from vizsla.records import Record

START = 1_789_999_990.25  # ten seconds into a minute
SAMPLE: dict[str, Any] = {
    "seconds": 0.5,
    "cores": [90.0, 10.0],
    "iowait": [0.5, 0.0],
    "cpu": 50.0,
    "memory": 42.5,
    "disk_read": 1000,
    "received": 7,
    "sent": 8,
    "job_cpu": 95.0,
    "gpu": [75.0],
    "gpu_memory": [12.5],
}


def step(number: int, at: float, *lengths: float) -> list[Record]:
    """The phases of a training step, one after the other."""
    found = []
    for name, seconds in zip(("load", "forward", "backward", "update", "observe"), lengths, strict=False):
        found.append(Record(at, "phase", name, mode="train", step=number, value=seconds))
        at += seconds
    return found


def written(found: Sequence[Record]) -> dict[str, str]:
    return {file.path: file.text for file in files(found, 905)}


def trace(found: Sequence[Record]) -> list[dict[str, Any]]:
    """The events of the only timeline."""
    ((path, text),) = written(found).items()
    assert re.fullmatch(r"framework/pevents/\d{10}/\d{16}_905-algo-1_pythontimeline\.json", path)
    document: list[dict[str, Any]] = json.loads(text)
    return document


def test_what_is_no_finite_number_is_left_out() -> None:
    """Records may hold NaN and infinity, which no reader of these files expects."""
    broken = Record(START, "system", "sample", value={**SAMPLE, "memory": math.nan, "cores": [math.inf, 10.0]})
    (text,) = written([broken]).values()
    figures = [(each["Name"], each["Dimension"]) for each in map(json.loads, text.splitlines())]
    assert ("cpu1", "CPUUtilization") in figures
    assert ("cpu0", "CPUUtilization") not in figures
    assert ("MemoryUsedPercent", "") not in figures
    assert events([Record(START, "phase", "load", mode="train", step=0, value=math.inf)]) == []


def test_samples_become_lines_of_a_file_a_minute() -> None:
    found = [Record(START + seconds, "system", "sample", value=SAMPLE) for seconds in (0, 40, 55)]
    texts = written([Record(START, "system", "machine", value={"cores": 2}), *found])
    assert list(texts) == [
        "system/incremental/2026092114/1789999980.algo-1.json",
        "system/incremental/2026092114/1790000040.algo-1.json",
    ]
    first = [json.loads(line) for line in texts[next(iter(texts))].splitlines()]
    assert first[0] == {
        "Type": "cpu",
        "Name": "cpu0",
        "Dimension": "CPUUtilization",
        "Value": 90.0,
        "NodeId": "algo-1",
        "Timestamp": START,
    }
    assert {(line["Name"], line["Dimension"]): line["Value"] for line in first} == {
        ("cpu0", "CPUUtilization"): 90.0,
        ("cpu0", "I/OWaitPercentage"): 0.5,
        ("cpu1", "CPUUtilization"): 10.0,
        ("cpu1", "I/OWaitPercentage"): 0.0,
        ("MemoryUsedPercent", ""): 42.5,
        ("ReadThroughputInBytesPerSecond", ""): 1000,
        ("ReceiveBytesPerSecond", "Algorithm"): 7,
        ("TransmitBytesPerSecond", "Algorithm"): 8,
        ("gpu0", "GPUUtilization"): 75.0,
        ("gpu0", "GPUMemoryUtilization"): 12.5,
    }


def test_phases_become_spans_under_the_names_that_sagemaker_has() -> None:
    document = trace(step(3, START, 0.1, 0.2, 0.3, 0.05, 0.01))
    assert document[0] == {
        "name": "process_name",
        "ph": "M",
        "pid": 0,
        "args": {"start_time_since_epoch_in_micros": int(START * 1e6)},
    }
    named = {each["pid"]: each["args"]["name"] for each in document if "name" in each["args"]}
    spans = [each for each in document if each["ph"] == "X"]
    assert all(named[each["pid"]] == each["name"] for each in spans)
    assert {each["name"]: (each["ts"], each["dur"]) for each in spans} == {
        "Step:ModeKeys.TRAIN": (0, 650_000),  # all but what watching it took
        "DataLoaderIter": (0, 100_000),
        "Forward": (100_000, 200_000),
        "Backward(post-forward)": (300_000, 300_000),
        "Optimizer": (600_000, 50_000),
        "Observe": (650_000, 10_000),
    }
    assert all(each["args"] == {"pid": 905, "step_num": "3"} for each in spans)


def test_an_evaluation_is_a_step_of_its_own_mode() -> None:
    found = [Record(START, "phase", "evaluate", mode="eval", step=0, value=2.0)]
    assert [(each["name"], each["args"]["step_num"]) for each in trace(found) if each["ph"] == "X"] == [
        ("Step:ModeKeys.EVAL", "0")
    ]


def test_a_step_of_a_hook_that_was_told_no_mode_is_a_step_too() -> None:
    found = [Record(START, "phase", name, mode="global", step=7, value=0.1) for name in ("forward", "observe")]
    names = {(each["name"], each["args"]["step_num"]) for each in trace(found) if each["ph"] == "X"}
    assert names == {("Forward", "7"), ("Observe", "7"), ("Step:ModeKeys.GLOBAL", "7")}


def test_a_step_that_is_run_again_after_a_resume_is_another_one() -> None:
    machine = Record(START + 50, "system", "machine", value={"cores": 2})
    again = [*step(0, START, 0.1, 0.1), machine, *step(0, START + 100, 0.1, 0.1)]
    lengths = [each.length_us for each in events(again) if each.name.startswith("Step")]
    assert lengths == [200_000, 200_000]


def test_a_timeline_is_closed_each_minute() -> None:
    texts = written([*step(0, START, 0.1, 0.1), *step(1, START + 60, 0.1, 0.1)])
    assert len(texts) == 2
    assert [json.loads(text)[-1]["args"]["step_num"] for text in texts.values()] == ["0", "1"]


def test_the_profile_of_the_first_steps_goes_with_it() -> None:
    window: dict[str, float] = {"seconds": 2.0, "steps": 10, "overhead_s": 0.5}
    found = [
        Record(START, "phase", "profile", mode="train", step=5, value=window, file="checkpoints/trace.json.gz"),
        Record(START, "phase", "operator", mode="train", step=5, value={"operator": "aten::mm", "cpu_s": 1.0}),
        Record(START, "phase", "python", mode="train", step=5, value=window, file="checkpoints/python.pstats"),
    ]
    copied = {file.source: file.path for file in files(found, 905)}
    end = int((START + 2) * 1e6)
    assert copied["checkpoints/trace.json.gz"].endswith(f"/000000005/{end}_905-algo-1_trace.json.gz")
    assert (
        f"train-5-stepstart-{int(START * 1e6)}_train-14-stepend-{end}/python_stats"
        in copied["checkpoints/python.pstats"]
    )
