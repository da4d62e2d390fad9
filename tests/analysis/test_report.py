"""The report of a training job: what a reader finds in it, whatever became of the job, whatever things are called."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.analysis.jobs import EVIL, begun, checked, ended, evaluated, measured, reported, ruled
from tests.analysis.reading import Page, assert_self_contained, names_in
from tests.analysis.tensors import gradients, relu_outputs, saved
from tests.conftest import Trained
from tests.photos import encode, picture
from vizsla.analysis import report
from vizsla.analysis.charts import script_json
from vizsla.errors import UserError
from vizsla.files import read_json, write_json
from vizsla.jobdir import JobDir, Outcome


def page_of(folder: JobDir) -> Page:
    return Page(report.job_page(folder))


# ---- a job that went well


@pytest.fixture
def real(trained: Trained, tmp_path: Path) -> JobDir:
    """A copy of a job that was really trained."""
    shutil.copytree(trained.folder, tmp_path / "training" / "shapes", symlinks=True)
    return JobDir(tmp_path / "training" / "shapes")


def test_a_real_job_is_shown_with_its_figures(real: JobDir) -> None:
    page, result = page_of(real), read_json(real.reports / "evaluation.json")
    assert f"{100 * result['accuracy']:.2f} %" in page.section("held-out")
    assert "disc/torn.jpg" in page.section("photos")
    assert "3 of 3 epochs finished." in page.section("curves")
    for title in ("Loss by epoch", "Valid accuracy by epoch", "Training loss by step", "Learning rate by step"):
        assert title in page.section("curves")
    assert "Gradients" in page.section("layers")


def test_the_json_twin_of_a_real_job_has_the_same_figures(real: JobDir) -> None:
    document, manifest = report.job_document(real), read_json(real.model / "manifest.json")
    kept = document["summary"]["kept_epoch"]
    valid = {point["epoch"]: point["value"] for point in document["curves"]["valid_loss"]}
    described = ["name", "kind", "status", "created", "recommendations", "summary", "rules"]
    timed = ["system", "phases", "operators", "steps", "verdict"]
    assert list(document) == [*described, "curves", "layers", *timed, "evaluation", "data", "page"]
    assert (document["name"], document["kind"], document["status"]) == ("shapes", "training", "Completed")
    assert valid[kept] == manifest["metrics"]["valid_loss"] == min(valid.values())
    assert document["evaluation"] == read_json(real.reports / "evaluation.json")
    assert document["data"] == read_json(real.reports / "data_report.json")
    assert document["page"] == str(real.path / "report.html")


def test_a_page_needs_nothing_but_itself(real: JobDir) -> None:
    assert_self_contained(report.job_page(real))


def test_links_lead_to_files_that_are_there(real: JobDir) -> None:
    page = page_of(real)
    links = [link for link in page.references() if not link.startswith("#") and link not in page.pictures()]
    assert "output/data/evaluation.json" in links
    assert [link for link in links if not (real.path / link).exists()] == []


def test_every_link_inside_the_page_has_its_place(real: JobDir) -> None:
    page = page_of(real)
    places = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert [link[1:] for link in page.references() if link.startswith("#")] == places


def test_plotly_knows_every_property_of_the_figures(real: JobDir) -> None:
    from plotly.graph_objects import Figure

    for figure in page_of(real).figures:
        Figure(figure)  # raises ValueError for what plotly.js would pass over in silence


def test_writing_replaces_the_page_that_was_there(tmp_path: Path) -> None:
    for html in ("<p>a long page</p>", "<p>short</p>"):
        report.write(tmp_path / report.PAGE, html)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["<p>short</p>"]


# ---- curves


def test_the_kept_epoch_is_the_one_with_the_lowest_valid_loss(tmp_path: Path) -> None:
    figures = page_of(measured(begun(tmp_path), [1.5, 0.9, 1.1])).figures
    marked = [trace for trace in figures[0]["data"] if trace["name"] == "kept epoch"]
    assert [(trace["x"], trace["y"]) for trace in marked] == [([2], [0.9])]


def test_the_figures_by_epoch_stand_in_a_table(tmp_path: Path) -> None:
    page = page_of(measured(ended(tmp_path), [1.5, 0.9]))
    assert page.tables["curves"][0] == [
        ["Epoch", "Train loss", "Valid loss", "Valid accuracy"],
        ["1", "2.0000", "1.5000", "33.33 %"],
        ["2", "1.0000", "0.9000", "66.67 %"],
    ]


def test_a_loss_that_is_not_a_number_is_said_and_left_out(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), [1.5, float("nan"), float("inf"), 1.1])
    page, document = page_of(folder), report.job_document(folder)
    assert "The valid loss was not a finite number in epochs 2, 3." in page.section("curves")
    assert page.figures[0]["data"][1]["y"] == [1.5, None, None, 1.1]
    assert [point["value"] for point in document["curves"]["valid_loss"]] == [1.5, None, None, 1.1]
    assert json.dumps(document, allow_nan=False)


def test_many_steps_become_means_and_the_page_says_so(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), [1.0] * 10, steps_per_epoch=400)
    page = page_of(folder)
    by_step = page.figures[2]["data"][0]
    assert len(by_step["x"]) <= 1500
    assert by_step["y"][0] == pytest.approx((2 + 1 + 2 / 3) / 3)
    assert "each point is the mean of 3 steps" in page.section("curves")
    assert len(report.job_document(folder)["curves"]["steps"]["train_loss"]) == 4000


def test_records_are_read_up_to_where_they_are_torn(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), [1.5, 0.9, 1.1])
    (file,) = (folder.records / "train").iterdir()
    content = file.read_bytes()
    file.with_name(f"{file.name}.open").write_bytes(content[: content.index(b'"epoch":3')])
    file.unlink()
    assert "2 of 3 epochs finished." in page_of(folder).section("curves")


# ---- the held-out result


def test_classes_are_listed_the_worst_first(tmp_path: Path) -> None:
    page = page_of(evaluated(ended(tmp_path), [[0, 0, 0], [0, 4, 0], [0, 1, 3]], ["ant", "bee", "cat"]))
    assert [row[:2] for row in page.tables["held-out"][0][1:]] == [["cat", "4"], ["bee", "4"], ["ant", "0"]]


def test_a_few_classes_get_a_matrix(tmp_path: Path) -> None:
    page = page_of(evaluated(ended(tmp_path), [[3, 1], [2, 4]], ["ant", "bee"]))
    assert page.tables["held-out"][1] == [["", "ant", "bee"], ["ant", "3", "1"], ["bee", "2", "4"]]


def test_many_classes_get_their_most_confused_pairs(tmp_path: Path) -> None:
    names = [f"breed {place:02d}" for place in range(20)]
    confusion = [[5 * (row == column) for column in range(20)] for row in range(20)]
    confusion[3][4], confusion[7][1] = 1, 5
    page = page_of(evaluated(ended(tmp_path), confusion, names))
    assert page.tables["held-out"][1][1:] == [
        ["breed 07", "breed 01", "5", "50.0 %"],
        ["breed 03", "breed 04", "1", "16.7 %"],
    ]


@pytest.mark.parametrize(
    ("settings", "held_out", "said"),
    [
        ({"evaluate.test": "false"}, 2, "left alone, as asked"),
        ({}, 0, "No photos are held out"),
        ({}, 2, "The job ended before the held-out photos were asked."),
    ],
)
def test_the_page_says_why_there_is_no_result(
    tmp_path: Path, settings: dict[str, str], held_out: int, said: str
) -> None:
    folder = checked(ended(tmp_path, settings=settings), ["ant", "bee"], test=held_out)
    assert said in page_of(folder).section("held-out")
    assert report.job_document(folder)["evaluation"] is None


# ---- photos and settings


def test_bad_photos_are_named_with_their_reasons(tmp_path: Path) -> None:
    page = page_of(checked(ended(tmp_path), ["ant", "bee"], bad={"ant/1.jpg": "it is empty"}))
    assert page.tables["photos"][1] == [["File", "Reason"], ["ant/1.jpg", "it is empty"]]


def test_a_photo_under_two_classes_is_shown(tmp_path: Path) -> None:
    page = page_of(checked(ended(tmp_path), ["ant", "bee"]))
    assert "The same photo under two classes" in page.section("photos")
    assert page.tables["photos"][1][1:] == [["ant/1.jpg (ant), bee/1.jpg (bee)"]]


def test_settings_other_than_the_default_come_first(tmp_path: Path) -> None:
    page = page_of(ended(tmp_path, settings={"lr": "0.003", "data.split": "0.8,0.1,0.1", "model": "resnet18"}))
    changed, others = page.tables["settings"]
    assert [row[:3] for row in changed[1:]] == [
        ["model", "resnet18", "efficientnet_lite0"],
        ["lr", "0.003", "0.01"],
        ["data.split", "0.8,0.1,0.1", "0.7,0.15,0.15"],
    ]
    assert "epochs" in [row[0] for row in others]


def test_the_backbones_own_size_is_no_change(tmp_path: Path) -> None:
    document = report.job_document(ended(tmp_path, settings={"model": "efficientnet_lite2"}))
    assert document["summary"]["settings"] == {"model": "efficientnet_lite2"}


def test_a_job_without_settings_says_they_are_the_defaults(tmp_path: Path) -> None:
    assert "Every setting has its default." in page_of(ended(tmp_path)).section("settings")


# ---- jobs that have little to show


def test_a_failed_job_without_epochs_says_why_and_what_to_do(tmp_path: Path) -> None:
    folder = ended(tmp_path, Outcome("Failed", "The training diverged.\nIn epoch 1.", "Lower the learning rate."))
    page = page_of(folder)
    assert "The training diverged." in page.texts[""]
    assert "Lower the learning rate." in page.texts[""]
    assert page.section("curves") == "Learning curves No epoch was finished: there are no curves."
    assert page.programs == []  # nothing to draw: no megabytes of plotly.js either
    assert report.job_document(folder)["summary"]["reason"] == "The training diverged.\nIn epoch 1."


def test_a_running_job_is_shown_as_it_stands(tmp_path: Path) -> None:
    folder = measured(begun(tmp_path), [1.5, 0.9])
    page = page_of(folder)
    assert "still running" in page.texts[""]
    assert "Epoch 2 has the lowest valid loss so far." in page.section("curves")
    assert report.job_document(folder)["status"] == "InProgress"


@pytest.mark.parametrize("damage", ['{"split": "test"', "[]", '{"split": "test", "images": -1}'])
def test_a_damaged_result_is_said_and_the_rest_is_shown(tmp_path: Path, damage: str) -> None:
    folder = measured(ended(tmp_path), [1.5])
    (folder.reports / "evaluation.json").write_text(damage)
    page = page_of(folder)
    assert "evaluation.json is damaged" in page.texts[""]
    assert "1 of 1 epoch finished." in page.section("curves")


def test_a_matrix_that_does_not_fit_its_classes_is_damage(tmp_path: Path) -> None:
    folder = evaluated(ended(tmp_path), [[1, 0], [0, 1]], ["ant", "bee"])
    document = read_json(folder.reports / "evaluation.json")
    write_json(folder.reports / "evaluation.json", document | {"confusion": [[1, 0]]})
    assert "evaluation.json is damaged" in page_of(folder).texts[""]


def test_a_job_whose_plan_is_lost_has_a_page(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path, settings={"lr": "0.003"}), [1.5])
    (folder.path / "plan.json").unlink()
    page = page_of(folder)
    assert "plan.json cannot be read" in page.texts[""]
    assert page.tables["settings"][0][1:] == [["lr", "0.003"]]


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no job"):
        report.job_page(JobDir(tmp_path))


def test_a_script_is_shown_with_its_own_metrics_and_hyperparameters(tmp_path: Path) -> None:
    folder = reported(ended(tmp_path), {"average test loss": [0.9, 0.7], "f1": [0.5]})
    document = read_json(folder.path / "job.json")
    changes = {"entry_point": "train_model.py", "hyperparameters": {"batch-size": "64"}}
    write_json(folder.path / "job.json", document | changes)
    (folder.path / "plan.json").unlink()
    page = page_of(folder)
    assert [figure["data"][0]["y"] for figure in page.figures] == [[0.9, 0.7], [0.5]]
    assert page.tables["settings"][0][1:] == [["batch-size", "64"]]
    assert "held-out" not in page.texts
    assert report.job_document(folder)["curves"]["others"]["f1"] == [{"number": 1, "value": 0.5}]


# ---- names that mean harm


@pytest.fixture
def hostile(tmp_path: Path) -> JobDir:
    """A job where everything that has a name has a hostile one."""
    classes = [EVIL, "<b>bold</b>", "bee"]
    folder = ended(tmp_path, Outcome("Failed", EVIL, EVIL))
    measured(folder, [1.5, 0.9])
    checked(folder, classes, bad={EVIL: EVIL})
    evaluated(folder, [[1, 2, 0], [0, 3, 0], [0, 0, 1]], classes)
    write_json(folder.private / "execution.json", {EVIL: EVIL})
    return reported(folder, {EVIL: [1.0, 2.0], "$x$": [1.0]})


@pytest.fixture
def haunted(hostile: JobDir) -> JobDir:
    """The same, with rules, tensors and photos of hostile names."""
    ruled(hostile, "vanishing_gradient", "overfit", f"all_zero:tensor_regex={re.escape(EVIL)}")
    saved(hostile, [*gradients({f"Net_{EVIL}.weight": [1e-9] * 3}), *relu_outputs({EVIL: [[0.0, 1.0]] * 3})])
    document = read_json(hostile.reports / "evaluation.json")
    answers = [
        {"file": name, "label": EVIL, "predicted": "bee", "confidence": 99.0} for name in ("a.png", f"{EVIL}.png")
    ]
    write_json(hostile.reports / "evaluation.json", document | {"predictions": answers})
    place = hostile.channel("training").resolve()
    (place / "a.png").write_bytes(encode(picture(0, 1), "PNG"))
    requests = read_json(hostile.path / "job.json")
    requests["rules"][0]["name"] = EVIL
    write_json(hostile.path / "job.json", requests)
    return hostile


def test_no_name_becomes_html(hostile: JobDir) -> None:
    html = report.job_page(hostile)
    assert_self_contained(html)
    page = Page(html)
    assert page.count("b") == len(page.figures)  # their titles, and nothing else
    for place in ("", "curves", "held-out", "photos", "settings"):
        assert EVIL in page.section(place)


def test_no_name_in_a_rule_a_tensor_or_a_photo_becomes_html(haunted: JobDir) -> None:
    html = report.job_page(haunted)
    assert_self_contained(html)
    page = Page(html)
    assert len(page.pictures()) == 1
    for place in ("recommendations", "rules", "held-out"):
        assert EVIL in page.section(place)
    texts = [text for figure in page.figures for text in names_in(figure)]
    assert any("onerror=alert(1)" in text for text in texts)
    assert [text for text in texts if "<" in text.replace("<extra></extra>", "").replace("<br>", "")] == []


def test_no_name_becomes_html_in_a_figure(hostile: JobDir) -> None:
    """plotly.js takes some tags in a text for what they say, and what stands between dollars for TeX."""
    texts = [text for figure in page_of(hostile).figures for text in names_in(figure)]
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in texts
    assert [text for text in texts if "<" in text or "$" in text] == []


def test_no_name_ends_the_script_that_a_figure_is_in() -> None:
    """Labels are escaped before; this is for the text that somebody forgets to label."""
    assert json.loads(script_json({EVIL: EVIL})) == {EVIL: EVIL}
    assert "<" not in script_json({EVIL: EVIL})


def test_what_cannot_be_seen_in_a_name_is_shown_as_an_escape(tmp_path: Path) -> None:
    page = page_of(checked(ended(tmp_path), ["a\u202eb", "bee"], bad={"a\udcff\nb.jpg": "it is empty"}))
    assert "a\\u202eb" in page.section("photos")
    assert "a\\xff\\nb.jpg" in page.section("photos")


# ---- what it costs


def test_making_a_page_never_loads_torch(tmp_path: Path) -> None:
    folder = measured(ended(tmp_path), [1.5])
    program = (
        "import sys; from pathlib import Path; from vizsla.analysis import report; from vizsla.jobdir import JobDir;"
        "report.job_page(JobDir(Path(sys.argv[1]))); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, folder.path], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_values_of_a_sweep_load_neither_jinja_nor_plotly() -> None:
    program = "import sys, vizsla.analysis.sweeps; print({'jinja2', 'plotly', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
