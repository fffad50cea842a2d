"""How many rows may be held at a time."""

from __future__ import annotations

from pathlib import Path

import torch

from airflow_provider_mlfeat.training.examples import Examples

SHARE = 0.25
UNKNOWN = 4 << 30
# Version 2 and version 1 of control groups: the limit, and what is taken of it.
CONTAINER_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def row_bytes(examples: Examples) -> int:
    """What a row takes, its place in the order of visits included."""
    return int(4 * (examples.ids.shape[1] + examples.values.shape[1] + 1) + 8)


def rows_held(examples: Examples, processes: int = 1) -> int:
    """Rows of which a copy may be held in memory beside everything else."""
    return max(1, int(free_memory() * SHARE / processes) // row_bytes(examples))


def fits_on(device: torch.device, examples: Examples, rows: int) -> bool:
    """Whether so many rows may stay on a device, beside the model and what steps need."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return rows * row_bytes(examples) < free * 2 * SHARE


def free_memory() -> int:
    """Bytes that this process may still take: of the machine's, and of the container's."""
    free = UNKNOWN
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for limit, taken in CONTAINER_FILES:
        most, used = _read(limit).strip(), _read(taken).strip()
        if most.isdigit() and used.isdigit():
            free = min(free, max(0, int(most) - int(used)))
    return free


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""
