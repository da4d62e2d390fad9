"""Probe, fine-tuning, and the better of the two, as a user runs them on made pictures; and what is not done twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Ended, run_vizsla
from tests.photos import write_folder
from vizsla import records

SMALL = (
    *("model=test_resnet", "weights=none", "image.size=48", "batch_size=16", "epochs=2", "run.threads=1"),
    *("run.memory_format=channels_last", "run.loader_workers=1"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("methods")
    write_folder(made / "photos", {"disc": 20, "rows": 20}, seed=5)
    return made


def train(place: Path, name: str, *more: str) -> Ended:
    given = [part for pair in (*SMALL, *more) for part in ("--set", pair)]
    ended = run_vizsla("train", "photos", *given, "--name", name, "--json", cwd=place)
    assert ended.code == 0, ended.err
    return ended


def log_of(place: Path, name: str) -> str:
    return run_vizsla("logs", name, cwd=place).out


def manifest(place: Path, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((place / "vizsla-runs/training" / name / "model/manifest.json").read_text())
    return found


@pytest.mark.parametrize("stages", ["last", "all"])
def test_a_probe_is_a_model_that_can_be_asked_and_measured(place: Path, stages: str) -> None:
    name = f"probe-{stages}"
    document = train(place, name, "method=probe", f"probe.stages={stages}").document
    assert (document["status"], document["epochs"], document["probe"]) == ("Completed", 1, None)
    assert ("stages" in manifest(place, name)["architecture"]) is (stages == "all")  # type: ignore[operator]
    asked = run_vizsla("predict", name, "photos/disc/disc-000.jpg", "--json", cwd=place)
    assert asked.code == 0, asked.err
    measured = run_vizsla("evaluate", name, "photos", "--json", cwd=place).document
    assert measured["images"] == 40
    # The bundle's network sees photos, and was fitted on features: both ways the held-out ones come to the same.
    evaluation = json.loads((place / "vizsla-runs/training" / name / "output/data/evaluation.json").read_text())
    own = {row["file"]: row["confidence"] for row in evaluation["predictions"]}
    again = {row["file"]: row["confidence"] for row in measured["predictions"]}
    assert own == {file: pytest.approx(again[file], abs=0.01) for file in own}


def test_auto_keeps_the_better_of_probe_and_epochs(place: Path) -> None:
    document = train(place, "auto", "method=auto").document
    curve = run_vizsla("report", "auto", "--json", cwd=place).document["curves"]["valid_loss"]
    assert document["probe"]["valid_loss"] == curve[0]["value"]
    assert curve[0]["epoch"] == 0
    assert document["metrics"]["valid_loss"] == min(point["value"] for point in curve)
    assert "probe train loss: " in log_of(place, "auto")


def test_finetune_begins_with_the_probe_and_never_keeps_it(place: Path) -> None:
    document = train(place, "finetune", "method=finetune").document
    assert (document["probe"], document["epochs"]) == (None, 2)
    assert "probe of the last stage: " in log_of(place, "finetune")


def test_the_second_training_computes_no_features_and_is_the_same(place: Path) -> None:
    first, second = (train(place, name, "method=finetune", "seed=3").document for name in ("once", "twice"))
    assert "features" not in log_of(place, "twice")
    assert first["metrics"] == second["metrics"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["train_from=all"], "every epoch runs the whole network: nothing"),
        (["views=0"], "the frozen part is computed each epoch: views=0 draws new views"),
        (["cache.max_gb=0"], "do not fit (cache.max_gb)"),
    ],
)
def test_what_cannot_be_kept_is_said_in_a_line_and_computed_each_epoch(place: Path, more: list[str], said: str) -> None:
    name = "-".join(more).translate(str.maketrans("=._", "---"))
    document = train(place, name, "method=auto", *more).document
    assert document["status"] == "Completed"
    assert said in log_of(place, name)


def test_where_the_cache_cannot_be_written_the_training_goes_on(place: Path) -> None:
    (place / "file").write_text("no folder")
    given = [part for pair in (*SMALL, "method=auto") for part in ("--set", pair)]
    ended = run_vizsla(
        "train", "photos", *given, "--name", "no-cache", "--json", cwd=place, VIZSLA_CACHE=str(place / "file")
    )
    assert ended.code == 0, ended.err
    assert ended.document["status"] == "Completed"


def test_the_debugger_sees_the_whole_network_at_its_first_and_last_step_and_what_is_trained_at_all(place: Path) -> None:
    train(place, "looked-at", "method=finetune", "probe.stages=none", "debug.save_every=1", "seed=9")
    found = records.read(place / "vizsla-runs/training/looked-at/checkpoints/vizsla/records", ["debugger"])
    steps: dict[str, set[int]] = {}
    for record in found:
        if record.kind == "tensor" and record.mode == "train" and record.step is not None:
            steps.setdefault(record.name, set()).add(record.step)
    everyone = steps["ResNet_fc.weight"]
    ends = {min(everyone), max(everyone)}
    assert len(everyone) > 2
    assert steps["layer1.0.act1_output_0"] == ends, "frozen"
    assert steps["ResNet_input_0"] == ends, "photos; at other steps there are none to be judged"
    assert steps["layer4.0.act1_output_0"] == everyone, "trained"
    series = {"with": log_of(place, "looked-at")}
    train(place, "not-looked-at", "method=finetune", "probe.stages=none", "debug.collections=none", "seed=9")
    series["without"] = log_of(place, "not-looked-at")
    losses = {
        name: [line.partition("epoch ")[2] for line in log.splitlines() if " train loss: " in line]
        for name, log in series.items()
    }
    assert losses["with"] == losses["without"], "nobody who looks changes anything"
