"""Arrays in the form that compiled functions are declared for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def writable(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """The values as a contiguous array of `dtype`; Arrow's own memory is read-only, and is copied."""
    if values.dtype != dtype:
        return values.astype(dtype)
    return values if values.flags.writeable and values.flags.c_contiguous else np.array(values)
