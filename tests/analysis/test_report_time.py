"""What a report says about time: of a training that was profiled, of a script that was only sampled, of long ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plotly.graph_objects import Figure

from tests.analysis.jobs import EVIL, begun, ended, measured
from tests.analysis.profiling.making import (
    START,
    USUAL,
    end,
    evaluation,
    execution,
    job,
    machine,
    operators,
    samples,
    steps,
)
from tests.analysis.reading import Page, assert_self_contained, names_in
from vizsla.analysis import report
from vizsla.files import read_json, write_json
from vizsla.jobdir import JobDir
from vizsla.records import Record, Writer
from vizsla.segments import Segments

TIMED = ("time", "steps", "operators", "system")
IDLE = {"cpu": 52.0, "cores": [50.0, 54.0], "job_cpu": 102.0, "running": 1.0}


def recorded(folder: JobDir, records: Sequence[Record], attempt: int = 1) -> JobDir:
    """Writes records to the streams they belong to."""
    streams = {
        "system": [each for each in records if each.kind == "system" and each.name != "execution"],
        "profile": [each for each in records if each.kind == "phase" or each.name == "execution"],
        "train": [each for each in records if each.kind == "attempt"],
    }
    for name, found in streams.items():
        with Writer(Segments(folder.records / name, attempt, ".jsonl")) as writer:
            for record in found:
                writer.write(record)
    return folder


def as_script(folder: JobDir) -> JobDir:
    write_json(folder.path / "job.json", read_json(folder.path / "job.json") | {"entry_point": "train_model.py"})
    return folder


def page_of(folder: JobDir) -> Page:
    return Page(report.job_page(folder))


def sections(page: Page) -> set[str]:
    return {name for name in TIMED if name in page.texts}


def slow(folder: JobDir) -> JobDir:
    """A training whose photos are decoded between the steps, and whose first ten steps were profiled."""
    records = [*job({**USUAL, "load": 0.2}, figures=IDLE, run={"workers": 0}), *operators()]
    return recorded(folder, records)


def test_a_profiled_training_is_shown_from_its_start_to_its_end(tmp_path: Path) -> None:
    page = page_of(slow(ended(tmp_path)))
    assert sections(page) == set(TIMED)
    assert "--set run.loader_workers=2" in page.section("time")
    (table,) = page.tables["time"]
    assert [row[0] for row in table[1:]] == ["initialization", *USUAL, "finalization"]
    assert page.tables["operators"][0][1][0] == "aten::conv2d"
    assert page.tables["system"][0][0] == ["Figure", "Unit", "Max", "p99", "p95", "p50", "Min"]
    assert_self_contained(report.job_page(JobDir(tmp_path / "training" / "dogs")))


def test_what_the_profiler_found_is_recommended_without_any_rule(tmp_path: Path) -> None:
    said = page_of(slow(ended(tmp_path))).section("recommendations")
    assert "--set run.loader_workers=2" in said
    assert "saves about 9" in said  # half of the 20 s that the loop waited in 99 steps


def test_the_page_opens_with_how_fast_it_was_and_what_bounds_it(tmp_path: Path) -> None:
    assert "images a second; bound by loading" in page_of(slow(ended(tmp_path))).text


def test_plotly_knows_every_property_of_the_figures_of_time(tmp_path: Path) -> None:
    figures = page_of(slow(ended(tmp_path))).figures
    assert len(figures) >= 2
    for figure in figures:
        Figure(figure)


def test_the_machine_and_the_phases_share_one_axis_of_time(tmp_path: Path) -> None:
    figures = page_of(slow(ended(tmp_path))).figures
    (both,) = [figure for figure in figures if "yaxis2" in figure["layout"]]
    bars = [trace for trace in both["data"] if trace["type"] == "bar"]
    assert [trace["name"] for trace in bars] == list(USUAL)
    assert {"all cores", "memory"} <= {trace.get("name") for trace in both["data"]}


def test_a_script_that_was_only_sampled_says_what_that_can_tell(tmp_path: Path) -> None:
    folder = recorded(as_script(ended(tmp_path)), [machine(), *samples(START, START + 20, **IDLE)])
    page = page_of(folder)
    assert sections(page) == {"time", "system"}
    assert "vizsla.profiler.watch" in page.section("time")
    assert "recommendations" not in page.texts


def test_a_job_without_a_profile_has_no_such_sections(tmp_path: Path) -> None:
    assert sections(page_of(measured(ended(tmp_path), [1.0, 0.9]))) == set()


def test_a_job_that_has_hardly_begun_can_be_shown(tmp_path: Path) -> None:
    folder = recorded(
        begun(tmp_path), [machine(), *samples(START, START + 2), execution(START + 2), *steps(START + 2, 1)]
    )
    assert "too few steps" in page_of(folder).section("time")


def test_the_json_twin_has_the_four_parts_and_the_verdict(tmp_path: Path) -> None:
    document = report.job_document(slow(ended(tmp_path)))
    assert document["phases"]["phases"]["load"]["seconds"] == 20.0
    assert document["steps"]["count"] == 100
    assert document["operators"]["operators"][0]["operator"] == "aten::conv2d"
    assert document["system"]["cores"] == 2
    assert document["verdict"]["settings"] == {"run.loader_workers": "2"}
    assert document["recommendations"][0]["seconds_saved"] == document["verdict"]["seconds_saved"]
    json.dumps(document, allow_nan=False)


def test_the_json_twin_of_a_job_without_a_profile_has_nothing_there(tmp_path: Path) -> None:
    document = report.job_document(measured(ended(tmp_path), [1.0]))
    assert [document[part] for part in ("system", "phases", "operators", "steps", "verdict")] == [None] * 5


def test_names_of_phases_and_operators_are_text_and_nothing_else(tmp_path: Path) -> None:
    value: dict[str, Any] = {"operator": EVIL, "calls": 1, "cpu_s": 9.0, "cuda_s": 0.0}
    odd = [Record(START + 5, "phase", EVIL, "train", 3, value=0.5), Record(START + 5, "phase", "operator", value=value)]
    folder = recorded(ended(tmp_path), [*job(), *operators(), *odd])
    page = page_of(folder)
    assert EVIL in page.tables["operators"][0][1]
    assert page.count("img") == 0
    assert not [text for figure in page.figures for text in names_in(figure) if "<" in text and "%{" not in text]


def test_ten_thousand_steps_and_two_hours_of_samples_are_one_small_page(tmp_path: Path) -> None:
    loop = steps(START + 5, 10_000, {**USUAL, "forward": 0.3, "backward": 0.3})
    last = end(loop)
    records = [machine(), execution(START + 5), *loop, evaluation(last, 60.0), *samples(START, last + 65), *operators()]
    html = report.job_page(recorded(ended(tmp_path), records))
    assert_self_contained(html)
    timed = [figure for figure in Page(html).figures if "yaxis2" in figure["layout"] or "milliseconds" in str(figure)]
    assert len(timed) == 2
    assert sum(len(json.dumps(figure)) for figure in timed) < 200_000
    assert "each point is 17 steps" in Page(html).section("steps")
    assert "each point is 50 s" in Page(html).section("time")


def test_two_attempts_are_told_apart_in_the_plot(tmp_path: Path) -> None:
    folder = ended(tmp_path)
    recorded(folder, job(number=20))
    again = [Record(r.t + 90_000, *(getattr(r, name) for name in Record.__slots__[1:])) for r in job(number=40)]
    start = Record(START + 90_000, "attempt", "start", value={"from_global_step": 20, "from_epoch": 1, "epochs": 2})
    recorded(folder, [start if each.kind == "attempt" else each for each in again], attempt=2)
    (both,) = [figure for figure in page_of(folder).figures if "yaxis2" in figure["layout"]]
    assert len(both["layout"]["shapes"]) == 1
    assert max(both["data"][0]["x"]) < 30
