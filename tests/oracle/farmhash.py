"""FarmHash Fingerprint64, from the published algorithm (farmhashna::Hash64)."""

from __future__ import annotations

MASK = (1 << 64) - 1
K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _rotate(value: int, count: int) -> int:
    value &= MASK
    return ((value >> count) | (value << (64 - count))) & MASK


def _shift_mix(value: int) -> int:
    value &= MASK
    return value ^ (value >> 47)


def _mix16(low: int, high: int, multiplier: int) -> int:
    first = _shift_mix((low ^ high) * multiplier)
    second = _shift_mix((high ^ first) * multiplier)
    return (second * multiplier) & MASK


def fingerprint64(data: bytes) -> int:
    """The unsigned 64 bit fingerprint of `data`."""
    length = len(data)
    if length <= 16:
        return _up_to_16(data)
    if length <= 32:
        return _up_to_32(data)
    return _up_to_64(data) if length <= 64 else _long(data)


def _word(data: bytes, at: int) -> int:
    at %= len(data)  # A negative position counts from the end.
    return int.from_bytes(data[at : at + 8], "little")


def _half(data: bytes, at: int) -> int:
    at %= len(data)
    return int.from_bytes(data[at : at + 4], "little")


def _up_to_16(data: bytes) -> int:
    length = len(data)
    if length >= 8:
        multiplier = K2 + length * 2
        a, b = _word(data, 0) + K2, _word(data, -8)
        c = _rotate(b, 37) * multiplier + a
        d = (_rotate(a, 25) + b) * multiplier
        return _mix16(c & MASK, d & MASK, multiplier)
    if length >= 4:
        return _mix16(length + (_half(data, 0) << 3), _half(data, -4), K2 + length * 2)
    if length > 0:
        y = data[0] + (data[length >> 1] << 8)
        z = length + (data[-1] << 2)
        return (_shift_mix((y * K2 & MASK) ^ (z * K0 & MASK)) * K2) & MASK
    return K2


def _up_to_32(data: bytes) -> int:
    multiplier = K2 + len(data) * 2
    a, b = _word(data, 0) * K1, _word(data, 8)
    c, d = _word(data, -8) * multiplier, _word(data, -16) * K2
    low = _rotate(a + b, 43) + _rotate(c, 30) + d
    return _mix16(low & MASK, (a + _rotate(b + K2, 18) + c) & MASK, multiplier)


def _up_to_64(data: bytes) -> int:
    multiplier = K2 + len(data) * 2
    a, b = _word(data, 0) * K2, _word(data, 8)
    c, d = _word(data, -8) * multiplier, _word(data, -16) * K2
    y = (_rotate(a + b, 43) + _rotate(c, 30) + d) & MASK
    z = _mix16(y, (a + _rotate(b + K2, 18) + c) & MASK, multiplier)
    e, f = _word(data, 16) * multiplier, _word(data, 24)
    g, h = (y + _word(data, -32)) * multiplier, (z + _word(data, -24)) * multiplier
    low = _rotate(e + f, 43) + _rotate(g, 30) + h
    return _mix16(low & MASK, (e + _rotate(f + a, 18) + g) & MASK, multiplier)


def _weak(data: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = (_word(data, at + offset) for offset in (0, 8, 16, 24))
    a += w
    b = _rotate(b + a + z, 21)
    c = a
    a += x + y
    b += _rotate(a, 44)
    return (a + z) & MASK, (b + c) & MASK


def _long(data: bytes) -> int:
    seed = 81
    x, y = seed, (seed * K1 + 113) & MASK
    z = _shift_mix(y * K2 + 113) * K2 & MASK
    v, w = (0, 0), (0, 0)
    x = (x * K2 + _word(data, 0)) & MASK
    for at in range(0, (len(data) - 1) // 64 * 64, 64):
        x, y, z, v, w = _round(data, at, K1, x, y, z, v, w, 1)
    multiplier = (K1 + ((z & 0xFF) << 1)) & MASK
    w = (w[0] + ((len(data) - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x, y, z, v, w = _round(data, len(data) - 64, multiplier, x, y, z, v, w, 9)
    first = _mix16(v[0] & MASK, w[0] & MASK, multiplier) + _shift_mix(y) * K0 + z
    second = _mix16(v[1] & MASK, w[1] & MASK, multiplier) + x
    return _mix16(first & MASK, second & MASK, multiplier)


def _round(
    data: bytes, at: int, multiplier: int, x: int, y: int, z: int, v: tuple[int, int], w: tuple[int, int], weight: int
) -> tuple[int, int, int, tuple[int, int], tuple[int, int]]:
    x = _rotate(x + y + v[0] + _word(data, at + 8), 37) * multiplier
    y = _rotate(y + v[1] + _word(data, at + 48), 42) * multiplier
    x ^= w[1] * weight
    y += v[0] * weight + _word(data, at + 40)
    z = _rotate(z + w[0], 33) * multiplier
    v = _weak(data, at, v[1] * multiplier, x + w[0])
    w = _weak(data, at + 32, z + w[1], y + _word(data, at + 16))
    return z & MASK, y & MASK, x & MASK, v, w
