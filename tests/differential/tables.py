"""Small tables full of what goes wrong: ties, NULLs, extremes, empty strings, NaN, and little else."""

from __future__ import annotations

import datetime
import math
import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, IndexDefinition, TableDefinition
from airflow_provider_mlfeat.sql.types import DataType, parse_type
from tests.oracle.values import float32

Row = tuple[Any, ...]

# Every table has these columns, so that any table may be the union source of any other.
TYPES: dict[str, DataType] = {
    name: parse_type(kind)
    for name, kind in {
        "id": "int",
        "k": "string",
        "g": "int",
        "ts": "timestamp",
        "o": "bigint",
        "h": "smallint",
        "i": "int",
        "l": "bigint",
        "f": "float",
        "d": "double",
        "b": "bool",
        "e": "date",
        "s": "string",
    }.items()
}
COLUMNS = list(TYPES)
TABLES = ("t0", "t1", "t2")

_FLOATS = [0.0, 1.5, 0.1, -2.25, 1e-3, 16777216.0, 1.0, math.nan, math.inf, -math.inf]
_VALUES: dict[str, list[Any]] = {
    "k": ["a", "b", "", "é", "😀", None],
    "g": [0, 1, 2, None],
    "ts": [0, 1000, 1001, 2000, 2000, 3000, 65_000, 1_590_115_420_000],
    "o": [0, 1, 1, 2, 5, 9, 1 << 40],
    "h": [0, 1, -1, 2, 32767, -32768, None],
    "i": [0, 1, 2, 3, -1, 2147483647, -2147483648, None],
    "l": [0, 1, -1, 10, (1 << 63) - 1, -(1 << 63), (1 << 53) + 1, None],
    "f": [*(float32(value) for value in (*_FLOATS, 3.4e38)), None],
    "d": [*_FLOATS, 1.7e308, None],
    "b": [True, False, None],
    "e": [datetime.date(1970, 1, 1), datetime.date(2020, 2, 29), datetime.date(1900, 1, 1), None],
    "s": ["", "a", "b,a", "k:1,j:2", "k:1", ",", "é,é:ß", "10", "9", " 12", "2020-05-01", "x y", "1e2", None],
}
_BAD_TIMES = [None, -1]


@dataclass(frozen=True)
class Database:
    """The tables that a query runs on.

    :param rows: per table its rows in arrival order.
    :param indexes: per table whether it has an index on ``k`` in time order.
    """

    rows: dict[str, list[Row]]
    indexes: tuple[str, ...] = ()

    @property
    def stored(self) -> dict[tuple[str, str], list[Row]]:
        """The rows by (database, table)."""
        return {("", name): rows for name, rows in self.rows.items()}

    @property
    def catalog(self) -> Catalog:
        """What the planner knows of the tables."""
        columns = tuple(ColumnDefinition(name, kind) for name, kind in TYPES.items())
        by_time = (IndexDefinition("by_time", ("k",), "ts"),)
        indexes = {name: by_time if name in self.indexes else () for name in self.rows}
        return Catalog(TableDefinition("", name, columns, indexes[name]) for name in self.rows)

    def in_time_order(self, column: str) -> Database:
        """The same with every table's arrivals in the order of a column: what a parity check replays."""
        at = COLUMNS.index(column)

        def place(row: Row) -> Any:
            return -1 if row[at] is None else row[at]

        return Database({name: sorted(rows, key=place) for name, rows in self.rows.items()}, self.indexes)

    def __str__(self) -> str:
        lines = [", ".join(f"{name} {kind}" for name, kind in TYPES.items())]
        for name, rows in self.rows.items():
            lines += [f"{name}{' (index on k, ts)' if name in self.indexes else ''}:", *(f"  {row!r}" for row in rows)]
        return "\n".join(lines)


@st.composite
def long_databases(draw: st.DrawFn, rows: int = 150) -> Database:
    """Three longer tables from a random number, where frames are long enough to be slid."""
    source = random.Random(draw(st.integers(0, 1 << 32)))
    tables: dict[str, list[Row]] = {}
    for number, name in enumerate(TABLES):
        keys = _VALUES["k"][: source.randint(1, len(_VALUES["k"]))]
        choices = {**_VALUES, "k": keys, "ts": range(0, 90_000, 250), "o": range(40)}
        tables[name] = [
            (1000 * number + position, *(source.choice(choices[column]) for column in COLUMNS if column != "id"))
            for position in range(rows if number == 0 else source.randint(0, rows))
        ]
    return Database(tables, tuple(draw(st.sets(st.sampled_from(TABLES[1:])))))


@st.composite
def databases(draw: st.DrawFn, most_rows: int = 8, bad_times: bool = True) -> Database:
    """Three tables; now and then a row has no legal time."""
    rows: dict[str, list[Row]] = {}
    # Few keys make partitions and joins with many rows, many keys make empty ones.
    keys = st.lists(st.sampled_from(_VALUES["k"]), min_size=1, max_size=4)
    groups: list[list[Any]] = [[0], [None, 1], _VALUES["g"]]
    choices = {**_VALUES, "k": draw(keys), "g": draw(st.sampled_from(groups))}
    cells = st.tuples(*(st.sampled_from(choices[column]) for column in COLUMNS if column != "id"))
    for number, name in enumerate(TABLES):
        fewest = min(most_rows, draw(st.sampled_from([0, 3, 6])))
        drawn = draw(st.lists(cells, min_size=fewest, max_size=most_rows))
        rows[name] = [(100 * number + position, *cell) for position, cell in enumerate(drawn, start=1)]
    if bad_times and draw(st.integers(0, 19)) == 19:
        name = draw(st.sampled_from(TABLES))
        at = COLUMNS.index("ts")
        bad = draw(st.sampled_from(_BAD_TIMES))
        rows[name] = [(*row[:at], bad, *row[at + 1 :]) for row in rows[name][:1]] + rows[name][1:]
    return Database(rows, tuple(draw(st.sets(st.sampled_from(TABLES[1:])))))
