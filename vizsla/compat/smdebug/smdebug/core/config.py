"""What a hook is asked to do: SageMaker's debughookconfig.json, or the arguments of `Hook`, as one value."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vizsla.files import read_json

from .collection import Collection, CollectionKeys, Collections
from .modes import ModeKeys
from .reduction_config import ReductionConfig
from .save_config import FIELDS, SaveConfig

CONFIG_FILE = "SMDEBUG_CONFIG_FILE_PATH"
DEFAULT_FILE = Path("/opt/ml/input/config/debughookconfig.json")
SWITCH = "USE_SMDEBUG"
REDUCED = ("reductions", "abs_reductions", "norms", "abs_norms", "save_raw_tensor", "save_shape")
PLAIN = ("include_regex", "include_workers", "save_all", "export_tensorboard", "tensorboard_dir")
KNOWN = {*REDUCED, *PLAIN, *(f"{mode}{each}" for mode in ("", *(f"{m.word}." for m in ModeKeys)) for each in FIELDS)}

log = logging.getLogger("smdebug")


@dataclass(frozen=True)
class HookConfig:
    """The arguments of a hook, whoever gave them. collections: those set up already, by a file."""

    out_dir: str | None = None
    save_config: SaveConfig = field(default_factory=SaveConfig)
    reduction_config: ReductionConfig | None = None
    include_regex: tuple[str, ...] = ()
    include_collections: tuple[str, ...] = ()
    save_all: bool = False
    collections: tuple[Collection, ...] = ()

    def gathered(self) -> Collections:
        """The collections this asks for, losses always among them."""
        chosen = [*self.include_collections, *(each.name for each in self.collections)]
        chosen += [CollectionKeys.ALL] if self.save_all else []
        chosen += [CollectionKeys.DEFAULT] if self.include_regex else []
        made = Collections(self.save_config, self.reduction_config, chosen)
        made.get(CollectionKeys.DEFAULT).include(self.include_regex)
        for each in self.collections:
            own = made.get(each.name)
            own.include(each.include_regex)
            own.save_config, own.reduction_config = each.save_config, each.reduction_config
        return made


def is_on() -> bool:
    """Whether the kill switch USE_SMDEBUG leaves hooks alone."""
    return os.environ.get(SWITCH, "1").strip().lower() not in ("0", "false", "no", "off")


def found(path: str | None) -> HookConfig:
    """The configuration in `path`, else in the file SMDEBUG_CONFIG_FILE_PATH names, else in SageMaker's place.

    Where none of the last two is there, the defaults: losses, every 500 steps. Raises OSError where the file that was
    named cannot be read, ValueError where it is no hook configuration.
    """
    named = path or os.environ.get(CONFIG_FILE)
    if not named and not DEFAULT_FILE.exists():
        return HookConfig()
    file = Path(named) if named else DEFAULT_FILE
    document = read_json(file)
    try:
        return of_json(document)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no debugger hook configuration: {error}") from error


def of_json(document: Mapping[str, Any]) -> HookConfig:
    """A DebuggerHookConfig as SageMaker writes it; all parameters are strings. Raises ValueError."""
    hook = dict(document.get("HookParameters") or {})
    asked = [_collection(one, hook) for one in document.get("CollectionConfigurations") or []]
    _tell_unknown(hook, "HookParameters")
    return HookConfig(
        out_dir=document.get("LocalPath"),
        save_config=SaveConfig.parse(hook),
        reduction_config=ReductionConfig.parse(hook),
        include_regex=tuple(regexes(hook.get("include_regex"))),
        save_all=str(hook.get("save_all", "")).lower() in ("true", "1"),
        collections=tuple(asked),
    )


def regexes(text: Any) -> list[str]:
    """A list with commas, which may also stand in the braces of a regex: `a{1,2},b` are two."""
    return [each for each in re.split(r",(?![^{]*\})", str(text or "")) if each]


def _collection(one: Mapping[str, Any], hook: Mapping[str, Any]) -> Collection:
    name = str(one.get("CollectionName") or one.get("collection_name") or "")
    if not name:
        raise ValueError("a collection has no CollectionName")
    own = dict(one.get("CollectionParameters") or one.get("parameters") or {})
    _tell_unknown(own, f"the collection {name}")
    return Collection(
        name,
        regexes(own.get("include_regex")),
        reduction_config=ReductionConfig.parse(own, hook),
        save_config=SaveConfig.parse(own, hook),
    )


def _tell_unknown(parameters: Mapping[str, Any], place: str) -> None:
    unknown = sorted(set(parameters) - KNOWN)
    if unknown:
        log.warning("%s: %s mean nothing here and are ignored", place, ", ".join(unknown))
