"""What a user types after --set, and what a launcher puts into hyperparameters.json."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from vizsla import keys
from vizsla.errors import UserError


class Oven(keys.Section):
    """A group inside a group."""

    heat_c: float = Field(180.0, gt=0)
    """Degrees Celsius inside."""
    fan: bool = False
    """Whether the fan runs."""


class Cake(keys.Section):
    """Something with every kind of field that vizsla uses."""

    layers: int = Field(2, ge=1)
    """How many layers."""
    icing: Literal["sugar", "chocolate"] = "sugar"
    """What is on top."""
    message: str | None = None
    """What is written on it."""
    sizes: tuple[float, float] = (0.5, 0.25)
    """Shares of the tins."""
    oven: Oven = Oven()

    @model_validator(mode="after")
    def _fits(self) -> Cake:
        if self.layers > 9 and self.oven.heat_c > 200:
            raise ValueError("so many layers burn above 200 degrees")
        return self


NAMES = ["layers", "icing", "message", "sizes", "oven.heat_c", "oven.fan"]


def refusal(pairs: dict[str, str]) -> UserError:
    with pytest.raises(UserError) as caught:
        keys.parse(Cake, pairs)
    return caught.value


def test_every_field_is_a_key_with_its_default_and_its_meaning() -> None:
    assert [(key.name, key.default, key.help) for key in keys.declared(Cake)] == [
        ("layers", "2", "How many layers."),
        ("icing", "sugar", "What is on top."),
        ("message", "", "What is written on it."),
        ("sizes", "0.5,0.25", "Shares of the tins."),
        ("oven.heat_c", "180.0", "Degrees Celsius inside."),
        ("oven.fan", "false", "Whether the fan runs."),
    ]


def test_dotted_keys_reach_into_groups_and_leave_the_rest_alone() -> None:
    cake = keys.parse(Cake, {"layers": "3", "oven.heat_c": "150"})
    assert cake == Cake(layers=3, oven=Oven(heat_c=150.0))


def test_dashes_and_underscores_are_one() -> None:
    assert keys.parse(Cake, {"oven.heat-c": "90"}) == keys.parse(Cake, {"oven.heat_c": "90"})


def test_a_key_given_in_both_spellings_is_given_twice() -> None:
    assert refusal({"oven.heat-c": "90", "oven.heat_c": "95"}).message == "oven.heat_c is given twice."


@pytest.mark.parametrize(
    ("typed", "nearest"), [("layer", "layers"), ("heat_c", "oven.heat_c"), ("oven-fan", "oven.fan")]
)
def test_an_unknown_key_names_the_nearest(typed: str, nearest: str) -> None:
    error = refusal({typed: "1"})
    assert error.message == f"There is no setting called {typed}."
    assert error.hint.startswith(f"Did you mean {nearest}? ")


def test_a_key_like_no_other_names_them_all_and_guesses_none() -> None:
    assert refusal({"xyzzy": "1"}).hint == f"All settings: {', '.join(NAMES)}."


def test_a_group_is_no_key() -> None:
    assert refusal({"oven": "hot"}).message == "There is no setting called oven."


@pytest.mark.parametrize(
    ("key", "value", "help_text"),
    [
        ("layers", "0", "layers: How many layers."),
        ("layers", "two", "layers: How many layers."),
        ("layers", "2.5", "layers: How many layers."),
        ("icing", "salt", "icing: What is on top."),
        ("oven.heat-c", "-1", "oven.heat_c: Degrees Celsius inside."),
        ("oven.heat_c", "", "oven.heat_c: Degrees Celsius inside."),
        ("oven.fan", "maybe", "oven.fan: Whether the fan runs."),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_key_and_meaning(key: str, value: str, help_text: str) -> None:
    error = refusal({key: value})
    assert error.message.startswith(f"{key.replace('-', '_')}={value} cannot be: ")
    assert error.hint == help_text


@pytest.mark.parametrize("value", ["nan", "inf", "1e999"])
def test_a_number_without_an_end_cannot_be(value: str) -> None:
    assert refusal({"oven.heat_c": value}).message.endswith(" cannot be: input should be a finite number.")


def test_settings_that_exclude_each_other_say_why() -> None:
    error = refusal({"layers": "10", "oven.heat_c": "201"})
    assert error.message == "These settings do not go together: so many layers burn above 200 degrees."


@pytest.mark.parametrize(("sent", "meant"), [('"chocolate"', "chocolate"), ("chocolate", "chocolate")])
def test_strings_come_as_json_from_sdk_2_and_as_they_are_from_sdk_3(sent: str, meant: str) -> None:
    assert keys.parse(Cake, {"icing": sent}).icing == meant


def test_numbers_come_as_json_from_sdk_2_too() -> None:
    assert keys.parse(Cake, {"layers": '"4"', "oven.heat_c": "1.5e2"}) == Cake(layers=4, oven=Oven(heat_c=150.0))


@pytest.mark.parametrize("sent", ['"', '"half', 'half"', '""quoted" twice"'])
def test_a_quote_that_is_not_json_is_part_of_the_text(sent: str) -> None:
    assert keys.parse(Cake, {"message": sent}).message == sent


@pytest.mark.parametrize("text", ["", '"happy birthday"', "ü\n☃", "\\"])
def test_json_brings_any_text_through_unchanged(text: str) -> None:
    assert keys.parse(Cake, {"message": json.dumps(text)}).message == text


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("True", True), ("true", True), ('"true"', True), ("False", False), ("false", False), ("0", False)],
)
def test_booleans_are_understood_as_python_and_json_write_them(sent: str, meant: bool) -> None:
    assert keys.parse(Cake, {"oven.fan": sent}).oven.fan is meant


def test_what_was_parsed_never_changes() -> None:
    cake = keys.parse(Cake, {})
    with pytest.raises(ValidationError, match="frozen"):
        cake.layers = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        cake.oven.fan = True  # type: ignore[misc]


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), st.text(), max_size=3))
def test_whatever_is_typed_is_understood_or_refused_in_a_sentence(pairs: dict[str, str]) -> None:
    try:
        found: Cake | UserError = keys.parse(Cake, pairs)
    except UserError as error:
        found = error
    assert isinstance(found, Cake) or found.message.endswith(".")


def test_what_other_tools_call_it_is_answered_with_our_name() -> None:
    with pytest.raises(UserError) as caught:
        keys.known("learning-rate", ["lr", "label_smoothing"])
    assert "Did you mean lr?" in caught.value.hint
