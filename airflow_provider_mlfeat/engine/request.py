"""The request driver: a plan compiled once, then one answer per request row.

Computing an answer is a virtual insert: the request row counts as the newest arrival of the request table, and nothing
is stored. The kernels are those of the batch driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from airflow_provider_mlfeat.engine.expressions import EvaluationContext
from airflow_provider_mlfeat.engine.features import Settings
from airflow_provider_mlfeat.engine.history import HistoryStore, Lookup
from airflow_provider_mlfeat.engine.pruning import prune
from airflow_provider_mlfeat.engine.request_long import long_frames
from airflow_provider_mlfeat.engine.request_nodes import Compiler, Request
from airflow_provider_mlfeat.engine.requirements import Requirement, requirements_of, table_schemas
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.types import FLOAT

Row = tuple[Any, ...]


class RequestProgram:
    """A plan, ready to answer requests; use each program in one thread at a time.

    :param query: the plan.
    :param store: the stored rows; it is told which series the plan reads.
    """

    def __init__(self, query: plan.Plan, store: HistoryStore) -> None:
        self.plan = query
        self.requirements: tuple[Requirement, ...] = requirements_of(query)
        self._store = store
        root = prune(query.root, range(len(query.schema)))
        self._source = query.request_source
        self._schema = () if self._source is None else table_schemas(query.root)[self._source]
        # Every float has 32 bits, however the caller wrote it.
        self._floats = {place for place, column in enumerate(self._schema) if column.type == FLOAT}
        settings = Settings(EvaluationContext(query.time_zone), threads=1, slide=False)
        compiler = Compiler(store, self._source, settings, query.null_join_keys, self._schema, long_frames(query))
        self._node = compiler.compile(root) if compiler.is_single(root) else None
        self._root, self._executor = root, compiler.executor
        self._lookups = [prefetch.lookup for prefetch in compiler.prefetches]

    @property
    def schema(self) -> plan.Schema:
        """The columns of an answer."""
        return self.plan.schema

    @property
    def request_schema(self) -> plan.Schema:
        """The columns of a request row; none for a query without a table."""
        return self._schema

    def lookups(self, row: Sequence[Any]) -> list[Lookup] | None:
        """What an answer to this row reads of the store; None where it reads whole tables."""
        return None if self._node is None else [lookup(row) for lookup in self._lookups]

    def run(self, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """The answers to independent request rows, in their order; a row that the query leaves out has none."""
        return [answer for row in rows for answer in self.answer(row)]

    def answer(self, row: Sequence[Any]) -> list[Row]:
        """The answer to one request row: one row of Python values, or none."""
        if len(row) != len(self._schema):
            raise DataRuleError(f"a request row has {len(self._schema)} values, not {len(row)}")
        if self._floats:
            row = [
                float(np.float32(value)) if place in self._floats and value is not None else value
                for place, value in enumerate(row)
            ]
        if self._node is None:
            self._executor.set_row(self._schema, row)
            found = self._executor.rows(self._root)
            return list(zip(*(column.to_values() for column in found.columns), strict=True))
        blocks = self._store.fetch([lookup(row) for lookup in self._lookups])
        values = self._node(Request(row, blocks))
        return [] if values is None else [tuple(values)]
