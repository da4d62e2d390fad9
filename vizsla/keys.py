"""Dotted keys and string values (`--set data.fraction=0.3`, hyperparameters) to typed models and back.

A key is the path of a field in a pydantic model, one to one. plan.py and job.py declare the models; everything a user
types goes through here, so an unknown key or an impossible value is one sentence everywhere.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from vizsla.errors import UserError

# What other tools call these settings, where the spelling is too far off to be found.
SYNONYMS = MappingProxyType(
    {"learning_rate": "lr", "backbone": "model", "arch": "model", "num_epochs": "epochs", "bs": "batch_size"}
)

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A group of settings: frozen, closed, and documented by the docstring below each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Key:
    """One setting as a user sees it: its name, the default as text ("" where the plan works it out), what it means."""

    name: str
    default: str
    help: str


def declared(model: type[Section]) -> list[Key]:
    """All keys of `model`, in the order they are written down."""
    return [Key(name, _shown_default(field), help_text) for name, field, help_text in _leaves(model, "")]


def parse(model: type[S], pairs: Mapping[str, str]) -> S:
    """A `model` from dotted keys and string values; `-` and `_` are one.

    Raises UserError for an unknown key (naming the nearest), a key given twice, or a value that does not fit.
    """
    names = [key.name for key in declared(model)]
    raw: dict[str, Any] = {}
    for given, value in pairs.items():
        name = known(given, names)
        *sections, leaf = name.split(".")
        place = raw
        for section in sections:
            place = place.setdefault(section, {})
        if leaf in place:
            raise UserError(f"{name} is given twice.", "Give it once.")
        place[leaf] = decode(value)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise _named(model, error) from error


def known(given: str, names: list[str]) -> str:
    """The key that `given` means. Raises UserError naming the nearest one if there is none."""
    name = given.replace("-", "_")
    if name in names:
        return name
    elsewhere = [SYNONYMS[name]] if SYNONYMS.get(name) in names else []
    near = elsewhere or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UserError(f"There is no setting called {given}.", f"{hint}All settings: {', '.join(names)}.")


def decode(value: str) -> str:
    """What a launcher quoted, unquoted: SageMaker's SDK v2 sends strings as JSON (`"\\"adam\\""`), v3 as they are."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        try:
            inner = json.loads(value)
        except ValueError:
            return value
        return inner if isinstance(inner, str) else value
    return value


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo, str]]:
    meanings = _docstrings(model)
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field, meanings.get(name, "")


@functools.cache
def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Field → the docstring below it. Pydantic can read them too, but does so at every start of every process."""
    found: dict[str, str] = {}
    for each in reversed([base for base in model.__mro__ if issubclass(base, Section) and base is not Section]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        for field, below in itertools.pairwise(getattr(definition, "body", ())):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
    return found


def _shown_default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(str(part) for part in default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def _named(model: type[Section], error: ValidationError) -> UserError:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = next((key.name for key in declared(model) if key.name.split(".") == path[: key.name.count(".") + 1]), "")
    said = str(first["msg"]).removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    if not name:
        return UserError(f"These settings do not go together: {said}.")
    shown = first["input"]
    meaning = next(key.help for key in declared(model) if key.name == name)
    return UserError(f"{name}={shown} cannot be: {said}.", f"{name}: {meaning}")
