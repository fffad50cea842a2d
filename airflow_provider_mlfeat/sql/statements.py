"""The statements of the feature language, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from airflow_provider_mlfeat.sql.catalog import IndexDefinition, TableDefinition
from airflow_provider_mlfeat.sql.errors import Position

Constant = None | bool | int | float | str
Options = Mapping[str, bool | int | str]


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as a statement names it.

    :param name: the table.
    :param database: its database; '' is the current one.
    """

    name: str
    database: str = ""

    def __str__(self) -> str:
        return f"{self.database}.{self.name}" if self.database else self.name


@dataclass(frozen=True, slots=True)
class Query:
    """A query's syntax.

    :param text: the query as written, without what stands around it.
    :param source: the whole text that positions refer to.
    :param tree: the syntax tree.
    """

    text: str
    source: str = field(repr=False, compare=False)
    tree: exp.Query = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement.

    :param text: the statement as written, without the semicolon.
    :param position: where it begins in the script.
    """

    text: str = field(default="", repr=False, compare=False)
    position: Position | None = field(default=None, repr=False, compare=False)


# ── databases and tables ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CreateDatabase(Statement):
    """``CREATE DATABASE [IF NOT EXISTS] name``."""

    name: str
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropDatabase(Statement):
    """``DROP DATABASE [IF EXISTS] name``."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class UseDatabase(Statement):
    """``USE name``."""

    name: str


@dataclass(frozen=True, slots=True)
class ShowDatabases(Statement):
    """``SHOW DATABASES``."""


@dataclass(frozen=True, slots=True)
class CreateTable(Statement):
    """``CREATE TABLE [IF NOT EXISTS] …``; a database of '' is the current one."""

    table: TableDefinition
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class CreateTableLike(Statement):
    """``CREATE TABLE … LIKE PARQUET 'path'`` or ``LIKE HIVE 'hive://db.t'``: columns come from the source.

    :param table: the new table.
    :param format: ``parquet`` or ``hive``.
    :param path: where the source is.
    """

    table: TableName
    format: str
    path: str
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DescribeTable(Statement):
    """``DESC table``."""

    table: TableName


@dataclass(frozen=True, slots=True)
class ShowTables(Statement):
    """``SHOW TABLES``."""


@dataclass(frozen=True, slots=True)
class ShowTableStatus(Statement):
    """``SHOW TABLE STATUS``."""


@dataclass(frozen=True, slots=True)
class ShowCreateTable(Statement):
    """``SHOW CREATE TABLE table``."""

    table: TableName


@dataclass(frozen=True, slots=True)
class TruncateTable(Statement):
    """``TRUNCATE TABLE table``."""

    table: TableName


@dataclass(frozen=True, slots=True)
class DropTable(Statement):
    """``DROP TABLE [IF EXISTS] table``."""

    table: TableName
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class CreateIndex(Statement):
    """``CREATE INDEX name ON table (keys) OPTIONS (…)``."""

    table: TableName
    index: IndexDefinition


@dataclass(frozen=True, slots=True)
class DropIndex(Statement):
    """``DROP INDEX table.name``."""

    table: TableName
    name: str


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Insert(Statement):
    """``INSERT [[OR] IGNORE] INTO table [(columns)] VALUES (…), …``.

    :param columns: the columns that the rows give; empty for all.
    :param rows: constants as written.
    :param ignore: skip rows that are there already.
    """

    table: TableName
    columns: tuple[str, ...]
    rows: tuple[tuple[Constant, ...], ...]
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class Delete(Statement):
    """``DELETE FROM table WHERE column = value [AND …]``.

    :param conditions: column, operator (``= < <= > >=``) and constant; all must hold.
    """

    table: TableName
    conditions: tuple[tuple[str, str, Constant], ...]


@dataclass(frozen=True, slots=True)
class LoadData(Statement):
    """``LOAD DATA INFILE 'path' INTO TABLE table [OPTIONS (…)]``; only the options that were written stand here."""

    path: str
    table: TableName
    options: Options


# ── queries and deployments ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Select(Statement):
    """A query."""

    query: Query


@dataclass(frozen=True, slots=True)
class SelectInto(Statement):
    """``SELECT … INTO OUTFILE 'path' [OPTIONS (…)]``; only the options that were written stand here."""

    query: Query
    path: str
    options: Options


@dataclass(frozen=True, slots=True)
class Deploy(Statement):
    """``DEPLOY [IF NOT EXISTS] name [OPTIONS (…)] SELECT …``."""

    name: str
    query: Query
    options: Options
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class ShowDeployments(Statement):
    """``SHOW DEPLOYMENTS``."""


@dataclass(frozen=True, slots=True)
class ShowDeployment(Statement):
    """``SHOW DEPLOYMENT name [VERSIONS]``."""

    name: str
    versions: bool = False


@dataclass(frozen=True, slots=True)
class DropDeployment(Statement):
    """``DROP DEPLOYMENT [IF EXISTS] name``."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class RollbackDeployment(Statement):
    """``ROLLBACK DEPLOYMENT name [TO version]``; without a version, the one before the current."""

    name: str
    version: int | None = None


# ── jobs and the session ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ShowJobs(Statement):
    """``SHOW JOBS [FROM TASKMANAGER|NAMESERVER] [LIKE 'id']``."""

    component: str | None = None
    like: str | None = None


@dataclass(frozen=True, slots=True)
class ShowJob(Statement):
    """``SHOW JOB id``."""

    job: int


@dataclass(frozen=True, slots=True)
class ShowJobLog(Statement):
    """``SHOW JOBLOG id``."""

    job: int


@dataclass(frozen=True, slots=True)
class StopJob(Statement):
    """``STOP JOB id``."""

    job: int


@dataclass(frozen=True, slots=True)
class SetVariable(Statement):
    """``SET [@@[session.|global.]]name = value``."""

    name: str
    value: bool | int | str
    is_global: bool = False


@dataclass(frozen=True, slots=True)
class ShowVariables(Statement):
    """``SHOW [GLOBAL] VARIABLES``."""

    is_global: bool = False
