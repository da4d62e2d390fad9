"""What a report says of rules, layers and confused photos."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.jobs import begun, checked, ended, evaluated, measured, reported, ruled
from tests.analysis.reading import Page, assert_self_contained
from tests.analysis.tensors import STEPS, gradients, relu_outputs, saved, tensor
from tests.photos import encode, picture
from vizsla.analysis import report
from vizsla.analysis.sections import confused, layers
from vizsla.files import read_json, write_json
from vizsla.jobdir import JobDir, Outcome

OVERFITTED = [1.5, 1.6, 2.0]


def page_of(folder: JobDir) -> Page:
    return Page(report.job_page(folder))


def sections(page: Page) -> list[str]:
    return [name for name in page.texts if name]


@pytest.fixture
def judged(tmp_path: Path) -> JobDir:
    """A job with a rule that found something, one that did not, and one that had nothing to look at."""
    folder = measured(ended(tmp_path), OVERFITTED)
    saved(folder, gradients({"Net_a.weight": [1e-3] * 3}))
    return ruled(folder, "overfit:ratio_threshold=0.3,patience=1", "vanishing_gradient", "dead_relu")


# ---- rules


def test_recommendations_come_first_then_rules_then_curves(judged: JobDir) -> None:
    assert sections(page_of(judged))[:4] == ["recommendations", "rules", "curves", "layers"]


def test_a_recommendation_names_the_cure_the_finding_and_the_rule(judged: JobDir) -> None:
    said = page_of(judged).section("recommendations")
    assert "--set weight_decay=" in said
    assert "The validation loss at epoch 2 is 1.6" in said
    assert "(Overfit)" in said


def test_every_rule_is_there_what_was_found_on_top(judged: JobDir) -> None:
    said = page_of(judged).section("rules")
    heads = (
        "3 rules: 1 IssuesFound, 1 NoIssuesFound, 1 NotApplicable.",
        "Overfit IssuesFound triggered 2 times · 3 datapoints",
        "VanishingGradient NoIssuesFound triggered 0 times · 3 datapoints",
        "DeadRelu NotApplicable triggered 0 times · 0 datapoints",
    )
    places = [said.find(head) for head in heads]
    assert -1 not in places
    assert places == sorted(places)


def test_a_rule_says_what_it_means_what_to_do_and_with_which_parameters(judged: JobDir) -> None:
    page = page_of(judged)
    said = page.section("rules")
    assert "Fires when the validation loss is above the training loss" in said
    assert "What to do: Add photos if you can; then one of: --set train_from=head" in said  # the finding's own cure
    assert "or stop earlier" not in said  # the rule's general advice
    assert said.count("What to do:") == 3
    assert "No ReLU was seen" in said
    row = next(row for row in page.tables["rules"][0] if row[0] == "ratio_threshold")
    assert row[1:3] == ["0.3", "0.1"]


def test_only_what_was_found_is_unfolded(judged: JobDir) -> None:
    folded = [attributes for tag, attributes in page_of(judged).tags if tag == "details" and "rule" in str(attributes)]
    assert ["open" in attributes for attributes in folded] == [True, False, False]


def test_a_rule_that_measures_has_its_plot(judged: JobDir) -> None:
    figures = page_of(judged).figures
    thresholds = [
        trace["name"] for figure in figures for trace in figure["data"] if "threshold" in trace.get("name", "")
    ]
    assert thresholds == ["ratio_threshold 0.3", "threshold 1e-07"]


def test_many_findings_are_told_by_the_first(tmp_path: Path) -> None:
    folder = saved(ended(tmp_path), gradients({"Net_a.weight": [1e-9] * 60}))
    said = page_of(ruled(folder, "vanishing_gradient")).section("rules")
    assert said.count("The gradient of Net_a.weight vanishes") == 5
    assert "and 55 more" in said


def test_a_job_that_nothing_is_held_against_says_who_had_nothing_to_look_at(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path), [1.0, 0.5]), "overfit:ratio_threshold=9", "dead_relu")
    said = page_of(folder).section("recommendations")
    assert said == "Recommendations 1 rule found nothing to mend. Not judged: DeadRelu."


def test_a_running_job_is_judged_so_far(tmp_path: Path) -> None:
    folder = ruled(measured(begun(tmp_path), [1.0, 0.5]), "overfit:ratio_threshold=9", "dead_relu")
    assert "2 rules found nothing to mend so far." in page_of(folder).section("recommendations")


@pytest.mark.parametrize("script", [True, False])
def test_a_job_without_rules_has_no_such_sections(tmp_path: Path, script: bool) -> None:
    folder = ended(tmp_path)
    if script:
        write_json(folder.path / "job.json", read_json(folder.path / "job.json") | {"entry_point": "train_model.py"})
    page, document = page_of(reported(folder, {"loss": [1.0]})), report.job_document(folder)
    assert not {"recommendations", "rules", "layers"} & set(sections(page))
    assert (document["rules"], document["recommendations"], document["layers"]) == ([], [], None)


def test_the_json_twin_has_the_rules_and_the_recommendations(judged: JobDir) -> None:
    document = report.job_document(judged)
    overfit = document["rules"][0]
    assert list(overfit) == ["name", "rule", "status", "triggered", "datapoints", "parameters", "findings", "reason"]
    assert (overfit["rule"], overfit["status"], overfit["triggered"], overfit["datapoints"]) == (
        *("Overfit", "IssuesFound", 2, 3),
    )
    assert overfit["parameters"]["ratio_threshold"] == 0.3
    assert overfit["findings"][0]["numbers"]["threshold"] == 0.3
    assert [each["rules"] for each in document["recommendations"]] == [["Overfit"]]
    assert json.dumps(document, allow_nan=False)


def test_a_number_that_is_none_is_a_word_in_the_json_twin(tmp_path: Path) -> None:
    folder = ruled(measured(ended(tmp_path), [1.0, float("inf")]), "exploding_tensor", "overfit")
    assert json.dumps(report.job_document(folder), allow_nan=False)


def test_a_stopped_jobs_rules_are_stopped_where_they_came_to_nothing(tmp_path: Path) -> None:
    folder = ruled(ended(tmp_path, Outcome("Stopped", "stopped by the user")), "overfit")
    assert "Overfit Stopped" in page_of(folder).section("rules")


# ---- heat maps


def test_a_heat_map_has_a_row_a_layer_and_a_column_a_step(tmp_path: Path) -> None:
    rows = {"Net_a.weight": [1e-2, 1e-4], "Net_b.weight": [1e-1, 0.0]}
    folder = saved(ended(tmp_path), gradients(rows, steps=(0, 10)))
    (figure,) = page_of(folder).figures
    (trace,) = figure["data"]
    assert (trace["x"], trace["y"]) == (["0", "10"], ["a", "b"])
    assert trace["z"] == [[-2, -4], [-1, -4]]  # 0 has no power of ten: it is drawn as the smallest there is
    assert figure["layout"]["yaxis"]["autorange"] == "reversed"
    assert figure["layout"]["margin"]["t"] >= 30  # plotly's buttons are over no row


def test_activations_that_cut_off_are_drawn_by_their_channels_the_others_by_their_size(tmp_path: Path) -> None:
    silu = tensor("silu_output_0", 0, "activation_outputs", type="SiLU", abs_mean=0.1)
    folder = saved(ended(tmp_path), [*relu_outputs({"relu": [[0.0, 1.0]]}, steps=(0,)), silu])
    shares, sizes = page_of(folder).figures
    assert [trace["z"] for trace in shares["data"] + sizes["data"]] == [[[0.5]], [[-1.0]]]


def test_a_gradient_that_is_no_number_is_named_and_left_empty(tmp_path: Path) -> None:
    rows = {"Net_a.weight": [1e-2, float("nan")], "Net_b.weight": [1e-1, 1e-1]}
    page = page_of(saved(ended(tmp_path), gradients(rows, steps=(0, 1))))
    assert page.figures[0]["data"][0]["z"][0] == [-2, None]
    assert "The gradient was not finite in a" in page.section("layers")


def test_layers_whose_names_end_alike_keep_a_row_each(tmp_path: Path) -> None:
    rows = {f"Net_{place}.{'x' * 40}.weight": [1e-2] for place in range(3)}
    (figure,) = page_of(saved(ended(tmp_path), gradients(rows, steps=(0,)))).figures
    assert len(set(figure["data"][0]["y"])) == 3


def test_plotly_knows_every_property_of_the_heat_maps(judged: JobDir) -> None:
    from plotly.graph_objects import Figure

    for figure in page_of(judged).figures:
        Figure(figure)


def test_the_json_twin_has_the_grids(tmp_path: Path) -> None:
    folder = saved(ended(tmp_path), gradients({"Net_a.weight": [0.5, float("nan")]}, steps=(0, 10)))
    assert report.job_document(folder)["layers"]["gradients"] == {
        "layers": ["a"],
        "steps": [0, 10],
        "values": [[0.5, None]],
    }


# ---- curves


def test_an_accuracy_axis_ends_at_all_of_them(judged: JobDir) -> None:
    titles = {str(figure["layout"]["yaxis"].get("title", {}).get("text")): figure for figure in page_of(judged).figures}
    axis = titles["valid photos named right"]["layout"]["yaxis"]
    assert axis["autorangeoptions"] == {"minallowed": -0.02, "maxallowed": 1.02}


# ---- confused photos


def answered(folder: JobDir, answers: list[tuple[str, str, str, float]]) -> JobDir:
    """evaluation.json with these answers: file, label, predicted, confidence."""
    evaluated(folder, [[1, 1], [1, 1]], ["ant", "bee"])
    document: dict[str, Any] = read_json(folder.reports / "evaluation.json")
    named = [dict(zip(("file", "label", "predicted", "confidence"), answer, strict=True)) for answer in answers]
    write_json(folder.reports / "evaluation.json", document | {"predictions": named})
    return folder


def test_the_surest_wrong_answers_come_first_and_right_ones_never(tmp_path: Path) -> None:
    answers = [("1.jpg", "ant", "bee", 60.0), ("2.jpg", "ant", "ant", 99.0), ("3.jpg", "bee", "ant", 95.5)]
    said = page_of(answered(ended(tmp_path), answers)).section("held-out")
    assert said.index("bee taken for ant 95.5 % sure 3.jpg") < said.index("ant taken for bee 60.0 % sure 1.jpg")
    assert "2.jpg" not in said


def test_a_photo_is_in_the_page_and_a_lost_one_is_named(tmp_path: Path) -> None:
    folder = answered(ended(tmp_path), [("here.png", "ant", "bee", 60.0), ("gone.png", "ant", "bee", 50.0)])
    (tmp_path / "here.png").write_bytes(encode(picture(0, 1), "PNG"))
    page = page_of(folder)
    assert len(page.pictures()) == 1
    assert "no picture ant taken for bee 50.0 % sure gone.png" in page.section("held-out")
    assert_self_contained(report.job_page(folder))


def test_a_page_shows_a_few_of_many_wrong_answers(tmp_path: Path) -> None:
    folder = answered(ended(tmp_path), [(f"{place}.jpg", "ant", "bee", 50.0) for place in range(100)])
    said = page_of(folder).section("held-out")
    assert "the first 24 of 100 wrong answers" in said
    assert said.count("taken for") == 24 + 1  # and the title of the matrix


def test_pictures_never_take_more_than_their_share_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = answered(ended(tmp_path), [(f"{place}.png", "ant", "bee", 50.0) for place in range(4)])
    for place in range(4):
        (tmp_path / f"{place}.png").write_bytes(encode(picture(0, place, (160, 120)), "PNG"))
    monkeypatch.setattr(confused, "MOST_BYTES", 8_000)
    pictures = page_of(folder).pictures()
    assert 0 < len(pictures) < 4
    assert sum(map(len, pictures)) <= 8_000


def test_an_older_result_without_answers_is_shown(tmp_path: Path) -> None:
    folder = evaluated(ended(tmp_path), [[1, 1], [1, 1]], ["ant", "bee"])
    document = read_json(folder.reports / "evaluation.json")
    del document["predictions"]
    write_json(folder.reports / "evaluation.json", document)
    assert "most confused" not in page_of(folder).section("held-out")


# ---- size


def test_a_large_job_has_a_page_below_six_megabytes(tmp_path: Path) -> None:
    """More layers and steps than any of our backbones has, photos of pure noise, every rule that draws."""
    dice = random.Random(7)
    folder = measured(ended(tmp_path), [1.0] * 50, steps_per_epoch=40)
    names = [f"Net_stages.{place // 10}.blocks.{place % 10}.conv.weight" for place in range(layers.MOST_LAYERS + 20)]
    acts = {f"stages.{place}.act": [[dice.random()] * 8] * len(STEPS) for place in range(300)}
    saved(folder, gradients({name: [dice.random() for _ in STEPS] for name in names}) + relu_outputs(acts))
    ruled(folder, "vanishing_gradient:threshold=0.5", "dead_relu:threshold_inactivity=50", "overfit", "overtraining")
    checked(folder, [f"class {place}" for place in range(200)])
    answered(folder, [(f"{place}.png", "ant", "bee", 50.0) for place in range(30)])
    for place in range(24):
        (tmp_path / f"{place}.png").write_bytes(encode(noise(dice), "PNG"))
    assert_self_contained(report.job_page(folder))


def noise(dice: random.Random) -> Any:
    from PIL import Image

    return Image.frombytes("RGB", (160, 160), dice.randbytes(160 * 160 * 3))
