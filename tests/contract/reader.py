"""Reads a `profiler-output/` folder with smdebug's own readers, and writes down what they found, as JSON.

python reader.py FOLDER FOUND.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# SageMaker's smdebug, which this interpreter has; type checkers see ours, which has no readers.
from smdebug.profiler import LocalAlgorithmMetricsReader, LocalSystemMetricsReader  # type: ignore[attr-defined]
from smdebug.profiler.analysis.python_stats_reader import LocalPythonStatsReader  # type: ignore[import-not-found]
from smdebug.profiler.analysis.utils.profiler_data_to_pandas import PandasFrame  # type: ignore[import-not-found]

HOUR_US = 3600 * 1_000_000


def system(folder: str) -> list[dict[str, Any]]:
    reader = LocalSystemMetricsReader(folder)
    found = reader.get_events(0, reader.get_timestamp_of_latest_available_file() + HOUR_US)
    return [
        {
            "name": each.name,
            "dimension": each.dimension,
            "value": each.value,
            "node": each.node_id,
            "t": each.timestamp,
        }
        for each in found
    ]


def framework(folder: str) -> list[dict[str, Any]]:
    reader = LocalAlgorithmMetricsReader(folder)
    found = reader.get_events(0, reader.get_timestamp_of_latest_available_file())
    return [
        {
            "phase": each.event_phase,
            "step": each.event_args.get("step_num"),
            "start_us": each.start_time,
            "length_us": each.duration,
        }
        for each in found
    ]


def frames(folder: str) -> dict[str, int]:
    """How many rows the data frames of notebooks have."""
    whole = PandasFrame(folder, use_in_memory_cache=True)
    return {"system": len(whole.get_all_system_metrics()), "framework": len(whole.get_all_framework_metrics())}


def python(folder: str) -> list[dict[str, Any]]:
    place = Path(folder) / "framework" / "pytorch" / "cprofile"
    found = LocalPythonStatsReader(str(place)).load_python_profile_stats() if place.is_dir() else []
    return [{"start_step": each.start_step, "end_step": each.end_step, "file": each.stats_path} for each in found]


if __name__ == "__main__":
    parts = {"system": system, "framework": framework, "frames": frames, "python": python}
    Path(sys.argv[2]).write_text(json.dumps({name: part(sys.argv[1]) for name, part in parts.items()}))
