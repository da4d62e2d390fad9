"""`type=str2bool` of an argparse option."""

from __future__ import annotations

import argparse

from ..core.missing import speaking


def str2bool(v: bool | str) -> bool:
    """yes, true, t, y, 1 and their opposites in any case. Raises argparse.ArgumentTypeError for anything else."""
    if isinstance(v, bool):
        return v
    word = v.strip().lower()
    if word in ("yes", "true", "t", "y", "1"):
        return True
    if word in ("no", "false", "f", "n", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{v!r} is neither yes nor no: write true or false")


__getattr__ = speaking(__name__, ["str2bool"])
