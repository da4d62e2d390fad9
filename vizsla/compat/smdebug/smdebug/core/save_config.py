"""At which steps a collection is saved. The steps of a mode are counted from 0, for each mode by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .modes import ModeKeys

SAVE_INTERVAL = 500  # smdebug's documented default
FIELDS = ("save_interval", "start_step", "end_step", "save_steps")


@dataclass(frozen=True)
class SaveConfigMode:
    """Saves a step that is in `save_steps`, or a multiple of `save_interval` with start_step <= step < end_step."""

    save_interval: int = SAVE_INTERVAL
    start_step: int = 0
    end_step: int | None = None
    save_steps: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.save_interval < 1:
            raise ValueError(f"save_interval is {self.save_interval}: it must be 1 or more")

    def should_save_step(self, step: int) -> bool:
        begun = step >= self.start_step and (self.end_step is None or step < self.end_step)
        return step in self.save_steps or (begun and step % self.save_interval == 0)


class SaveConfig:
    """A SaveConfigMode for each mode: the same one for all, or those that `mode_save_configs` names."""

    def __init__(
        self,
        mode_save_configs: Mapping[ModeKeys, SaveConfigMode] | int | None = None,
        start_step: int | None = None,
        end_step: int | None = None,
        save_interval: int | None = None,
        save_steps: Sequence[int] | None = None,
    ) -> None:
        if isinstance(mode_save_configs, int):  # SaveConfig(100), as some scripts write it
            mode_save_configs, save_interval = None, mode_save_configs
        interval = SAVE_INTERVAL if save_interval is None else save_interval
        every = SaveConfigMode(interval, start_step or 0, end_step, tuple(save_steps or ()))
        self.mode_save_configs = dict.fromkeys(ModeKeys, every) | dict(mode_save_configs or {})

    @classmethod
    def parse(cls, *levels: Mapping[str, Any]) -> SaveConfig:
        """From the string parameters of a configuration file; the first level that says something counts.

        Within a level `train.save_interval` counts before `save_interval`. Raises ValueError.
        """
        return cls({mode: _of_mode(mode, levels) for mode in ModeKeys})

    def get_save_config(self, mode: ModeKeys) -> SaveConfigMode:
        return self.mode_save_configs[mode]

    def should_save_step(self, mode: ModeKeys, step: int) -> bool:
        """step: counts within `mode`."""
        return self.mode_save_configs[mode].should_save_step(step)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SaveConfig) and other.mode_save_configs == self.mode_save_configs

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SaveConfig({self.mode_save_configs})"


def _of_mode(mode: ModeKeys, levels: Sequence[Mapping[str, Any]]) -> SaveConfigMode:
    said = {field: _said(field, mode, levels) for field in FIELDS}
    steps = [int(step) for step in str(said["save_steps"] or "").replace("[", "").replace("]", "").split(",") if step]
    return SaveConfigMode(
        int(said["save_interval"] or SAVE_INTERVAL),
        int(said["start_step"] or 0),
        int(said["end_step"]) if said["end_step"] not in (None, "", "None") else None,
        tuple(steps),
    )


def _said(field: str, mode: ModeKeys, levels: Sequence[Mapping[str, Any]]) -> Any:
    for level in levels:
        for key in (f"{mode.word}.{field}", field):
            if key in level:
                return level[key]
    return None
