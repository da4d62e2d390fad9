"""NVIDIA's GPUs, as their driver counts. Part of the sampler; the package nvidia-ml-py is the extra `gpu`."""

from __future__ import annotations

from typing import Any


class Gpus:
    """The GPUs of this machine, through NVML; none where there is no NVML, or no driver."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        try:
            import pynvml
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
        except pynvml.NVMLError:
            return
        self._nvml = pynvml

    @property
    def count(self) -> int:
        return len(self._handles) if self._nvml else 0

    def usage(self) -> dict[str, list[float]]:
        """{"gpu": percent of the time busy, "gpu_memory": percent used}, a number a GPU; empty where nobody knows."""
        if not self.count:
            return {}
        nvml = self._nvml
        try:
            busy = [float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) for handle in self._handles]
            held = [nvml.nvmlDeviceGetMemoryInfo(handle) for handle in self._handles]
        except nvml.NVMLError:  # a driver that was taken away, or a GPU that does not count
            return {}
        return {"gpu": busy, "gpu_memory": [round(100 * each.used / each.total, 2) for each in held]}
