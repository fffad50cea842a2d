"""Arrays in files. Their room on the disk is taken before they are used: a full disk is an error, and no crash."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def new_matrix(path: Path, kind: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A ``.npy`` file of zeros, mapped into memory."""
    matrix = np.lib.format.open_memmap(path, "w+", kind, shape)
    _take_room(path)
    return matrix


def new_scratch(path: Path, kind: type[Any], length: int) -> NDArray[Any]:
    """A file of zeros without a header, mapped into memory."""
    array = np.memmap(path, kind, "w+", shape=(length,))
    _take_room(path)
    return array


def _take_room(path: Path) -> None:
    number = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(number, 0, path.stat().st_size)
    finally:
        os.close(number)
