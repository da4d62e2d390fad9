"""Counts and rates make seconds: what each part of a job is charged for, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vizsla.training.forecast import DISK, PARTS, Amounts, Forecast, Speeds, line, predict

SPEEDS = Speeds(read=100.0, train=50.0, start_s=5.0, export_s=0.5, probe_s=2.0)
AMOUNTS = Amounts(
    unchecked=0,
    missing=1550,
    missing_test=150,
    train=700,
    valid=150,
    test=150,
    epochs=8,
    kept=True,
    probed=True,
    weights_bytes=0,
    checkpoint_bytes=0,
)


def test_a_cold_training_pays_for_every_part() -> None:
    assert predict(AMOUNTS, SPEEDS).parts == pytest.approx(
        {
            "start": 5.0,
            "check": 0.0,
            "export": 0.5,
            "features": 15.5,
            "probe": 2.0,
            "epochs": 8 * 700 / 50,
            "evaluation": 9 * 150 / 150,  # eight epochs and the probe; forward is a third of a step
            "test": 1.5 + 150 / 150,
            "bundle": 0.0,
        }
    )


def test_the_parts_are_in_the_order_they_happen_and_sum_up() -> None:
    forecast = predict(AMOUNTS, SPEEDS)
    assert tuple(forecast.parts) == PARTS
    assert forecast.seconds == pytest.approx(5 + 0.5 + 15.5 + 2 + 112 + 9 + 2.5)


def test_what_is_cached_takes_no_time() -> None:
    warm = predict(replace(AMOUNTS, missing=0, missing_test=0), SPEEDS)
    assert warm.parts["features"] == 0
    assert predict(AMOUNTS, SPEEDS).seconds - warm.seconds == pytest.approx(15.5 + 1.5)


def test_photos_that_nobody_has_looked_at_are_decoded_first() -> None:
    assert predict(replace(AMOUNTS, unchecked=1000), SPEEDS).parts["check"] == pytest.approx(10)


def test_without_kept_features_every_epoch_reads_the_photos() -> None:
    uncached = predict(replace(AMOUNTS, kept=False, missing=0, missing_test=0), SPEEDS)
    assert uncached.parts["epochs"] == pytest.approx(8 * 700 * (1 / 100 + 1 / 50))
    assert uncached.parts["evaluation"] == pytest.approx(
        8 * 150 * (1 / 100 + 1 / 150) + 150 / 150
    )  # a probe has features


def test_where_the_whole_network_is_trained_an_epoch_only_decodes_before_it() -> None:
    whole = predict(replace(AMOUNTS, kept=False), replace(SPEEDS, reread=400.0))
    assert whole.parts["epochs"] == pytest.approx(8 * 700 * (1 / 400 + 1 / 50))
    assert whole.parts["features"] == pytest.approx(15.5)


def test_a_probe_alone_trains_no_epoch() -> None:
    probe = predict(replace(AMOUNTS, epochs=0), replace(SPEEDS, train=None))
    assert probe.parts["epochs"] == 0
    assert probe.parts["probe"] == 2.0


def test_what_is_written_takes_its_time() -> None:
    heavy = predict(replace(AMOUNTS, weights_bytes=int(DISK), checkpoint_bytes=int(DISK)), SPEEDS)
    assert heavy.parts["bundle"] == pytest.approx(2)
    assert heavy.parts["epochs"] == pytest.approx(112 + 8)


def test_nothing_measured_is_nothing_predicted_and_no_error() -> None:
    assert predict(AMOUNTS, Speeds(None, None, 1.0)).seconds == pytest.approx(1.0)


def test_the_line_names_the_sum_and_what_is_most_of_it() -> None:
    assert line(predict(AMOUNTS, SPEEDS)) == (
        "this will take about 2 min 26 s: epochs 1 min 52 s, features 15.5 s, evaluation 9.0 s"
    )


def test_the_document_has_the_sum_and_the_parts() -> None:
    assert Forecast({"start": 1.234, "epochs": 2.0}).document() == {
        "seconds": 3.2,
        "parts": {"start": 1.23, "epochs": 2.0},
    }
