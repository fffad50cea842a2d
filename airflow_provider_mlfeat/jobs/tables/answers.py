"""The answer of a query, on whichever engine."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.jobs.spec import JobContext
from airflow_provider_mlfeat.jobs.tables.engines import (
    Asked,
    Choice,
    choose_engine,
    decoded_bytes,
    run_batch_plan,
    run_spark_plan,
)

if TYPE_CHECKING:
    from airflow_provider_mlfeat.jobs.tables.inputs import QueryInputs
    from airflow_provider_mlfeat.sql.plan import Plan
    from airflow_provider_mlfeat.sql.statements import Query

log = logging.getLogger("mlfeat.job")


@dataclass(frozen=True)
class Answer:
    """The rows of a query, in memory or in files of the job's scratch folder.

    :param schema: its columns.
    :param rows: how many there are.
    :param choice: the engine that computed them.
    :param table: the rows in memory.
    :param files: the parquet files that hold them otherwise.
    """

    schema: Any
    rows: int
    choice: Choice
    table: Any = None
    files: tuple[str, ...] = ()

    def batches(self) -> Iterator[Any]:
        """The rows, a batch at a time."""
        if self.table is not None:
            yield from self.table.to_batches()
            return
        for batch in stored_batches(self.files):
            yield _as(batch, self.schema)


def answer_query(
    query: Query | str,
    inputs: QueryInputs,
    context: JobContext,
    *,
    engine: Asked,
    master: str,
    null_join_keys: str,
    target: Path,
) -> Answer:
    """Bind a query, choose an engine, and compute the answer.

    :param query: the query.
    :param inputs: the tables.
    :param context: of the job.
    :param engine: what the user asks for.
    :param master: Spark's master; empty is this machine.
    :param null_join_keys: the session's option.
    :param target: a free path in the scratch folder, for Spark's files.
    """
    plan = inputs.plan(query, null_join_keys)
    return answer_plan(plan, inputs, context, engine=engine, master=master, target=target)


def answer_plan(
    plan: Plan, inputs: QueryInputs, context: JobContext, *, engine: Asked, master: str, target: Path
) -> Answer:
    """Choose an engine for a plan and compute the answer; parameters are those of `answer_query`."""
    import pyarrow as pa

    from airflow_provider_mlfeat.engine.column import arrow_type
    from airflow_provider_mlfeat.engine.pruning import prune
    from airflow_provider_mlfeat.engine.reading import needed_columns

    for warning in plan.warnings:
        log.warning("%s", warning)
    read: dict[tuple[str, str], set[str]] = {}
    for source, numbers in needed_columns(prune(plan.root, range(len(plan.schema)))):
        names = {source.schema[number].name for number in numbers}
        read.setdefault((source.database, source.table), set()).update(names)
    tables = inputs.tables(plan)
    choice = choose_engine(
        "spark" if inputs.needs_spark and engine == "auto" else engine,
        lambda: sum(decoded_bytes(table.opened.data, read.get(name, ())) for name, table in tables.items()),
    )
    log.info("engine %s: %s", choice.engine, choice.reason)
    if choice.engine == "batch":
        table = run_batch_plan(plan, {name: given.dataset for name, given in tables.items()}, context)
        return Answer(table.schema.remove_metadata(), table.num_rows, choice, table=table)
    links = target.with_name(f"{target.name}-inputs")
    stored = {name: given.for_spark(links / str(number)) for number, (name, given) in enumerate(tables.items())}
    files = run_spark_plan(plan, stored, master, target, context)
    schema = pa.schema([pa.field(column.name, arrow_type(column.type)) for column in plan.schema])
    return Answer(schema, count_rows(files), choice, files=tuple(files))


def stored_batches(files: Sequence[str]) -> Iterator[Any]:
    """The rows of parquet files in order."""
    import pyarrow.parquet as pq

    for file in files:
        with pq.ParquetFile(file) as opened:
            yield from opened.iter_batches()


def count_rows(files: Sequence[str]) -> int:
    """Rows of parquet files, from their footers."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(file).num_rows for file in files)


def _as(batch: Any, schema: Any) -> Any:
    import pyarrow as pa

    arrays = [column.cast(field.type, safe=False) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
