"""FarmHash Fingerprint64, written from the published algorithm (farmhashna::Hash64)."""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel

_K0 = np.uint64(0xC3A5C85C97CB3127)
_K1 = np.uint64(0xB492B66FBE98F273)
_K2 = np.uint64(0x9AE16A3B2F90404F)
# Unsigned arithmetic stays unsigned in compiled code only if every operand is, constants included.
_0, _1, _2, _3, _9 = (np.uint64(number) for number in (0, 1, 2, 3, 9))
_SEED, _113, _255 = (np.uint64(number) for number in (81, 113, 255))
_18, _21, _25, _30, _33, _37, _42, _43, _44, _47, _64 = (
    np.uint64(number) for number in (18, 21, 25, 30, 33, 37, 42, 43, 44, 47, 64)
)


@kernel()
def _rotate(value, by):  # type: ignore[no-untyped-def]
    return (value >> by) | (value << (_64 - by))


@kernel()
def _mix(value):  # type: ignore[no-untyped-def]
    return value ^ (value >> _47)


@kernel()
def _little_endian(data, start, count):  # type: ignore[no-untyped-def]
    value = _0
    for place in range(count):
        value |= np.uint64(data[start + place]) << np.uint64(8 * place)
    return value


@kernel()
def _word(data, start):  # type: ignore[no-untyped-def]
    return _little_endian(data, start, 8)


@kernel()
def _combine(first, second, factor):  # type: ignore[no-untyped-def]
    """Hash of two words."""
    mixed = _mix((first ^ second) * factor)
    return _mix((second ^ mixed) * factor) * factor


@kernel()
def _up_to_16(data, start, length):  # type: ignore[no-untyped-def]
    size = np.uint64(length)
    factor = _K2 + size * _2
    if length >= 8:
        first, last = _word(data, start) + _K2, _word(data, start + length - 8)
        return _combine(_rotate(last, _37) * factor + first, (_rotate(first, _25) + last) * factor, factor)
    if length >= 4:
        first, last = _little_endian(data, start, 4), _little_endian(data, start + length - 4, 4)
        return _combine(size + (first << _3), last, factor)
    if length > 0:
        first, middle, last = data[start], data[start + (length >> 1)], data[start + length - 1]
        low = np.uint64(first) + (np.uint64(middle) << np.uint64(8))
        high = size + (np.uint64(last) << _2)
        return _mix(low * _K2 ^ high * _K0) * _K2
    return _K2


@kernel()
def _up_to_32(data, start, length):  # type: ignore[no-untyped-def]
    factor = _K2 + np.uint64(length) * _2
    a, b = _word(data, start) * _K1, _word(data, start + 8)
    c, d = _word(data, start + length - 8) * factor, _word(data, start + length - 16) * _K2
    return _combine(_rotate(a + b, _43) + _rotate(c, _30) + d, a + _rotate(b + _K2, _18) + c, factor)


@kernel()
def _up_to_64(data, start, length):  # type: ignore[no-untyped-def]
    factor = _K2 + np.uint64(length) * _2
    a, b = _word(data, start) * _K2, _word(data, start + 8)
    c, d = _word(data, start + length - 8) * factor, _word(data, start + length - 16) * _K2
    y = _rotate(a + b, _43) + _rotate(c, _30) + d
    z = _combine(y, a + _rotate(b + _K2, _18) + c, factor)
    e, f = _word(data, start + 16) * factor, _word(data, start + 24)
    g, h = (y + _word(data, start + length - 32)) * factor, (z + _word(data, start + length - 24)) * factor
    return _combine(_rotate(e + f, _43) + _rotate(g, _30) + h, e + _rotate(f + a, _18) + g, factor)


@kernel()
def _weak_32(data, start, a, b):  # type: ignore[no-untyped-def]
    """A cheap hash of 32 bytes and two seeds."""
    w, x, y, z = _word(data, start), _word(data, start + 8), _word(data, start + 16), _word(data, start + 24)
    a += w
    b = _rotate(b + a + z, _21)
    first = a
    a += x + y
    b += _rotate(a, _44)
    return a + z, b + first


@kernel()
def _longer(data, start, length):  # type: ignore[no-untyped-def]
    """Rounds over blocks of 64 bytes; the last block overlaps the one before."""
    x = _SEED
    y = _SEED * _K1 + _113
    z = _mix(y * _K2 + _113) * _K2
    v0, v1, w0, w1 = _0, _0, _0, _0
    x = x * _K2 + _word(data, start)
    place, end = start, start + (length - 1) // 64 * 64
    while place != end:
        x = _rotate(x + y + v0 + _word(data, place + 8), _37) * _K1
        y = _rotate(y + v1 + _word(data, place + 48), _42) * _K1
        x ^= w1
        y += v0 + _word(data, place + 40)
        z = _rotate(z + w0, _33) * _K1
        v0, v1 = _weak_32(data, place, v1 * _K1, x + w0)
        w0, w1 = _weak_32(data, place + 32, z + w1, y + _word(data, place + 16))
        x, z = z, x
        place += 64
    factor = _K1 + ((z & _255) << _1)
    place = start + length - 64
    w0 += np.uint64((length - 1) & 63)
    v0 += w0
    w0 += v0
    x = _rotate(x + y + v0 + _word(data, place + 8), _37) * factor
    y = _rotate(y + v1 + _word(data, place + 48), _42) * factor
    x ^= w1 * _9
    y += v0 * _9 + _word(data, place + 40)
    z = _rotate(z + w0, _33) * factor
    v0, v1 = _weak_32(data, place, v1 * factor, x + w0)
    w0, w1 = _weak_32(data, place + 32, z + w1, y + _word(data, place + 16))
    x, z = z, x
    return _combine(
        _combine(v0, w0, factor) + _mix(y) * _K0 + z,
        _combine(v1, w1, factor) + x,
        factor,
    )


@kernel("uint64[::1](uint8[::1], int64[::1])")
def fingerprints(data, offsets):  # type: ignore[no-untyped-def]
    """Fingerprint of each byte string; string number i is ``data[offsets[i]:offsets[i + 1]]``."""
    result = np.empty(len(offsets) - 1, np.uint64)
    for place in range(len(result)):
        start, length = offsets[place], offsets[place + 1] - offsets[place]
        if length <= 16:
            result[place] = _up_to_16(data, start, length)
        elif length <= 32:
            result[place] = _up_to_32(data, start, length)
        elif length <= 64:
            result[place] = _up_to_64(data, start, length)
        else:
            result[place] = _longer(data, start, length)
    return result
