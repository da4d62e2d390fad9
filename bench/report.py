"""What every measurement hands back, and how results.md is written from it."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow")


@dataclass(frozen=True)
class Section:
    """One table: a title, what was done in a sentence or two, the header and the rows."""

    title: str
    text: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{self.text}\n\n{table}\n"


def spread(values: Sequence[float], unit: str = "s") -> str:
    """Median, with minimum and maximum where there is more than one value."""
    if len(values) == 1:
        return f"{values[0]:.2f} {unit}"
    return f"{statistics.median(values):.2f} {unit} ({min(values):.2f} to {max(values):.2f})"


def seconds(value: float) -> str:
    """A wall time, to the second."""
    return f"{value:.0f} s"


def percent(share: float) -> str:
    """A share of 1, such as an accuracy."""
    return f"{100 * share:.1f} %"


def times(ratio: float) -> str:
    """How many times as fast."""
    return f"{ratio:.1f} ×"  # noqa: RUF001


def write(sections: Sequence[Section], place: Path) -> None:
    """results.md: the machine, then the tables."""
    top = (
        "# Results\n\nWritten by `make bench`; what is measured and how is in [README.md](README.md). "
        f"Look at the ratios: these machines are shared and noisy.\n\n{conditions()}.\n"
    )
    place.write_text("\n".join([top, *(section.markdown() for section in sections)]), encoding="utf-8")


def conditions() -> str:
    """When, where and with what a measurement was made."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}, Python {platform.python_version()}, {libraries}"


def _machine() -> str:
    import os

    import torch

    features = [name for name in ("avx2", "avx512_f", "avx512_bf16") if torch.cpu.get_capabilities().get(name)]
    return f"{os.cpu_count()} cores {_processor()} ({', '.join(features)}), no GPU"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
