"""The batch driver: a plan over Arrow tables, in this process."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.expressions import EvaluationContext
from airflow_provider_mlfeat.engine.features import Settings
from airflow_provider_mlfeat.engine.pruning import prune
from airflow_provider_mlfeat.engine.reading import StoredTables, Tables
from airflow_provider_mlfeat.engine.relations import Executor
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.timings import Timings
from airflow_provider_mlfeat.sql import plan

PLAN_ID = b"plan_id"
# Where Spark keeps its columns and what is noted of them.
_SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"


def run_batch(
    query: plan.Plan,
    tables: Tables,
    parameters: Sequence[Any] = (),
    *,
    threads: int | None = None,
    slide: bool = True,
    memory_limit: int | None = None,
    spill_folder: str | Path | None = None,
    keep_dictionaries: bool = False,
    timings: Timings | None = None,
) -> pa.Table:
    """The rows of a query over stored tables.

    :param query: the plan.
    :param tables: tables by (database, name): in memory, a dataset, or the path of a parquet file or folder.
    :param parameters: values of the ``?`` parameters.
    :param threads: how many threads may work; the result does not depend on it.
    :param slide: whether long frames may be evaluated incrementally; the result does not depend on it.
    :param memory_limit: bytes that the rows at work may take; more than that waits on disk, by partitions of the key.
        The result does not depend on it.
    :param spill_folder: where it waits; the system's temporary folder unless given.
    :param keep_dictionaries: whether strings with few distinct values stay dictionaries in the answer.
    :param timings: where the seconds of the stages are added up, and who is told of their progress.
    :return: the rows, with the plan's id in the schema's metadata.
    """
    timings = timings or Timings()
    root = prune(query.root, range(len(query.schema)))
    if memory_limit is not None:
        # Spilling runs partitions through this function.
        from airflow_provider_mlfeat.engine.spill import needs_spilling, run_spilling

        if needs_spilling(root, tables, memory_limit):
            answer = run_spilling(query, tables, parameters, memory_limit, spill_folder, timings)
            return answer.replace_schema_metadata({PLAN_ID: query.plan_id.encode()})
    executor = Executor(
        StoredTables(tables, root, timings),
        Settings(EvaluationContext(query.time_zone, tuple(parameters)), threads or os.cpu_count() or 1, slide),
        query.null_join_keys,
        timings,
    )
    rows = executor.rows(root)
    with timings.stage("decode"):
        return to_table(query, rows, keep_dictionaries)


def to_table(query: plan.Plan, rows: Rows, keep_dictionaries: bool = False) -> pa.Table:
    """The rows of a plan as an Arrow table that says which plan they come from."""
    arrays = [column.to_arrow(keep_dictionaries and _has_few_strings(column)) for column in rows.columns]
    fields = [pa.field(column.name, array.type) for column, array in zip(query.schema, arrays, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, {PLAN_ID: query.plan_id.encode()}))


def stored_plan_id(path: str | Path) -> str | None:
    """The id of the plan that a parquet file comes from, whichever driver wrote it; None when it does not say."""
    noted = pq.read_metadata(path).metadata or {}
    if PLAN_ID in noted:
        return str(noted[PLAN_ID].decode())
    columns = json.loads(noted.get(_SPARK_SCHEMA, b"{}")).get("fields", [])
    found: dict[str, str] = next((column["metadata"] for column in columns if column.get("metadata")), {})
    return found.get(PLAN_ID.decode())


def _has_few_strings(column: Column) -> bool:
    return column.dictionary is not None and 4 * len(column.dictionary) <= len(column)


def write_table(table: pa.Table, path: str | Path, timings: Timings | None = None) -> None:
    """Write a table to a parquet file at once: a reader sees the whole file or none."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with (timings or Timings()).stage("write"):
            _write_parquet(table, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _write_parquet(table: pa.Table, path: Path) -> None:
    # Strings are plain strings to who reads the file: the Arrow schema, which knows of dictionaries, is not stored.
    dictionaries = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    options: dict[str, Any] = {
        "use_dictionary": dictionaries or True,
        "store_schema": False,
        "write_batch_size": 1 << 16,
    }
    # Features are read as a whole: the smallest and largest value of every page serve nobody.
    with pq.ParquetWriter(path, table.schema, write_statistics=False, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(table.schema.metadata or {})
