"""One example on every driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.history import MemoryHistory
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.plan import Column, Plan
from tests.conformance.arrow import from_arrow, to_arrow
from tests.conformance.drivers import spark_session
from tests.differential.comparing import difference, is_exact, near_difference
from tests.differential.tables import TYPES, Database
from tests.oracle.evaluate import run_batch as oracle_batch
from tests.oracle.evaluate import run_replay

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Refusal:
    """Data that a driver refuses to compute with; the wording is the driver's."""


Rows = list[Row] | Refusal


def arrow_tables(database: Database) -> dict[tuple[str, str], pa.Table]:
    """The tables in Arrow form."""
    columns = tuple(TYPES.items())
    return {name: to_arrow(columns, rows) for name, rows in database.stored.items()}


def answer(run: Callable[[], list[Row]]) -> Rows:
    """What a driver says: rows, or that the data breaks a rule."""
    try:
        return run()
    except DataRuleError:
        return Refusal()


def pieced(table: pa.Table) -> pa.Table:
    """The same table in two chunks, the second starting inside a buffer, with strings as dictionaries."""
    half = table.num_rows // 2
    chunks = pa.concat_tables([table.slice(0, half), table.slice(half)])
    coded = [column.dictionary_encode() if pa.types.is_string(column.type) else column for column in chunks.columns]
    return pa.Table.from_arrays(coded, names=chunks.column_names)


def batch(plan: Plan, database: Database, in_pieces: bool = False, **options: Any) -> Rows:
    """The batch driver."""
    tables = arrow_tables(database)
    if in_pieces:
        tables = {name: pieced(table) for name, table in tables.items()}
    return answer(lambda: from_arrow(run_batch(plan, tables, **options), plan.schema))


def request(plan: Plan, database: Database) -> Rows:
    """The request driver: every row of the request table asked for, then inserted."""
    return answer(lambda: list(_replay(plan, database)))


def _replay(plan: Plan, database: Database) -> Iterator[Row]:
    schema = tuple(Column(name, kind) for name, kind in TYPES.items())
    store = MemoryHistory(dict.fromkeys(database.stored, schema))
    for name, table in arrow_tables(database).items():
        if name != plan.request_source:
            store.load(name, table)
    program = RequestProgram(plan, store)
    if plan.request_source is None:
        yield from program.answer(())
        return
    for row in database.stored[plan.request_source]:
        yield from program.answer(row)
        store.insert(plan.request_source, row)


def spark(plan: Plan, database: Database) -> Rows:
    """The Spark driver, told to spread even these few rows over partitions and to split every key it can."""
    from airflow_provider_mlfeat.engine.spark import run_spark
    from airflow_provider_mlfeat.engine.spark_planning import SparkOptions

    options = SparkOptions(tiny_rows=0, rows_per_partition=1, split_hot_keys=True)
    return answer(
        lambda: from_arrow(
            run_spark(plan, arrow_tables(database), spark_session(), options=options).to_arrow(), plan.schema
        )
    )


def oracle_request(plan: Plan, database: Database) -> Rows:
    """The slow evaluator in request mode."""
    return answer(lambda: run_replay(plan, database.stored))


def oracle(plan: Plan, database: Database) -> Rows:
    """The slow evaluator."""
    return answer(lambda: list(oracle_batch(plan, database.stored)))


def assert_same(plan: Plan, name: str, rows: Rows, other_name: str, others: Rows, exact: bool | None = None) -> None:
    """Fail with the first difference; `exact` asks for equal bits whatever the plan computes."""
    if isinstance(rows, Refusal) or isinstance(others, Refusal):
        assert type(rows) is type(others), f"{name} says {rows!r}, {other_name} says {others!r}"
        return
    compare = difference if exact or (exact is None and is_exact(plan)) else near_difference
    found = compare(rows, others)
    assert found is None, f"{name} and {other_name} differ: {found}"
