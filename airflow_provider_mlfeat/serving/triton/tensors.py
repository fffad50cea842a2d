"""Tensors on the wire: their types' names, and rows of bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_NAMES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
    **{f"{sign}int{bits}": f"{sign}int{bits}".upper() for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
_TYPES = {name: kind for kind, name in _NAMES.items()}


def type_name(array: Array) -> str:
    """The protocol's name of an array's type.

    :param array: the tensor.
    """
    kind = array.dtype.name
    if array.dtype.kind in "SU":
        kind = "object"
    if kind not in _NAMES:
        raise UserError(f"a tensor of {kind} cannot be sent to Triton; it takes {', '.join(sorted(_TYPES))}")
    return _NAMES[kind]


def to_bytes(array: Array) -> bytes:
    """A tensor's contents in row order, little endian; texts carry their lengths.

    :param array: the tensor.
    """
    import numpy as np

    if type_name(array) != "BYTES":
        return np.ascontiguousarray(array).tobytes()
    encoded = (value if isinstance(value, bytes) else str(value).encode() for value in array.ravel())
    return b"".join(part for value in encoded for part in (struct.pack("<I", len(value)), value))


def from_bytes(content: bytes | memoryview, name: str, shape: list[int]) -> Array:
    """The tensor of its contents.

    :param content: what `to_bytes` makes.
    :param name: the protocol's name of its type.
    :param shape: its shape.
    """
    import numpy as np

    if name != "BYTES":
        return np.frombuffer(content, dtype=np.dtype(_TYPES[name])).reshape(shape)
    values, place, view = [], 0, memoryview(content)
    while place < len(view):
        (length,) = struct.unpack_from("<I", view, place)
        values.append(bytes(view[place + 4 : place + 4 + length]))
        place += 4 + length
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)
