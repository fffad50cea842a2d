"""One way to run a planned case on each driver, and on the slow evaluator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from airflow_provider_mlfeat.sql.plan import Plan
from airflow_provider_mlfeat.sql.planner import Mode
from tests.conformance.cases import Case, Columns, Row, Table
from tests.oracle.evaluate import run_batch as oracle_batch
from tests.oracle.evaluate import run_request as oracle_request

StoredRows = dict[tuple[str, str], Sequence[Row]]


@dataclass(frozen=True)
class Answer:
    """What an engine says.

    :param columns: names and types.
    :param rows: values, in any order.
    """

    columns: Columns
    rows: list[Row]


class Engine(Protocol):
    """A driver behind the runner.

    :param name: its name on the command line.
    :param mode: the mode that its cases are planned in.
    """

    name: str
    mode: Mode

    def runs(self, case: Case) -> bool:
        """Whether the case has a meaning for this driver."""

    def answer(self, case: Case, plan: Plan) -> Answer:
        """The driver's answer."""


def columns_of(plan: Plan) -> Columns:
    """Names and types of a plan's output."""
    return tuple((column.name, column.type) for column in plan.schema)


def stored_rows(case: Case) -> StoredRows:
    """The case's tables by (database, table)."""
    return {(table.database, table.name): table.rows for table in case.tables}


def parameters_of(case: Case) -> list[Any]:
    """The values of the case's ``?``."""
    return [value for _, value in case.parameters]


def runs_in_batch(case: Case) -> bool:
    """Every case with a result, except those that upstream's batch engine or request rows exclude."""
    return "batch-unsupport" not in case.modes and case.request_rows is None


class Replay(ABC):
    """Request mode by the rules: ask, then insert, row by row; given request rows are only asked for."""

    mode: Mode = "request"

    def runs(self, case: Case) -> bool:
        """The cases meant for request mode."""
        return case.request

    def answer(self, case: Case, plan: Plan) -> Answer:
        """All answers, in the order of the request rows."""
        tables = {(table.database, table.name): table for table in case.tables}
        source = plan.request_source
        given = plan.request_rows or case.request_rows
        if source is None:
            rows = self.replay(plan, tables, [()], insert=False)
        elif given is not None:
            rows = self.replay(plan, tables, list(given), insert=False)
        else:
            waiting = tables[source]
            rows = self.replay(plan, {**tables, source: replace(waiting, rows=())}, list(waiting.rows), insert=True)
        return Answer(columns_of(plan), rows)

    @abstractmethod
    def replay(
        self, plan: Plan, tables: dict[tuple[str, str], Table], requests: Sequence[Row], insert: bool
    ) -> list[Row]:
        """The answers to `requests` over the stored tables, each inserted after its answer when `insert`."""


class OracleBatch:
    """The slow evaluator in batch mode."""

    name = "oracle"
    mode: Mode = "batch"

    def runs(self, case: Case) -> bool:
        """The cases of the batch driver."""
        return runs_in_batch(case)

    def answer(self, case: Case, plan: Plan) -> Answer:
        """The evaluator's rows."""
        return Answer(columns_of(plan), oracle_batch(plan, stored_rows(case), parameters_of(case)))


class OracleReplay(Replay):
    """The slow evaluator in request mode."""

    name = "oracle-request"

    def replay(
        self, plan: Plan, tables: dict[tuple[str, str], Table], requests: Sequence[Row], insert: bool
    ) -> list[Row]:
        """Every answer from scratch, over what is stored by then."""
        rows: list[Row] = []
        source = plan.request_source
        stored: StoredRows = {name: table.rows for name, table in tables.items()}
        for request in requests:
            rows += oracle_request(plan, stored, request)
            if insert and source is not None:
                stored = {**stored, source: [*stored[source], request]}
        return rows
