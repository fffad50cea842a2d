"""The engines by name. A driver is imported only when it is asked for: Spark may be absent."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.history import MemoryHistory
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.sql.plan import Column, Plan, Schema
from airflow_provider_mlfeat.sql.planner import Mode
from tests.conformance.arrow import from_arrow, to_arrow
from tests.conformance.cases import Case, Row, Table
from tests.conformance.engines import (
    Answer,
    Engine,
    OracleBatch,
    OracleReplay,
    Replay,
    columns_of,
    parameters_of,
    runs_in_batch,
)


def arrow_tables(case: Case) -> dict[tuple[str, str], pa.Table]:
    """The case's tables as Arrow tables."""
    return {(table.database, table.name): to_arrow(table.columns, table.rows) for table in case.tables}


def spark_is_here() -> bool:
    """Whether Spark can run: its package and a Java runtime."""
    return find_spec("pyspark") is not None and shutil.which("java") is not None


@cache
def spark_session() -> Any:
    """The one local session of this process."""
    from airflow_provider_mlfeat.engine.spark_session import make_session

    # Compiling the code of a query costs Spark more than running it over a handful of rows.
    interpreted = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    return make_session("local[2]", "+08:00", {"spark.sql.shuffle.partitions": "2", **interpreted})


class Batch:
    """The batch driver."""

    name = "batch"
    mode: Mode = "batch"

    def runs(self, case: Case) -> bool:
        """Every case with a meaning in batch."""
        return runs_in_batch(case)

    def answer(self, case: Case, plan: Plan) -> Answer:
        """The rows of one run over the loaded tables."""
        table = run_batch(plan, arrow_tables(case), parameters_of(case))
        return Answer(columns_of(plan), from_arrow(table, plan.schema))


class Spark:
    """The Spark driver, one session for all cases; its answer must be the batch driver's to the last bit."""

    name = "spark"
    mode: Mode = "batch"

    def __init__(self) -> None:
        self.session: Any = spark_session()

    def runs(self, case: Case) -> bool:
        """The cases meant for offline engines."""
        return case.offline and case.request_rows is None

    def answer(self, case: Case, plan: Plan) -> Answer:
        """The rows that Spark computes, once they are seen to be those of the batch driver."""
        from airflow_provider_mlfeat.engine.spark import run_spark

        result = run_spark(plan, arrow_tables(case), self.session, parameters=parameters_of(case))
        rows = from_arrow(result.to_arrow(), plan.schema)
        batch = Batch().answer(case, plan).rows
        assert sorted(map(repr, rows)) == sorted(map(repr, batch)), f"batch says {batch[:12]!r}, Spark {rows[:12]!r}"
        return Answer(columns_of(plan), rows)


class Request(Replay):
    """The request driver over a history in memory."""

    name = "request"

    def replay(
        self, plan: Plan, tables: dict[tuple[str, str], Table], requests: Sequence[Row], insert: bool
    ) -> list[Row]:
        """The answers of one program, compiled once."""
        store = MemoryHistory({name: _schema(table) for name, table in tables.items()})
        for name, table in tables.items():
            store.load(name, to_arrow(table.columns, table.rows))
        program = RequestProgram(plan, store)
        rows: list[Row] = []
        for request in requests:
            rows += program.answer(request)
            if insert and plan.request_source is not None:
                store.insert(plan.request_source, request)
        return rows


def _schema(table: Table) -> Schema:
    return tuple(Column(name, kind) for name, kind in table.columns)


ENGINES: dict[str, Callable[[], Engine]] = {
    "batch": Batch,
    "spark": Spark,
    "request": Request,
    "oracle": OracleBatch,
    "oracle-request": OracleReplay,
}
