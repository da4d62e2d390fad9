"""The one hook of a process, which `get_hook` returns wherever a script asks: a script's functions share it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .hook import Hook

_current: list[Hook] = []  # smdebug's own contract is a hook that all modules of a script see


def get_hook(
    hook_type: str | None = None, create_if_not_exists: bool = False, json_config_path: str | None = None
) -> Hook | None:
    """The hook that was made last; where there is none, one from the configuration file if that is asked for."""
    if not _current and create_if_not_exists:
        from .hook import Hook

        set_hook(Hook.create_from_json_file(json_config_path))
    return _current[0] if _current else None


def set_hook(hook: Hook) -> None:
    """Makes `hook` the one that get_hook returns."""
    _current[:] = [hook]


def del_hook() -> None:
    """Closes the hook and forgets it."""
    for hook in _current:
        hook.close()
    _current.clear()
