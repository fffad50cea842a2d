"""How hard the machine works while a run goes on: read from /proc, under MLflow's own names."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


class SystemMetrics:
    """Samples processor and memory of this process and machine, and of the GPU that torch uses.

    :param seconds: the pause between two samples; 0 is never.
    :param report: takes values and step.
    """

    def __init__(self, seconds: float, report: Callable[[dict[str, float], int], None]) -> None:
        self._seconds = seconds
        self._report = report
        self._step = 0
        self._last = (time.monotonic(), time.process_time())
        self._lock = threading.Lock()
        self._stopped = not seconds

    def sample_if_due(self) -> None:
        """Sample when the pause is over."""
        with self._lock:
            if not self._stopped and time.monotonic() - self._last[0] >= self._seconds:
                self._sample()

    def stop(self) -> None:
        """Sample once more; nothing is reported from then on."""
        with self._lock:
            if not self._stopped:
                self._sample()
            self._stopped = True

    def _sample(self) -> None:
        clock, processor = time.monotonic(), time.process_time()
        spent, used = clock - self._last[0], processor - self._last[1]
        self._last = (clock, processor)
        values = {
            "system/process_cpu_percentage": round(100 * used / spent, 1) if spent > 0 else 0.0,
            "system/process_memory_megabytes": _resident() / 1e6,
            **_machine_memory(),
            **_gpu_memory(),
        }
        self._report(values, self._step)
        self._step += 1


def _resident() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0.0


def _machine_memory() -> dict[str, float]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    used = sizes["MemTotal"] - sizes.get("MemAvailable", sizes["MemFree"])
    return {
        "system/system_memory_usage_megabytes": used / 1e6,
        "system/system_memory_usage_percentage": round(100 * used / sizes["MemTotal"], 1),
    }


def _gpu_memory() -> dict[str, float]:
    """Only when the run has loaded torch already, and torch has a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    return {
        f"system/gpu_{device}_memory_usage_megabytes": torch.cuda.memory_reserved(device) / 1e6
        for device in range(torch.cuda.device_count())
    }
