"""What the tables of a query are: tables of the store at a version, or whatever they are bound to."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import JobContext
from airflow_provider_mlfeat.jobs.tables.store import join_name, split_name
from airflow_provider_mlfeat.sql.catalog import Catalog, TableDefinition
from airflow_provider_mlfeat.sql.errors import SqlError
from airflow_provider_mlfeat.sql.statements import CreateTable, Statement

if TYPE_CHECKING:
    from airflow_provider_mlfeat.sql.plan import Plan
    from airflow_provider_mlfeat.sql.statements import Query
    from airflow_provider_mlfeat.tables.sources import OpenedSource, TableSource
    from airflow_provider_mlfeat.tables.store import TableStore

log = logging.getLogger("mlfeat.job")

TableName = tuple[str, str]


@dataclass(frozen=True)
class Input:
    """A table that a query reads.

    :param opened: what stands behind it.
    :param frame: the table as a Spark frame, where Spark alone knows it.
    """

    opened: OpenedSource
    frame: Any = None

    @property
    def identity(self) -> str:
        """Equal when the rows are: version and fingerprint, or only the fingerprint where there are no versions."""
        version = self.opened.source.version
        return self.opened.fingerprint if version is None else f"{version} {self.opened.fingerprint}"

    @property
    def dataset(self) -> Any:
        """What the batch driver reads."""
        if self.opened.data is None:
            raise UserError(f"'{self.opened.source}' is a table of Spark, which engine 'batch' cannot read")
        return self.opened.data

    def for_spark(self, folder: Path) -> Any:
        """What the Spark driver reads: a frame, the parquet files in order of arrival, or an Arrow table.

        :param folder: of the scratch folder, for links.
        """
        import pyarrow as pa

        if self.frame is not None:
            return self.frame
        if self.opened.parquet:
            return _in_order(self.opened.parquet, folder)
        return self.dataset if isinstance(self.dataset, pa.Table) else self.dataset.to_table()


class QueryInputs:
    """The tables of a session; each is opened once, so that a session sees one version of it.

    :param store: where tables are that are not bound.
    :param catalog: the store's tables; bound ones are added to a copy.
    :param bindings: what tables are bound to, by name: a parquet or csv path, ``delta:PATH@VERSION``,
        ``table:NAME@VERSION``, ``spark:NAME``, or an Arrow table.
    :param database: the current database.
    :param time_zone: the session's zone, also for points in time that are text in csv files.
    :param statements: of a script; its CREATE TABLE statements give bound files their types.
    :param context: of the job, for tables that only Spark knows.
    :param master: Spark's master.
    """

    def __init__(
        self,
        store: TableStore,
        catalog: Catalog,
        bindings: Mapping[str, Any],
        database: str = "",
        time_zone: str = "",
        *,
        statements: Iterable[Statement] = (),
        context: JobContext | None = None,
        master: str = "",
    ) -> None:
        self._store, self.time_zone = store, time_zone
        self._context, self._master = context, master
        self.catalog = Catalog(catalog.tables())
        for name in catalog.databases:
            self.catalog.add_database(name)
        self.database = self.catalog.resolve_database(database) if database else ""
        self.needs_spark = False
        self.identities: dict[str, str] = {}
        self._inputs: dict[TableName, Input] = {}
        self._bound: set[TableName] = set()
        declared = [statement.table for statement in statements if isinstance(statement, CreateTable)]
        for name, given in bindings.items():
            self._bind(name, given, declared)

    @property
    def stored(self) -> list[TableName]:
        """The tables of the store that were read."""
        return [name for name in self._inputs if name not in self._bound]

    def plan(self, query: Query | str, null_join_keys: str = "match") -> Plan:
        """The plan of a query over these tables."""
        from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE, plan_query

        return plan_query(
            query,
            self.catalog,
            database=self.database,
            time_zone=self.time_zone or DEFAULT_TIME_ZONE,
            null_join_keys=null_join_keys,
        )

    def define(self, table: TableDefinition) -> None:
        """Take note of a CREATE TABLE in a query's script: there must be such a table, and it must be what it says."""
        table = replace(table, database=table.database or self.database)
        found = self.catalog.find_table(table.database, table.name)
        if found is None:
            message = f"table '{table.qualified_name}' is not in '{self._store.root}' and is bound to nothing"
            raise SqlError(message, suggestion="Create and load it, or say what it is bound to.")
        if _columns(found) != _columns(table):
            raise SqlError(f"table '{table.qualified_name}' has other columns than this statement")

    def tables(self, plan: Plan) -> dict[TableName, Input]:
        """What a plan reads."""
        from airflow_provider_mlfeat.engine.requirements import table_schemas

        return {name: self._input(name) for name in table_schemas(plan.root)}

    def views(self) -> dict[str, Input]:
        """All bound tables, and those of the current database, by the name that a Spark view gets."""
        tables = self.catalog.tables(self.database)
        tables += [table for table in self.catalog.tables() if _name(table) in self._bound and table not in tables]
        return {table.name: self._input(_name(table)) for table in tables}

    def _bind(self, name: str, given: Any, declared: list[TableDefinition]) -> None:
        from airflow_provider_mlfeat.tables.sources import TableSource, open_source

        source = TableSource.parse(given) if isinstance(given, str) else TableSource("arrow", arrow=given)
        definition = self._declared(name, declared)
        if source.kind == "spark":
            found, definition = self._spark_table(source, definition)
        else:
            found = Input(open_source(source, self._store, definition, options=self._text_options(source)))
        definition = definition or found.opened.definition
        assert definition is not None
        database, table = split_name(name, self.database)
        if definition.name and definition.name.lower() == table.lower():
            database, table = definition.database or database, definition.name
        self.catalog.add_table(replace(definition, database=database, name=table))
        self._inputs[database, table] = found
        self._bound.add((database, table))

    def _declared(self, name: str, declared: list[TableDefinition]) -> TableDefinition | None:
        """What the script, or else the store, says of a table that is bound to something."""
        qualifier, table = split_name(name)
        found = [one for one in declared if one.name.lower() == table.lower()]
        found = [one for one in found if not qualifier or one.database.lower() == qualifier.lower()]
        return found[0] if found else None

    def _text_options(self, source: TableSource) -> Any:
        from airflow_provider_mlfeat.jobs.tables.load import format_of
        from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE
        from airflow_provider_mlfeat.tables.load import LoadOptions

        if source.kind != "files":
            return None
        form: Any = format_of([source.place])
        return LoadOptions(format=form, time_zone=self.time_zone or DEFAULT_TIME_ZONE)

    def _spark_table(self, source: TableSource, definition: TableDefinition | None) -> tuple[Input, TableDefinition]:
        from pyspark.sql.pandas.types import to_arrow_schema

        from airflow_provider_mlfeat.jobs.tables.engines import spark_session
        from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE
        from airflow_provider_mlfeat.tables.sources import define, open_source

        assert self._context is not None
        session = spark_session(self._master, self.time_zone or DEFAULT_TIME_ZONE, self._context)
        if not session.catalog.tableExists(source.place):
            raise UserError(f"Spark has no table '{source.place}'")
        self.needs_spark = True
        frame = session.table(source.place)
        definition = definition or define("", to_arrow_schema(frame.schema), f"'{source}'")
        return Input(open_source(source, definition=definition), frame), definition

    def _input(self, name: TableName) -> Input:
        from airflow_provider_mlfeat.tables.sources import TableSource, open_source

        if name not in self._inputs:
            self._inputs[name] = Input(open_source(TableSource("table", join_name(*name)), self._store))
        found = self._inputs[name]
        self.identities[join_name(*name)] = found.identity
        return found


def _in_order(paths: Sequence[str], folder: Path) -> list[str]:
    """Files whose names sort in order of arrival, which is the order that Spark takes them in.

    Spark looks through symbolic links, so names of their own are hard links, which a file system gives within itself.
    """
    if list(paths) != sorted(paths):
        links = [folder / f"{number:08}.parquet" for number in range(len(paths))]
        try:
            folder.mkdir(parents=True)
            for link, path in zip(links, paths, strict=True):
                os.link(path, link)
            return [str(link) for link in links]
        except OSError:
            log.warning("Spark takes the rows of %d files in the order of their names, not of arrival", len(paths))
    return [path.replace("s3://", "s3a://", 1) for path in paths]


def _name(table: TableDefinition) -> TableName:
    return table.database, table.name


def _columns(table: TableDefinition) -> list[tuple[str, str]]:
    return [(column.name, str(column.type)) for column in table.columns]
