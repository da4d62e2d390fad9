"""What has to be asked of this machine without torch: its cores, its Python, and how threads of torch wait."""

from __future__ import annotations

import os
import sys

# Runs a module of vizsla's. Without the folder that somebody stands in: a random.py there is not Python's.
PYTHON_M = (sys.executable, "-P", "-m")


def cpus() -> int:
    """The cores this process may use: VIZSLA_CPUS if a launcher shared them out, else what the system allows."""
    given = os.environ.get("VIZSLA_CPUS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return cores()


# Threads of torch that wait for each other do so by spinning. Where the cores have anything else to do, that costs a
# training most of its time; asleep they wait as well (bench/waiting.py).
WAIT_ASLEEP = {"OMP_WAIT_POLICY": "passive"}

# glibc gives large blocks back to the system after every layer and faults them in again for the next one. Keeping
# them makes a forward pass of the default backbone 2.7 times as fast at batch 64 (bench/allocator.py).
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000000", "MALLOC_TOP_PAD_": "67108864"}


def cores() -> int:
    """The cores of this machine that this process may run on, whatever share of them a launcher has given it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def computing() -> dict[str, str]:
    """What to add to the environment of a process that computes for longer than a moment."""
    own = {"OPENBLAS_NUM_THREADS": str(cpus())}  # numpy's: by default as many as the machine has, and they spin
    return {**KEEP_MEMORY, **waiting_asleep(), **own}


def waiting_asleep() -> dict[str, str]:
    """What to add to the environment of a process that computes with torch; what is set there already stays."""
    return {name: os.environ.get(name, value) for name, value in WAIT_ASLEEP.items()}
