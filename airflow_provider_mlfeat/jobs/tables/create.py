"""Databases and tables, from the language's CREATE statements."""

from __future__ import annotations

import logging
from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import Job, JobContext, JobResult, JobSpec
from airflow_provider_mlfeat.jobs.tables.store import TableJobSpec

log = logging.getLogger("mlfeat.job")


class CreateTablesSpec(TableJobSpec):
    """Spec of `CreateTablesJob`.

    :param kind: ``create_tables``.
    :param sql: CREATE DATABASE, USE, CREATE TABLE and CREATE INDEX statements.
    :param database: the current database at the beginning; it is created when it does not exist.
    """

    kind: Literal["create_tables"] = "create_tables"
    sql: str = Field(min_length=1)
    database: str = ""


class CreateTablesResult(JobResult):
    """Result of `CreateTablesJob`.

    :param kind: ``create_tables``.
    :param created: tables that are new.
    :param existing: tables that were there.
    """

    kind: Literal["create_tables"] = "create_tables"
    created: tuple[str, ...]
    existing: tuple[str, ...]


class CreateTablesJob(Job[CreateTablesSpec, CreateTablesResult]):
    """Create databases and tables; what exists with the same definition stays."""

    kind: ClassVar[str] = "create_tables"
    spec_type: ClassVar[type[JobSpec]] = CreateTablesSpec
    result_type: ClassVar[type[JobResult]] = CreateTablesResult

    def is_cacheable(self, spec: CreateTablesSpec) -> bool:
        """No: whether the tables are there is the question."""
        return False

    def run(self, spec: CreateTablesSpec, context: JobContext) -> CreateTablesResult:
        """Carry out the statements in order."""
        from airflow_provider_mlfeat.jobs.tables.definer import Definer
        from airflow_provider_mlfeat.sql import statements as s
        from airflow_provider_mlfeat.sql.errors import SqlError
        from airflow_provider_mlfeat.sql.syntax import parse_script

        allowed = (s.UseDatabase, s.CreateDatabase, s.CreateTable, s.CreateTableLike, s.CreateIndex)
        statements = parse_script(spec.sql)
        for statement in statements:
            if not isinstance(statement, allowed):
                raise UserError(f"create_tables takes CREATE and USE statements only, not: {statement.text[:80]}")
        context.progress.stage("create", total=len(statements), unit="statements")
        definer = Definer(spec.store(context.secrets), spec.database)
        for statement in statements:
            try:
                log.info("%s", definer.define(statement))
            except SqlError as error:
                error.position = error.position or statement.position
                raise error.with_source(spec.sql) from None
            context.progress.advance()
        return CreateTablesResult(created=tuple(definer.created), existing=tuple(definer.existing))
