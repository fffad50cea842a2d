"""Object stores as Arrow file systems, with the same access options that Delta takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from deltalake.fs import DeltaStorageHandler


class ObjectStore(DeltaStorageHandler):
    """Delta's own handler; what it writes may also be Arrow's buffers."""

    def open_output_stream(self, path: str, metadata: Mapping[str, str] | None = None) -> Any:
        """A stream into a new object."""
        return pa.PythonFile(_Sink(self._handler.open_output_stream(path, dict(metadata or {}))), "w")


class _Sink:
    """A stream whose `write` takes whatever holds bytes; Delta's takes nothing but bytes themselves."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> Any:
        return self._stream.write(bytes(memoryview(data)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
