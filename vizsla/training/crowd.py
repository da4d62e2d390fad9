"""Whether others need the cores while something is measured: then it says more about them than about this machine.

Beside `trying.py`, which measures. A choice made in a crowd is marked, and `execution.py` soon makes it anew.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

from vizsla.training.execution import Execution

OTHERS = 0.3  # cores: what any machine does beside


class Load:
    """What other processes need of this machine's cores, from when this is made."""

    def __init__(self) -> None:
        self._begun, self._all_s, self._own_s = time.perf_counter(), _busy_s(), time.process_time()

    @property
    def cores(self) -> float:
        """Cores that others kept busy since then, on average."""
        own_s = time.process_time() - self._own_s
        return max(0.0, _busy_s() - self._all_s - own_s) / max(time.perf_counter() - self._begun, 1e-6)

    def judged(self, made: Execution, share: int) -> Execution:
        """`made`, marked where the others left less than the share while something was measured."""
        others, cores = self.cores, os.cpu_count() or 1
        if not made.rates or others + share <= cores + OTHERS:
            return made
        said = f"others kept {others:.1f} of {cores} cores busy meanwhile: from tomorrow on it is measured anew"
        return replace(made, crowded=True, why=(*made.why, said))


def _busy_s() -> float:
    """Seconds that all cores together have worked since the machine began."""
    import psutil

    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))
