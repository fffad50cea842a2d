"""Partial aggregates of closed chunks: one record per key, with a column per chunk.

A closed chunk has at most some thousand rows, which lie in order: a long window is whole chunks, whose partial
aggregates are in the record, and rows of a chunk at either end. Whoever writes, rewrites or deletes a chunk changes the
record in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.partials import Partials, Summary
from airflow_provider_mlfeat.online.embedded.records import ORDER, VALUES, Part
from airflow_provider_mlfeat.online.embedded.strings import read_string
from airflow_provider_mlfeat.online.series import Series
from airflow_provider_mlfeat.sql.plan import FrameCall, Schema, expression_of_text

if TYPE_CHECKING:
    from airflow_provider_mlfeat.online.embedded.environment import Environment

_FIRST, _LAST, _PARTS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Index:
    """The partial aggregates of a key's closed chunks.

    :param matrix: per chunk its first and its last order value, a line of patterns per part, and a line per part that
        says whether there is a value.
    """

    matrix: Bits

    @property
    def firsts(self) -> Bits:
        """The first order value of each chunk."""
        firsts: Bits = self.matrix[_FIRST]
        return firsts

    @property
    def lasts(self) -> Bits:
        """The last order value of each chunk."""
        lasts: Bits = self.matrix[_LAST]
        return lasts

    def partials(self, parts: Sequence[int], start: int, stop: int) -> Partials:
        """The partial aggregates of the chunks from place `start` up to, not including, `stop`."""
        count = (len(self.matrix) - _PARTS) // 2
        lines = _PARTS + np.asarray(parts, np.int64)
        return Partials(self.matrix[lines, start:stop], self.matrix[lines + count, start:stop].astype(np.uint8))


def read_index(value: Any, parts: int) -> Index:
    """The index of a record; no record is no chunk. It is copied, so that it outlives the transaction."""
    lines = _PARTS + 2 * parts
    data = np.frombuffer(bytearray(value or b""), np.int64)
    return Index(data.reshape(lines, len(data) // lines))


def parts_of_series(series: Series) -> tuple[FrameCall, ...]:
    """The parts of a series, in the order of their lines."""
    found = map(expression_of_text, series.buckets.parts if series.buckets is not None else ())
    return tuple(part for part in found if isinstance(part, FrameCall))


class ChunkSummaries:
    """Writes the partial aggregates of a series within one transaction.

    :param transaction: a transaction that writes.
    :param environment: of the store.
    :param series: the series; it keeps buckets.
    :param schema: the table's columns.
    """

    def __init__(self, transaction: Any, environment: Environment, series: Series, schema: Schema) -> None:
        self._transaction, self._database = transaction, environment.summaries
        self._summary = Summary(parts_of_series(series), schema)
        self._pool: Any = _TransactionPool(transaction, environment)

    def index(self, key: bytes) -> Index:
        """What is stored of a key."""
        return read_index(self._transaction.get(key, db=self._database), len(self._summary.parts))

    def of(self, chunk: Part) -> Bits:
        """The column of a chunk."""
        partials = self._summary.of(chunk.matrix[VALUES:], chunk.kept, chunk.length, self._pool)
        ends = chunk.matrix[ORDER, [0, -1]]
        return np.concatenate([ends, partials.bits[:, 0], partials.valid[:, 0].astype(np.int64)])

    def change(self, key: bytes, added: Sequence[Bits], dropped: int) -> None:
        """Append the columns of new chunks, then forget so many of the oldest ones."""
        if not added and not dropped:
            return
        matrix = np.concatenate([self.index(key).matrix, *(column.reshape(-1, 1) for column in added)], axis=1)
        self._put(key, matrix[:, dropped:])

    def replace(self, key: bytes, place: int, chunk: Part) -> None:
        """A chunk has other rows than before."""
        matrix = self.index(key).matrix
        matrix[:, place] = self.of(chunk)
        self._put(key, matrix)

    def delete(self, key: bytes) -> None:
        """There are no closed chunks any more."""
        self._transaction.delete(key, db=self._database)

    def _put(self, key: bytes, matrix: Bits) -> None:
        self._transaction.put(key, np.ascontiguousarray(matrix).tobytes(), db=self._database)


class _TransactionPool:
    """The strings as a transaction sees them that has written some itself."""

    def __init__(self, transaction: Any, environment: Environment) -> None:
        self.strings = _TransactionStrings(transaction, environment)


class _TransactionStrings:
    def __init__(self, transaction: Any, environment: Environment) -> None:
        self._transaction, self._environment = transaction, environment

    def __getitem__(self, code: int) -> str:
        return read_string(self._transaction, self._environment, code) if code else ""
