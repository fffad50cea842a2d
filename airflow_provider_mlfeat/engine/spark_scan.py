"""Stored tables as Spark sees them: only the columns that are read, with the number of file and row of every row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.engine.spark_ports import Table
from airflow_provider_mlfeat.engine.spark_tasks import FILE_COLUMN, ROW_COLUMN
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.errors import DataRuleError, nearest_name

_LOCAL = ("file:///", "file:/")
# How Hadoop says that a scheme's class is not there, or that it knows no class for it.
_NO_FILE_SYSTEM = re.compile(r"ClassNotFoundException: Class org\.apache\.hadoop\.fs\.|No FileSystem for scheme")
_FILE_SYSTEMS = {
    "s3a": "org.apache.hadoop:hadoop-aws (in Spark's version of Hadoop)",
    "gs": "com.google.cloud.bigdataoss:gcs-connector",
    "abfs": "org.apache.hadoop:hadoop-azure (in Spark's version of Hadoop)",
    "abfss": "org.apache.hadoop:hadoop-azure (in Spark's version of Hadoop)",
}


@dataclass(slots=True)
class Scan:
    """A stored table that a query reads.

    :param table: its name.
    :param rows: how many rows it has; None when nobody counted.
    :param memory: the table itself, when it is in this process.
    :param frame: the table in Spark otherwise, with the columns asked for and the numbers of file and row.
    :param files: the place of each file in the arrival order, by the hash of its name, when there are several.
    """

    table: Table
    rows: int | None
    memory: pa.Table | None = None
    frame: Any = None
    files: Mapping[int, int] = field(default_factory=dict)


def scan(spark: Any, table: Table, stored: Any, columns: Sequence[str]) -> Scan:
    """How to read `columns` of a table that is given as a path, paths, an Arrow table or a Spark DataFrame.

    The arrival order is that of the files' names and of the rows in each; of a DataFrame the order of its partitions
    and rows, so it should come from storage rather than from a shuffle.
    """
    name = ".".join(part for part in table if part)
    if isinstance(stored, pa.Table):
        return Scan(table, stored.num_rows, memory=_named(stored, columns, name))
    from pyspark.sql import functions

    rows: int | None = None
    files: dict[int, int] = {}
    if isinstance(stored, str) or (isinstance(stored, list | tuple) and all(isinstance(path, str) for path in stored)):
        given = [stored] if isinstance(stored, str) else list(stored)
        footers = _local_footers(given)
        if footers is None:
            frame = read_parquet(spark, given)
            rows, paths = frame.count(), sorted(frame.inputFiles())
        else:
            # What Spark would start jobs for stands in the files' footers.
            rows, schema, paths = footers
            frame = spark.read.schema(_spark_schema(schema)).parquet(*paths)
            paths = sorted(frame.inputFiles()) if len(paths) > 1 else paths
        numbers = [functions.col("_metadata.row_index").alias(ROW_COLUMN)]
        if len(paths) > 1:
            numbers.append(functions.xxhash64("_metadata.file_path").alias(FILE_COLUMN))
            files = _places(spark, paths)
    else:
        frame = stored
        numbers = [functions.monotonically_increasing_id().alias(ROW_COLUMN)]
    picked = []
    for column in columns:
        found = _find(column, frame.columns, name)
        picked.append(functions.col(f"`{found}`").alias(column))
    return Scan(table, rows, frame=frame.select(*picked, *numbers), files=files)


def read_parquet(spark: Any, paths: Sequence[str]) -> Any:
    """The frame of parquet files at paths that Spark itself has to be able to reach."""
    try:
        return spark.read.parquet(*paths)
    except Exception as error:
        found = _NO_FILE_SYSTEM.search(str(error))
        if found is None:
            raise
        scheme = paths[0].partition("://")[0]
        package = _FILE_SYSTEMS.get(scheme)
        add = f"add {package} to spark.jars.packages in the 'conf' of the Spark connection" if package else ""
        message = f"Spark cannot read '{paths[0]}', because it has no file system for {scheme}://"
        raise UserError(f"{message}; {add}{', or ' if add else ''}use engine 'batch'") from None


def _places(spark: Any, paths: Sequence[str]) -> dict[int, int]:
    """The place of every file, by the hash that Spark computes of its name; local names have two spellings."""
    from pyspark.sql import functions

    spellings = [(path.replace("file:///", start), place) for place, path in enumerate(paths) for start in _LOCAL]
    named = spark.createDataFrame(spellings, "path string, place int")
    rows = named.select(functions.xxhash64("path"), "place").distinct().collect()
    places = {row[0]: row[1] for row in rows}
    if len(set(places.values())) < len(paths):
        raise DataRuleError("two of the table's file names have one hash; rename one of them")
    return places


def _local_footers(paths: Sequence[str]) -> tuple[int, pa.Schema, list[str]] | None:
    """(rows, schema, files) of parquet files on this machine; None for others, or when their schemas differ."""
    import pyarrow.dataset as ds

    local = [path.removeprefix("file://") for path in paths]
    if not all(Path(path).exists() for path in local):
        return None
    found = [ds.dataset(path, format="parquet") for path in local]
    fragments = [fragment for dataset in found for fragment in dataset.get_fragments()]
    if any(fragment.physical_schema != fragments[0].physical_schema for fragment in fragments[1:]):
        return None
    rows = sum(fragment.metadata.num_rows for fragment in fragments)
    return rows, fragments[0].physical_schema, [f"file://{Path(fragment.path).absolute()}" for fragment in fragments]


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema, prefer_timestamp_ntz=True)


def _named(stored: pa.Table, columns: Sequence[str], table: str) -> pa.Table:
    found = [_find(column, stored.column_names, table) for column in columns]
    return stored.select(found).rename_columns(list(columns))


def _find(column: str, present: Sequence[str], table: str) -> str:
    """The column of the stored table; names of columns differ in case without meaning it."""
    for name in (column, *(name for name in present if name.lower() == column.lower())):
        if name in present:
            return name
    hint = nearest_name(column, present)
    raise DataRuleError(f"the stored table has no such column{'. ' + hint if hint else ''}", table, column)
