"""The JD sample: its query, as the seed text prints it, its tables, and the features computed elsewhere."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.types import parse_type
from tests.conformance.arrow import to_arrow
from tests.conformance.cases import Columns
from tests.conformance.comparing import close

# Training names of the 42 columns in SELECT order.
NAMES = (
    *("C1", "C2", "C3", "C4", "C5", "C6", "I1", "I2", "I3", "I4", "I5", "C7", "C8", "C9", "Label"),
    *(f"C{number}" for number in range(10, 21)),
    *("I6", "I7", "I8", "I9", "I10", "C21", "C22", "C23", "C24", "C25", "C26", "I11", "I12", "I13", "C27", "C28"),
)
TRAINING = tuple(f"I{number}" for number in range(1, 14)) + tuple(f"C{number}" for number in range(1, 29))
DISTINCT = (
    *(4, 26, 16, 4, 11, 809, 1, 1, 5, 3, 17, 16, 7),
    *(13916, 13890, 13916, 10000, 3674, 9119, 7, 2, 13916, 5, 4, 4, 33, 2, 2, 7, 2580, 3, 5, 13916, 10, 47),
    *(13916, 365, 17, 132, 32, 37),
)


def query_text(seed: Path) -> str:
    """The SELECT of the offline extraction, without its INTO OUTFILE."""
    text = seed.read_text(encoding="utf-8")
    found = re.search(r"```sql\n[^;]*;\n(select \* from\n.*?)\s*INTO OUTFILE", text, re.DOTALL)
    assert found is not None, f"no feature query in {seed}"
    return found.group(1)


def table_columns(folder: Path) -> dict[str, Columns]:
    """Per table the names and types of its columns."""
    declared = json.loads((folder / "schema.json").read_text(encoding="utf-8"))["tableInfo"]
    return {
        table: tuple((column["name"], parse_type(column["type"])) for column in columns)
        for table, columns in declared.items()
    }


def catalog(columns: dict[str, Columns]) -> Catalog:
    """The tables without indexes."""
    return Catalog.from_columns({table: {name: str(kind) for name, kind in pairs} for table, pairs in columns.items()})


def load_tables(folder: Path) -> dict[tuple[str, str], pa.Table]:
    """All tables with the declared types; the label table is absent from the sample and stays empty."""
    tables = {}
    for table, pairs in table_columns(folder).items():
        shape = to_arrow(pairs, [])
        stored = folder / ("flattenRequest_clean" if table == "flattenRequest" else table)
        if stored.exists():
            shape = pq.read_table(stored).select(shape.column_names).cast(shape.schema)
        tables["", table] = shape
    return tables


def reference_rows(folder: Path) -> dict[str, tuple[Any, ...]]:
    """The independently computed features by request, in training order."""
    table = pq.read_table(folder / "reference_features_41.parquet").select(list(TRAINING))
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return {row[TRAINING.index("C1")]: row for row in rows}


def in_training_order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The 41 features of an answer; its label is left out."""
    return tuple(row[NAMES.index(name)] for name in TRAINING)


def distinct_counts(rows: list[tuple[Any, ...]]) -> tuple[int, ...]:
    """How many values each feature takes, NULL being one."""
    return tuple(len(set(column)) for column in zip(*map(in_training_order, rows), strict=True))


def differing_cells(rows: list[tuple[Any, ...]], reference: dict[str, tuple[Any, ...]]) -> list[str]:
    """The cells that are not the reference's; floats are compared with a small tolerance."""
    found = []
    for row in rows:
        expected = reference[row[0]]
        for name, want, got in zip(TRAINING, expected, in_training_order(row), strict=True):
            if not _equal(want, got):
                found.append(f"{row[0]} {name}: {got!r}, not {want!r}")
    return found


def _equal(expected: Any, got: Any) -> bool:
    if isinstance(expected, float):
        # NULL times are NaN in the reference, whose column is double.
        if got is None or math.isnan(expected):
            return got is None and math.isnan(expected)
        return close(expected, float(got))
    return bool(expected == got)


REQUEST_ID = "200080_5505_2016-03-15 20:43:04"
ONLINE_REQUEST = (
    *(REQUEST_ID, 1458045784000, "681271", "200080_5505", "200080", "5505", 1458045784000, 1, "2016-03-15 20:43:04"),
)
ONLINE_ANSWER = (
    *(REQUEST_ID, 1458045784000, REQUEST_ID, "200080_5505", "5505", "200080", 1, 1.0, 1.0, 1, 1, 3, 1, REQUEST_ID),
    *(None, "3", "1", "1", "214", "8", 1603438960564, None, None, None, None, REQUEST_ID),
    *(0.02879999950528145, 0.0, 0.0, 2, 2, "1,,NULL", "4,0,NULL", REQUEST_ID, ",NULL,NULL", ",NULL,NULL"),
    *(",NULL,NULL", 1, 1, 1, ",NULL,NULL", ",NULL,NULL"),
)
