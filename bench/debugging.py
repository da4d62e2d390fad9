"""What the debugger costs: the same training without it, with its defaults, and with everything every ten steps."""

from __future__ import annotations

from bench import lockstep
from bench.lockstep import Way
from bench.report import Section

WAYS = {
    "without": Way(),
    "defaults": Way(debug={}),
    "everything every 10 steps": Way(debug={"save_every": 10}),
}


def measure() -> Section:
    """One lockstep run a model."""
    text = f"{lockstep.CONDITIONS} Aims: at most 1.03 with the defaults, 1.15 with everything every ten steps."
    return Section("Debugger", text, ("model", "debugger", "time", "ratio"), lockstep.measure(WAYS))
