"""Running a query over a few rows, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.engine.batch import run_batch
from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.history import MemoryHistory
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.engine.requirements import table_schemas
from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.types import parse_type

Row = tuple[Any, ...]


class Tables:
    """Small tables.

    :param tables: per name a text such as ``k string, ts timestamp`` and the rows in order of arrival.
    """

    def __init__(self, tables: Mapping[str, tuple[str, Sequence[Row]]]) -> None:
        self.columns = {name: dict(part.split() for part in text.split(", ")) for name, (text, _) in tables.items()}
        self.rows = {name: list(rows) for name, (_, rows) in tables.items()}
        self.catalog = Catalog.from_columns(self.columns)

    def plan(self, sql: str, **options: Any) -> Plan:
        """The plan of a query."""
        return plan_query(sql, self.catalog, **options)

    def arrow(self) -> dict[tuple[str, str], pa.Table]:
        """The tables in Arrow form."""
        return {("", name): self._arrow(name) for name in self.rows}

    def _arrow(self, name: str) -> pa.Table:
        arrays = {
            column: Column.from_values([row[place] for row in self.rows[name]], parse_type(kind)).to_arrow()
            for place, (column, kind) in enumerate(self.columns[name].items())
        }
        return pa.table(arrays)

    def batch(self, sql: str, **options: Any) -> list[Row]:
        """The batch driver's rows."""
        plan = self.plan(sql)
        return rows_of(plan, run_batch(plan, self.arrow(), **options))

    def request(self, sql: str, row: Row, **options: Any) -> list[Row]:
        """The answer to one request over the rows that are stored."""
        program, _ = self.program(self.plan(sql, mode="request", **options))
        return program.run([row])

    def program(self, plan: Plan, load: bool = True) -> tuple[RequestProgram, MemoryHistory]:
        """A request program over a store with the tables' rows."""
        store = MemoryHistory(table_schemas(plan.root))
        if load:
            for name in table_schemas(plan.root):
                store.load(name, self._arrow(name[1]))
        return RequestProgram(plan, store), store

    def replay(self, sql: str, table: str) -> list[Row]:
        """The answers to all rows of a table as requests, each inserted after its answer."""
        plan = self.plan(sql, mode="request")
        program, store = self.program(plan, load=False)
        for name in table_schemas(plan.root):
            if name[1] != table:
                store.load(name, self._arrow(name[1]))
        answers = []
        for row in self.rows[table]:
            answers += program.run([row])
            store.insert(("", table), row)
        return answers


def rows_of(plan: Plan, table: pa.Table) -> list[Row]:
    """An answer as Python values."""
    columns = [
        Column.from_arrow(table.column(place), column.type).to_values() for place, column in enumerate(plan.schema)
    ]
    return list(zip(*columns, strict=True))
