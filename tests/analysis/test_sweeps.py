"""The report of a sweep: which training job is the best, with what, and how the search came to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.analysis.jobs import EVIL
from tests.analysis.reading import Page, assert_self_contained, names_in
from vizsla.analysis import report
from vizsla.analysis.sweeps import SweepView, TrialView

SWEEP = SweepView(
    name="dogs-search",
    status="Completed",
    created="2026-11-22T11:27:57.289Z",
    objective_name="average test loss",
    direction="minimize",
    strategy="bayesian",
    seconds=812.0,
    best="dogs-search-003",
    importance={"batch_size": 0.2, "lr": 0.8},
    ranges={"lr": "0.001..0.01", "batch_size": "64,128"},
)


def trial(number: int, objective: float | None, **changes: Any) -> TrialView:
    plain = TrialView(
        name=f"dogs-search-{number:03d}",
        number=number,
        status="Completed",
        hyperparameters={"lr": f"{0.001 * number:g}", "batch_size": "64"},
        objective=objective,
        epochs=2,
        seconds=60.0,
        curve=() if objective is None else (objective + 0.5, objective),
    )
    return replace(plain, **changes)


TRIALS = [
    trial(1, 1.5),
    trial(2, None, status="Failed", reason="RuntimeError: out of memory", epochs=None),
    trial(3, 0.9, page="../../training/dogs-search-003/report.html"),
    trial(
        4, 1.2, status="Stopped", reason="worse than the median", hyperparameters={"lr": "0.004", "batch_size": "128"}
    ),
]


def page_of(sweep: SweepView = SWEEP, trials: Sequence[TrialView] = TRIALS) -> Page:
    return Page(report.sweep_page(sweep, trials))


def trace(page: Page, title: str) -> dict[str, Any]:
    """The one trace of that name in any figure."""
    (found,) = (each for figure in page.figures for each in figure["data"] if each["name"] == title)
    return dict(found)


def names(page: Page) -> list[str]:
    """The training jobs in the order they are listed."""
    return [row[0] for row in page.tables["training-jobs"][0][1:]]


# ---- the lists


def test_the_best_is_on_top_and_marked_and_jobs_without_a_value_come_last() -> None:
    page = page_of()
    assert names(page) == ["dogs-search-003 best", "dogs-search-004", "dogs-search-001", "dogs-search-002"]
    assert [attributes.get("class") for tag, attributes in page.tags if tag == "tr"].count("best") == 1


def test_the_highest_objective_is_on_top_where_more_is_better() -> None:
    sweep = replace(SWEEP, direction="maximize", best="dogs-search-001")
    assert names(page_of(sweep)) == ["dogs-search-001 best", "dogs-search-004", "dogs-search-003", "dogs-search-002"]


def test_a_training_job_is_listed_with_its_state_settings_and_result() -> None:
    table = page_of().tables["training-jobs"][0]
    columns = ["Name", "Status", "average test loss", "lr", "batch_size", "Epochs done", "Time"]
    assert table[0] == columns
    assert table[1] == ["dogs-search-003 best", "Completed", "0.9", "0.003", "64", "2", "1 min 00 s"]
    assert table[4][1:3] == ["Failed RuntimeError: out of memory", "-"]


def test_the_tuning_job_is_listed_with_what_was_searched() -> None:
    page = page_of()
    listed, ranges = page.tables["tuning-job"]
    assert listed[1] == ["dogs-search", "Completed", "2026-11-22 11:27 UTC", "13 min 32 s", "4", "2", "0.9"]
    assert ranges[1:] == [["lr", "0.001..0.01"], ["batch_size", "64,128"]]


def test_the_best_job_is_shown_with_its_hyperparameters() -> None:
    said = page_of(replace(SWEEP, baseline=1.62)).section("best")
    assert "dogs-search-003 has the best average test loss: 0.9, after 2 epochs and 1 min 00 s." in said
    assert "Before tuning it was 1.62." in said
    assert said.endswith("lr0.003 batch_size64")


def test_a_job_with_a_page_of_its_own_is_a_link_to_it() -> None:
    links = [link for link in page_of().references() if not link.startswith("#")]
    assert links == ["../../training/dogs-search-003/report.html"]


def test_a_page_that_is_no_path_cannot_become_a_link_that_runs() -> None:
    page = page_of(trials=[*TRIALS[:2], replace(TRIALS[2], page="javascript:alert(1)")])
    assert [link for link in page.references() if ":" in link] == []


# ---- the figures


def test_the_history_shows_each_value_and_the_best_so_far() -> None:
    page = page_of()
    assert (trace(page, "training job")["x"], trace(page, "training job")["y"]) == ([1, 3, 4], [1.5, 0.9, 1.2])
    assert trace(page, "best so far")["y"] == [1.5, 0.9, 0.9]
    assert "1 without a value" in page.section("search")


def test_the_best_so_far_rises_where_more_is_better() -> None:
    page = page_of(replace(SWEEP, direction="maximize", best="dogs-search-001"))
    assert trace(page, "best so far")["y"] == [1.5, 1.5, 1.5]


def test_the_result_before_tuning_is_a_line() -> None:
    assert trace(page_of(replace(SWEEP, baseline=1.62)), "before tuning")["y"] == [1.62, 1.62]


def test_one_diverged_job_does_not_press_the_others_flat() -> None:
    assert page_of().figures[0]["layout"]["yaxis"]["type"] == "linear"
    diverged = page_of(trials=[*TRIALS, trial(5, 4000.0)])
    assert diverged.figures[0]["layout"]["yaxis"]["type"] == "log"


def test_every_job_has_its_curve_and_the_best_one_of_its_own() -> None:
    page = page_of()
    assert trace(page, "dogs-search-003 (best)")["y"] == [1.4, 0.9]
    assert trace(page, "the others")["y"] == [2.0, 1.5, None, None, 1.7, 1.2, None]


def test_parallel_coordinates_have_an_axis_for_each_hyperparameter_and_the_objective() -> None:
    page = page_of()
    layout = page.figures[2]["layout"]
    assert layout["xaxis"]["ticktext"] == ["<b>lr</b>", "<b>batch_size</b>", "<b>average test loss</b>"]
    assert trace(page, "the best")["y"] == [pytest.approx(2 / 3), 0.0, 0.0, None]
    assert trace(page, "no value")["y"] == [pytest.approx(1 / 3), 0.0, None, None]


def test_the_best_is_drawn_on_top_of_the_others() -> None:
    drawn = [trace["name"] for trace in page_of().figures[2]["data"]]
    assert drawn == ["no value", "last third", "middle third", "best third", "the best"]


def test_words_are_places_on_an_axis_too() -> None:
    words = [("sgd", 1.5), ("adam", 0.9), ("adamw", 1.2)]
    trials = [trial(place, value, hyperparameters={"optimizer": word}) for place, (word, value) in enumerate(words, 2)]
    page = page_of(trials=trials)
    assert [tick["text"] for tick in page.figures[2]["layout"]["annotations"]][:3] == ["adam", "adamw", "sgd"]
    assert trace(page, "the best")["y"][0] == 0.0


def test_values_far_apart_are_placed_by_their_logarithms() -> None:
    values = [("0.0001", 1.5), ("0.001", 0.9), ("0.01", 1.2)]
    trials = [trial(place, value, hyperparameters={"lr": lr}) for place, (lr, value) in enumerate(values, 2)]
    assert trace(page_of(trials=trials), "the best")["y"][0] == pytest.approx(0.5)


def test_a_range_that_was_searched_linearly_is_drawn_so() -> None:
    values = [("1", 1.5), ("50", 0.9), ("101", 1.2)]
    trials = [trial(place, value, hyperparameters={"lr": lr}) for place, (lr, value) in enumerate(values, 2)]
    linear = page_of(replace(SWEEP, linear=frozenset({"lr"})), trials)
    assert trace(linear, "the best")["y"][0] == pytest.approx(0.49)


def test_whole_numbers_stay_whole_on_their_axis() -> None:
    trials = [trial(place, 1.0, hyperparameters={"size": size}) for place, size in enumerate(("224", "1024"), 2)]
    ticks = [tick["text"] for tick in page_of(trials=trials).figures[2]["layout"]["annotations"]]
    assert ticks[:2] == ["224", "1,024"]


def test_importance_is_listed_the_greatest_first() -> None:
    assert page_of().tables["search"][0][1:] == [["lr", "80 %"], ["batch_size", "20 %"]]


def test_plotly_knows_every_property_of_the_figures() -> None:
    from plotly.graph_objects import Figure

    page = page_of(replace(SWEEP, baseline=1.62), [*TRIALS, trial(5, 4000.0)])
    assert len(page.figures) == 3
    for figure in page.figures:
        Figure(figure)  # raises ValueError for what plotly.js would pass over in silence


# ---- searches that have little to show


def test_a_search_that_has_just_begun_has_a_page() -> None:
    page = page_of(replace(SWEEP, status="InProgress", best=None, importance=None), [])
    assert "still running" in page.texts[""]
    assert "No training job has been started yet." in page.section("training-jobs")
    assert "none is the best" in page.section("best")
    assert page.figures == []


def test_a_search_whose_jobs_all_failed_says_so() -> None:
    failed = [trial(place, None, status="Failed", reason="no module named torch") for place in (1, 2)]
    page = page_of(replace(SWEEP, status="Failed", best=None, reason="Five failures in a row."), failed)
    assert "Five failures in a row." in page.texts[""]
    assert names(page) == ["dogs-search-001", "dogs-search-002"]
    assert page.figures == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_objective_that_is_no_number_is_listed_but_not_drawn(value: float) -> None:
    page = page_of(trials=[*TRIALS, trial(5, value, curve=(1.0, value))])
    assert names(page)[-1] == "dogs-search-005"
    assert trace(page, "training job")["x"] == [1, 3, 4]
    assert trace(page, "the others")["y"][-3:] == [1.0, None, None]


def test_a_single_job_has_no_parallel_coordinates() -> None:
    page = page_of(trials=[TRIALS[2]])
    assert "parallel" not in page.texts
    assert len(page.figures) == 2


# ---- names that mean harm, and many of them


def test_no_name_becomes_html() -> None:
    hyperparameters = {EVIL: "64", "optimizer": EVIL, "$x$": "1"}
    trials = [replace(each, hyperparameters=hyperparameters, reason=EVIL) for each in TRIALS]
    sweep = replace(SWEEP, ranges={EVIL: EVIL}, importance={EVIL: 1.0}, objective_name=EVIL, reason=EVIL)
    html = report.sweep_page(sweep, trials)
    assert_self_contained(html)
    page = Page(html)
    texts = [text for figure in page.figures for text in names_in(figure)]
    ours = ("<br>", "<b>", "</b>", "<extra></extra>")
    for markup in ours:
        texts = [text.replace(markup, "") for text in texts]
    assert [text for text in texts if "<" in text or "$" in text] == []
    for place in ("", "tuning-job", "training-jobs", "best", "search"):
        assert EVIL in page.section(place)


def test_five_hundred_jobs_still_make_a_page_of_moderate_size() -> None:
    html = report.sweep_page(SWEEP, [trial(place, 1 + 1 / place) for place in range(1, 501)])
    assert_self_contained(html)
    assert [len(figure["data"]) for figure in Page(html).figures] == [2, 2, 4]
