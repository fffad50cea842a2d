"""What the tests of exports share: an answer of every type, and writing and reading a folder."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.tables.export import ExportReport, OutfileOptions, read_schema, write_outfile

TABLE = pa.table(
    {
        "id": pa.array([1, 2, None], pa.int32()),
        "text": ["a,b", None, 'say "hi"\nand go'],
        "price": [0.1, float("nan"), None],
        "flag": [True, None, False],
        "day": [date(2020, 5, 22), None, date(1900, 1, 1)],
        "at": pa.array([datetime(2020, 5, 22, 2, 43, 40, 7000, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
    }
)
LINES = (
    "id,text,price,flag,day,at\n"
    '1,"a,b",0.1,true,2020-05-22,1590115420007\n'
    "2,null,nan,null,null,null\n"
    'null,"say ""hi""\nand go",null,false,1900-01-01,null\n'
)


def write(target: Path, table: pa.Table = TABLE, rows: int | None = None, **options: Any) -> ExportReport:
    """Write an answer as the statement does."""
    return write_outfile(table.to_batches(), table.schema, target, OutfileOptions.of(options), rows=rows)


def text_of(target: Path) -> str:
    """The text of all files, in their order."""
    return "".join((target / part["name"]).read_text() for part in read_schema(target)["files"])


def numbers(count: int, first: int = 0) -> pa.Table:
    """An answer of whole numbers."""
    return pa.table({"n": pa.array(range(first, first + count), pa.int64())})


def read_numbers(target: Path) -> list[int]:
    """The numbers that a folder holds, in order."""
    document = read_schema(target)
    tables = [pq.read_table(target / part["name"]) for part in document["files"]]
    return [n for table in tables for n in table.column("n").to_pylist()]
