"""Names, numbers and times as people read them: nothing that came from disk may move a cursor or hide itself."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vizsla.words import count, duration, listed, loss, moment, number, percent, visible


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.0, "0"),
        (1.23456, "1.235"),
        (0.0031623, "0.003162"),
        (0.000001, "1e-06"),
        (1024.0, "1,024"),
        (-0.5, "-0.5"),
        (math.nan, "not a number"),
        (-math.inf, "infinite"),
    ],
)
def test_a_number_has_four_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_a_loss_has_four_decimals() -> None:
    assert [loss(1.5), loss(None), loss(math.nan)] == ["1.5000", "-", "not a number"]


def test_a_share_is_percent() -> None:
    assert [percent(0.8244), percent(1.0, 0), percent(None)] == ["82.44 %", "100 %", "-"]


def test_a_moment_is_in_utc() -> None:
    assert moment("2026-11-22T13:27:57+02:00") == "2026-11-22 11:27 UTC"
    assert moment("yesterday") == "yesterday"


def test_one_is_not_many() -> None:
    assert [count(1, "photo"), count(1200, "photo"), count(2, "class", "classes")] == [
        "1 photo",
        "1,200 photos",
        "2 classes",
    ]


@pytest.mark.parametrize("text", ["", "dogs", "Ärger mit 犬 🐶.jpg", "two words", "back\\slash"])
def test_text_that_can_be_printed_is_left_alone(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("line\nbreak\r\ttab", "line\\nbreak\\r\\ttab"),
        ("\x07\x00\x7f", "\\x07\\x00\\x7f"),
        ("\x9b31m", "\\x9b31m"),  # an escape sequence in one character, for terminals that know C1
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),  # shows what follows from right to left
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_could_fool_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_file_name_that_is_no_text_shows_its_bytes(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))).touch()
    assert [visible(path.name) for path in tmp_path.iterdir()] == ["caf\\xe9.jpg"]


@given(st.text(st.characters(codec=None)))
def test_whatever_a_name_holds_one_printable_line_comes_out(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    ("share", "shown"), [(0.8244, "82.44 %"), (1.0, "100.00 %"), (0.0, "0.00 %"), (1 / 3, "33.33 %"), (None, "-")]
)
def test_shares_are_shown_in_percent(share: float | None, shown: str) -> None:
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (9.96, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (65.3, "1 min 05 s"),
        (119.6, "2 min 00 s"),
        (3599.6, "1 h 00 min"),
        (3661, "1 h 01 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations_are_shown_as_people_say_them(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_list_names_the_first_few_and_counts_the_rest() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdef")) == "a, b, c, d, e, f"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
    assert listed(list("abc"), most=1) == "a and 2 more"
    assert listed([]) == ""


def test_a_list_is_safe_to_print() -> None:
    assert listed(["\x1b[2J", "b\n"]) == "\\x1b[2J, b\\n"
