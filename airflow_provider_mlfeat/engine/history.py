"""History for the request driver: what a store of rows offers, and one in memory.

A deployment tells a store which *series* it reads (`SeriesKey`): rows of a table by the values of some columns, in the
order of a time column or of arrival. The store then hands out a series' rows for one key as a `Block`, the form that
kernels read. The request driver never writes; inserting is the owner's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from airflow_provider_mlfeat.engine.blocks import Block, stored_bits
from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.encoding import zero_bits
from airflow_provider_mlfeat.engine.frames import group_codes
from airflow_provider_mlfeat.engine.kernels.ordering import group_rows, sort_segments
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.stored_values import value_writer
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import STRING

TableName = tuple[str, str]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """Rows of a table by key.

    :param table: (database, table).
    :param keys: the columns whose values make the key; NULL is a value.
    :param order: the time column; None is the order of arrival.
    """

    table: TableName
    keys: tuple[int, ...]
    order: int | None


class Reach(NamedTuple):
    """How far back a frame looks from a request's time; a row beyond either bound is not seen.

    :param rows: how many rows at most; None is no limit.
    :param time: how far back in units of the time column; None is no limit.
    """

    rows: int | None
    time: int | None


class Lookup(NamedTuple):
    """The rows of a series for one key.

    :param series: the series.
    :param key: Python values.
    :param time: the order value that the request looks back from; None where it is not known.
    :param reach: a store may leave out what lies beyond all of these, and what is later than `time`, which is cheaper
        where rows travel; none is every row.
    """

    series: SeriesKey
    key: Key
    time: int | None = None
    reach: tuple[Reach, ...] = ()


class HistoryStore(Protocol):
    """What the request driver needs of a store.

    :param strings: what the codes of strings in blocks mean.
    """

    strings: StringPool

    def prepare(
        self, series: SeriesKey, schema: Schema, ordered: Iterable[int], columns: Iterable[int] | None = None
    ) -> None:
        """Be ready to hand out blocks of a series.

        :param series: the series.
        :param schema: the columns of its table.
        :param ordered: columns whose strings need labels.
        :param columns: the columns that are read; None is all of them.
        """

    def fetch(self, lookups: Sequence[Lookup]) -> list[Block | None]:
        """One block per look-up, None where there is no row; columns that nobody reads hold anything."""

    def rows(self, table: TableName, schema: Schema) -> Rows:
        """All rows of a table in arrival order."""

    def version(self, table: TableName) -> int:
        """A number that changes whenever the rows of a table do."""


class MemoryHistory:
    """A store in this process's memory.

    :param schemas: the tables, with their columns.
    """

    def __init__(self, schemas: Mapping[TableName, Schema]) -> None:
        self.strings = StringPool()
        self._tables = {name: _MemoryTable(name, schema, self.strings) for name, schema in schemas.items()}

    def insert(self, table: TableName, row: Sequence[Any]) -> None:
        """Add one row of Python values as the newest arrival."""
        self._table(table).insert(row)

    def load(self, table: TableName, data: pa.Table) -> None:
        """Add many rows, in order of arrival; columns are found by name."""
        stored = self._table(table)
        columns = [Column.from_arrow(data.column(column.name), column.type) for column in stored.schema]
        stored.extend(Rows(data.num_rows, columns))

    def prepare(
        self, series: SeriesKey, schema: Schema, ordered: Iterable[int], columns: Iterable[int] | None = None
    ) -> None:
        """See ``HistoryStore``."""
        self._table(series.table).prepare(series, ordered)

    def fetch(self, lookups: Sequence[Lookup]) -> list[Block | None]:
        """See ``HistoryStore``."""
        return [self._tables[lookup.series.table].series[lookup.series].get(lookup.key) for lookup in lookups]

    def rows(self, table: TableName, schema: Schema) -> Rows:
        """See ``HistoryStore``."""
        return self._table(table).rows()

    def version(self, table: TableName) -> int:
        """See ``HistoryStore``."""
        return self._table(table).count

    def _table(self, name: TableName) -> _MemoryTable:
        try:
            return self._tables[name]
        except KeyError:
            raise DataRuleError("the store has no such table", ".".join(filter(None, name))) from None


class _MemoryTable:
    """All rows of a table in arrival order, and its series."""

    def __init__(self, name: TableName, schema: Schema, pool: StringPool) -> None:
        self.name, self.schema, self.pool = name, schema, pool
        self.series: dict[SeriesKey, dict[Key, Block]] = {}
        self._writers = [(value_writer(column.type, pool), zero_bits(column.type)) for column in schema]
        self._all = Block(len(schema))
        self._ordered: set[int] = set()
        self._rows: Rows | None = None

    @property
    def count(self) -> int:
        return self._all.count

    def insert(self, row: Sequence[Any]) -> None:
        exact = [
            zero if value is None else write(value) for value, (write, zero) in zip(row, self._writers, strict=True)
        ]
        valid = [value is not None for value in row]
        for number in self._ordered:
            self.pool.order(exact[number])
        number = self.count
        self._all.insert(exact, valid, 0, number)
        normal = self._normal(np.array(exact, np.int64).reshape(-1, 1))[:, 0]
        for series, blocks in self.series.items():
            key = tuple(row[column] for column in series.keys)
            block = blocks.get(key)
            if block is None:
                block = blocks[key] = Block(len(self.schema))
            time = 0 if series.order is None else row[series.order]
            if time is None or time < 0:
                block.broken = number if block.broken is None else block.broken
                continue
            block.insert(normal, valid, time, number)

    def extend(self, rows: Rows) -> None:
        bits = np.stack([stored_bits(column, self.pool) for column in rows.columns])
        valid = np.stack(
            [np.ones(rows.length, np.bool_) if column.valid is None else column.valid for column in rows.columns]
        ).astype(np.uint8)
        before = self.count
        kept = [self._all.bits[: len(self.schema), :before], self._all.kept[1:, :before]]
        grown = Block(len(self.schema))
        total = before + rows.length
        grown.fill(
            np.concatenate([kept[0], bits], axis=1),
            np.concatenate([kept[1], valid], axis=1),
            np.zeros(total, np.int64),
            np.arange(total),
        )
        self._all, self._rows = grown, None
        for column in self._ordered:
            self.pool.order_all(bits[column])
        for series in self.series:
            self.series[series] = self._build(series)

    def rows(self) -> Rows:
        if self._rows is None or self._rows.length != self.count:
            columns = [
                self._all.column(number, column.type, self.pool, 0, self.count)
                for number, column in enumerate(self.schema)
            ]
            self._rows = Rows(self.count, columns)
        return self._rows

    def prepare(self, series: SeriesKey, ordered: Iterable[int]) -> None:
        for column in ordered:
            if column not in self._ordered and self.schema[column].type == STRING:
                self._ordered.add(column)
                self.pool.order_all(self._all.bits[column, : self.count])
        if series not in self.series:
            self.series[series] = self._build(series)

    def _normal(self, bits: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Patterns of which equal values have equal ones, see ``encoding``."""
        for number, column in enumerate(self.schema):
            if column.type.is_floating:
                reals = bits[number].view(np.float64) + 0.0
                bits[number] = np.where(np.isnan(reals), np.nan, reals).view(np.int64)
        return bits

    def _build(self, series: SeriesKey) -> dict[Key, Block]:
        """The blocks of a series over the rows so far."""
        rows, blocks = self.rows(), dict[Key, Block]()
        keys = [rows.columns[column] for column in series.keys]
        codes, count = group_codes(keys, rows.length)
        order = np.zeros(rows.length, np.int64)
        usable = np.ones(rows.length, np.bool_)
        if series.order is not None:
            column = rows.columns[series.order]
            order = column.values.astype(np.int64)
            usable = order >= 0 if column.valid is None else (order >= 0) & column.valid
        starts, places = group_rows(codes, count, 0)
        sort_segments(starts, places, order)
        bits = self._normal(self._all.bits[: len(self.schema), : self.count].copy())[:, places]
        valid, order, usable = self._all.kept[1:, places], order[places], usable[places]
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            if start == stop:
                continue
            block = Block(len(self.schema))
            part: Any = slice(start, stop)
            if not usable[part].all():
                block.broken = int(places[part][~usable[part]].min())
                part = start + np.flatnonzero(usable[part])
            block.fill(bits[:, part], valid[:, part], order[part], places[part])
            blocks[tuple(column.value(int(places[start])) for column in keys)] = block
        return blocks


def widest(reaches: Iterable[Reach]) -> tuple[Reach, ...]:
    """At most two reaches that together see all that any of these sees: one with a limit of rows, one without."""
    limited = [reach for reach in reaches if reach.rows is not None]
    unlimited = [reach for reach in reaches if reach.rows is None]
    found = [
        Reach(
            max((reach.rows for reach in group if reach.rows is not None), default=None),
            None if any(reach.time is None for reach in group) else max(reach.time or 0 for reach in group),
        )
        for group in (unlimited, limited)
        if group
    ]
    if len(found) == 2 and (found[0].time is None or (found[1].time or found[0].time + 1) <= found[0].time):
        return (found[0],)
    return tuple(found)


def block_rows(block: Block | None, schema: Schema, pool: StringPool, stop: int | None = None) -> Rows:
    """The rows of a block, in its order."""
    if block is None:
        return Rows(0, [Column.from_values([], column.type) for column in schema])
    count = block.count if stop is None else stop
    columns = [block.column(number, column.type, pool, 0, count) for number, column in enumerate(schema)]
    return Rows(count, columns)
