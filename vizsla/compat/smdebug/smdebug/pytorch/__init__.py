"""`import smdebug.pytorch as smd`."""

from __future__ import annotations

from ..core.collection import Collection, CollectionKeys
from ..core.missing import speaking
from ..core.modes import ModeKeys
from ..core.modes import ModeKeys as modes  # noqa: N813 - smdebug's own spelling
from ..core.reduction_config import ReductionConfig
from ..core.save_config import SaveConfig, SaveConfigMode
from ..trials import create_trial
from .current import del_hook, get_hook, set_hook
from .hook import Hook

__all__ = [
    "Collection",
    "CollectionKeys",
    "Hook",
    "ModeKeys",
    "ReductionConfig",
    "SaveConfig",
    "SaveConfigMode",
    "create_trial",
    "del_hook",
    "get_hook",
    "modes",
    "set_hook",
]
__getattr__ = speaking(__name__, __all__)
