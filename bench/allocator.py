"""What keeping freed memory is worth: the worker sets three variables of glibc's for the training process.

A convolution's output at batch 64 is tens of megabytes. glibc takes such a block from the system and gives it back at
once, so every layer of every step faults its pages in again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.report import Section, spread
from vizsla.machine import KEEP_MEMORY

ROUNDS = 3
FORWARD = """
import json, time, torch
from vizsla.vision import networks
torch.set_num_threads(2)
net = networks.build("efficientnet_lite0", 10, 0.0, "none").eval().to(memory_format=torch.channels_last)
photos = torch.randn(64, 3, 224, 224).contiguous(memory_format=torch.channels_last)
with torch.inference_mode():
    net(photos)
    began = time.perf_counter()
    for _ in range(8):
        net(photos)
print(json.dumps(8 * 64 / (time.perf_counter() - began)))
"""


def measure() -> Section:
    """The same forward passes with and without the variables, in turn."""
    speeds: dict[str, list[float]] = {"as glibc does by default": [], "keeping memory, as the worker does": []}
    for _ in range(ROUNDS):
        for (_name, values), extra in zip(speeds.items(), ({}, KEEP_MEMORY), strict=True):
            done = subprocess.run(
                [sys.executable, "-c", FORWARD], env={**os.environ, **extra}, check=True, capture_output=True
            )
            values.append(json.loads(done.stdout))
    without, kept = speeds.values()
    ratios = [b / a for a, b in zip(without, kept, strict=True)]
    rows = [(name, spread(values, "img/s")) for name, values in speeds.items()]
    text = "EfficientNet-Lite0, 224 px, batch 64, float32, channels_last, 2 threads, forward only."
    return Section("Keeping freed memory", text, ("", "speed"), [*rows, ("ratio, pair by pair", spread(ratios, "×"))])  # noqa: RUF001
