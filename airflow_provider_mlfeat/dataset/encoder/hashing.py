"""xxh64 of many texts at once.

Strings of one length are hashed together, lane by lane, in numpy's own loops: tens of nanoseconds a string where a call
per string costs hundreds, and no compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_PRIME_1, _PRIME_2, _PRIME_3, _PRIME_4, _PRIME_5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
# From so many bytes on the algorithm keeps four accumulators.
_STRIPE = 32
_MASK = 0xFFFFFFFFFFFFFFFF
# Fewer strings of one length than this are not worth the set-up of the vectorised way.
_FEW = 24
NULL_BYTES = b"\x00"


def hash_bytes(content: bytes, seed: int) -> int:
    """The unsigned digest of one text."""
    return int(xxhash.xxh64_intdigest(content, seed))


def hash_strings(strings: pa.Array, seed: int) -> Keys:
    """The digest of each string's UTF-8 bytes; a NULL gives that of one zero byte.

    :param strings: of type string or large_string.
    :param seed: of the hash.
    """
    starts, stops, content = _parts(strings)
    lengths = stops - starts
    keys = np.empty(len(strings), np.uint64)
    for length in np.flatnonzero(np.bincount(lengths)) if len(lengths) else ():
        places = np.flatnonzero(lengths == length)
        if len(places) < _FEW:
            keys[places] = [hash_bytes(content[starts[i] : stops[i]].tobytes(), seed) for i in places]
        else:
            keys[places] = _hash_equal_lengths(content, starts[places], int(length), seed)
    if strings.null_count:
        keys[np.asarray(strings.is_null())] = hash_bytes(NULL_BYTES, seed)
    return keys


def has_zero_bytes(strings: pa.Array) -> bool:
    """Whether a string contains U+0000, which stands for NULL."""
    starts, stops, content = _parts(strings)
    return bool(len(starts)) and b"\x00" in content[starts[0] : stops[-1]].tobytes()


def _parts(strings: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Where each string begins and ends, and the bytes of all."""
    width = np.int64 if pa.types.is_large_string(strings.type) else np.int32
    _, offsets, data = strings.buffers()
    if not len(strings):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    places = np.frombuffer(offsets, width)[strings.offset : strings.offset + len(strings) + 1].astype(np.int64)
    content = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    return places[:-1], places[1:], content


def _hash_equal_lengths(content: NDArray[np.uint8], starts: NDArray[np.int64], length: int, seed: int) -> Keys:
    """xxh64 of strings of one length."""
    done = length // _STRIPE * _STRIPE
    if done:
        keys = _hash_stripes(content, starts, done, seed) + np.uint64(length)
    else:
        keys = np.full(len(starts), (seed + int(_PRIME_5) + length) & _MASK, np.uint64)
    while length - done >= 8:
        lane: Keys = _read(content, starts + done, np.dtype("<u8"))
        keys ^= _round(lane * _PRIME_2)
        keys = _rotate(keys, 27) * _PRIME_1 + _PRIME_4
        done += 8
    if length - done >= 4:
        keys ^= _read(content, starts + done, np.dtype("<u4")).astype(np.uint64) * _PRIME_1
        keys = _rotate(keys, 23) * _PRIME_2 + _PRIME_3
        done += 4
    while done < length:
        keys ^= content[starts + done].astype(np.uint64) * _PRIME_5
        keys = _rotate(keys, 11) * _PRIME_1
        done += 1
    keys ^= keys >> np.uint64(33)
    keys *= _PRIME_2
    keys ^= keys >> np.uint64(29)
    keys *= _PRIME_3
    keys ^= keys >> np.uint64(32)
    return keys


def _hash_stripes(content: NDArray[np.uint8], starts: NDArray[np.int64], length: int, seed: int) -> Keys:
    """The state after all whole stripes of 32 bytes."""
    first, second = int(_PRIME_1), int(_PRIME_2)
    begin = (seed + first + second, seed + second, seed, seed - first)
    states: list[Keys] = [np.full(len(starts), one & _MASK, np.uint64) for one in begin]
    for place in range(0, length, 8):
        lane: Keys = _read(content, starts + place, np.dtype("<u8"))
        state = states[place // 8 % 4]
        state += lane * _PRIME_2
        states[place // 8 % 4] = _round(state)
    keys = _rotate(states[0], 1) + _rotate(states[1], 7) + _rotate(states[2], 12) + _rotate(states[3], 18)
    for state in states:
        keys = (keys ^ _round(state * _PRIME_2)) * _PRIME_1 + _PRIME_4
    return keys


def _round(values: Keys) -> Keys:
    return _rotate(values, 31) * _PRIME_1


def _read(content: NDArray[np.uint8], starts: NDArray[np.int64], kind: np.dtype[Any]) -> NDArray[Any]:
    """The number that begins at each byte position."""
    every = np.ndarray((len(content) - kind.itemsize + 1,), kind, content, strides=(1,))
    return every[starts]


def _rotate(values: Keys, bits: int) -> Keys:
    return (values << np.uint64(bits)) | (values >> np.uint64(64 - bits))
