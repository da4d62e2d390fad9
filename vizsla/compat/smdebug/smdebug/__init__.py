"""The words of smdebug, for scripts that were written for it: a package that is never installed.

Its folder `compat/smdebug` alone is put on a script's path by `vizsla run`, so nothing else can import it. It runs
inside the user's process, beside a loop that is not ours: it looks at the model through hooks, and writes vizsla's
records. docs/smdebug.md says what is the same and what is not.
"""

from __future__ import annotations

from .core.collection import CollectionKeys
from .core.missing import speaking
from .core.modes import ModeKeys as modes  # noqa: N813 - smdebug's own spelling
from .core.reduction_config import ReductionConfig
from .core.save_config import SaveConfig, SaveConfigMode

__version__ = "1.0.34"  # the last release of smdebug, whose words these are
__all__ = ["CollectionKeys", "ReductionConfig", "SaveConfig", "SaveConfigMode", "modes"]
__getattr__ = speaking(__name__, __all__)
