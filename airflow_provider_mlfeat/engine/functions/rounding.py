"""Rounding half away from zero to a number of decimals, row by row in compiled code."""

from __future__ import annotations

import math

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel

# Beyond this doubles have no fractions, and adding a half would round by itself.
_NO_FRACTIONS = 2.0**52


@kernel()
def _half_away(value):  # type: ignore[no-untyped-def]
    if abs(value) >= _NO_FRACTIONS:
        return value
    return math.copysign(math.floor(abs(value) + 0.5), value)


@kernel("float64[::1](float64[::1], int64[::1])")
def round_reals(values, digits):  # type: ignore[no-untyped-def]
    """Each value rounded; too many decimals leave it, too many places before the point leave nothing of it."""
    rounded = np.empty(len(values), np.float64)
    for row in range(len(values)):
        value, places = values[row], digits[row]
        scale = 10.0 ** abs(places)
        scaled = value * scale if places >= 0 else value / scale
        if math.isfinite(scaled) and math.isfinite(scale):
            whole = _half_away(scaled)
            rounded[row] = whole / scale if places >= 0 else whole * scale
        else:
            rounded[row] = value if places >= 0 or not math.isfinite(value) else value * 0.0
    return rounded


@kernel("int64[::1](int64[::1], int64[::1])")
def round_integers(values, digits):  # type: ignore[no-untyped-def]
    """Each value rounded before the point; what does not fit wraps."""
    rounded = np.empty(len(values), np.int64)
    for row in range(len(values)):
        value, places = values[row], digits[row]
        if places >= 0:
            rounded[row] = value
            continue
        if places < -19:
            rounded[row] = 0
            continue
        scale = np.uint64(1)
        for _ in range(-places):
            scale *= np.uint64(10)
        # Unsigned, because the most negative number has no positive counterpart.
        size = np.uint64(-value) if value < 0 else np.uint64(value)
        remainder = size % scale
        size -= remainder
        if remainder >= scale - remainder:
            size += scale
        rounded[row] = -np.int64(size) if value < 0 else np.int64(size)
    return rounded
