"""What the tables of a query are: tables of the store at a version, or whatever they are bound to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.spec import JobContext
from airflow_provider_mlfeat.jobs.tables.store import join_name, split_name
from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.errors import SqlError

if TYPE_CHECKING:
    from airflow_provider_mlfeat.sql.plan import Plan
    from airflow_provider_mlfeat.sql.statements import Query, Statement
    from airflow_provider_mlfeat.tables.store import TableStore
    from airflow_provider_mlfeat.tables.versions import TableVersion

TableName = tuple[str, str]
DELTA, STORED, SPARK = "delta:", "table:", "spark:"


@dataclass(frozen=True)
class Input:
    """A table that a query reads.

    :param identity: equal when the rows are.
    :param dataset: what the batch driver reads: a dataset, an Arrow table or a path.
    :param paths: the parquet files in order of arrival, where it is nothing but those.
    :param spark_table: its name in Spark's catalog, where only Spark can read it.
    """

    identity: str
    dataset: Any
    paths: tuple[str, ...] = ()
    spark_table: str = ""

    def for_spark(self, context: JobContext, master: str, time_zone: str) -> Any:
        """What the Spark driver reads: paths, an Arrow table or a frame."""
        import pyarrow as pa

        if self.spark_table:
            return _spark_frame(self.spark_table, context, master, time_zone)
        if self.paths:
            return [path.replace("s3://", "s3a://", 1) for path in self.paths]
        return self.dataset if isinstance(self.dataset, pa.Table | str) else self.dataset.to_table()


class QueryInputs:
    """The tables of a session.

    :param store: where tables are that are not bound.
    :param catalog: the store's tables; bound ones are added to a copy.
    :param bindings: what tables are bound to, by name: a parquet or csv path, ``delta:PATH@VERSION``,
        ``table:NAME@VERSION``, ``spark:NAME``, or an Arrow table.
    :param database: the current database.
    :param time_zone: the session's zone, also for points in time that are text in csv files.
    :param statements: of a script; its CREATE TABLE statements give bound files their types.
    :param storage_options: for Delta tables in an object store.
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
        statements: tuple[Statement, ...] = (),
        storage_options: Mapping[str, str] | None = None,
        context: JobContext | None = None,
        master: str = "",
    ) -> None:
        from airflow_provider_mlfeat.jobs.query.tables import BoundTables

        self._store, self.time_zone = store, time_zone
        self._options = dict(storage_options or {})
        self._context, self._master = context, master
        self.catalog = Catalog(catalog.tables())
        for name in catalog.databases:
            self.catalog.add_database(name)
        self.database = self.catalog.resolve_database(database) if database else ""
        self.needs_spark = False
        self.pinned: dict[TableName, TableVersion] = {}
        self.identities: dict[str, str] = {}
        self._versions: dict[TableName, tuple[TableName, int | None]] = {}
        self._others: dict[TableName, Input] = {}
        paths = {}
        for name, given in bindings.items():
            if isinstance(given, str) and not given.startswith((DELTA, STORED, SPARK)):
                paths[name] = given
            else:
                self._bind(*split_name(name, self.database), given)
        self._files = BoundTables(paths, statements, self.database)
        self._paths = {}
        for table in self._files.catalog.tables():
            self._add(table)
        for name, path in paths.items():
            self._paths[_key(*self._declared(name, statements))] = path

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
        """Take note of a CREATE TABLE in a query's script; a table of the store must be what it says."""
        table = replace(table, database=table.database or self.database)
        found = self.catalog.find_table(table.database, table.name)
        if found is None:
            self._add(table)
        elif _columns(found) != _columns(table):
            raise SqlError(f"table '{table.qualified_name}' has other columns than this statement")

    def tables(self, plan: Plan) -> dict[TableName, Input]:
        """What a plan reads; tables of the store are pinned to a version when they are asked for first."""
        from airflow_provider_mlfeat.engine.requirements import table_schemas

        schemas = table_schemas(plan.root)
        return {name: self._input(name, schema, plan.time_zone) for name, schema in schemas.items()}

    def every_table(self) -> dict[str, Input]:
        """All bound tables, and those of the current database, by the name of a Spark view."""
        found = {}
        for table in self.catalog.tables():
            key = _key(table.database, table.name)
            bound = key in self._paths or key in self._others or key in self._versions
            if bound or table.database.lower() == self.database.lower():
                schema = tuple(table.columns)
                found[table.name] = self._input((table.database, table.name), schema, self.time_zone)
        return found

    # ── binding ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _bind(self, database: str, table: str, given: Any) -> None:
        import pyarrow as pa

        if isinstance(given, pa.Table):
            self._other(database, table, Input(_digest_of(given), given), _fields(given.schema, "the Arrow table"))
        elif given.startswith(STORED):
            source, version = _versioned(given.removeprefix(STORED))
            name = split_name(source, self.database)
            definition = self._stored_definition(*name, version)
            self._versions[_key(database, table)] = (name, version)
            self._add(replace(definition, database=database, name=table))
        elif given.startswith(DELTA):
            self._bind_delta(database, table, given.removeprefix(DELTA))
        else:
            self._bind_spark(database, table, given.removeprefix(SPARK))

    def _bind_delta(self, database: str, table: str, text: str) -> None:
        from deltalake.exceptions import TableNotFoundError

        from airflow_provider_mlfeat.tables.definitions import definition_of
        from airflow_provider_mlfeat.tables.delta import open_delta
        from airflow_provider_mlfeat.tables.versions import dataset_of, fingerprint

        path, version = _versioned(text)
        try:
            delta = open_delta(path, self._options, version)
        except TableNotFoundError:
            raise UserError(f"there is no Delta table at '{path}'") from None
        definition = definition_of(delta, database)
        self._add(replace(definition, database=database, name=table))
        dataset = dataset_of(delta, self._options)
        identity = f"{path}@{delta.version()} {fingerprint(delta)}"
        self._others[_key(database, table)] = Input(identity, dataset, tuple(getattr(dataset, "files", ())))

    def _bind_spark(self, database: str, table: str, name: str) -> None:
        from pyspark.sql.pandas.types import to_arrow_schema

        assert self._context is not None
        self.needs_spark = True
        frame = _spark_frame(name, self._context, self._master, self.time_zone)
        # Nobody can tell whether such a table is what it was: its identity equals no other.
        given = Input(f"spark:{name} {id(frame)}", None, spark_table=name)
        self._other(database, table, given, _fields(to_arrow_schema(frame.schema), f"Spark table '{name}'"))

    def _other(self, database: str, table: str, given: Input, columns: tuple[ColumnDefinition, ...]) -> None:
        self._add(TableDefinition(database, table, columns))
        self._others[_key(database, table)] = given

    def _add(self, table: TableDefinition) -> None:
        self.catalog.add_table(table)

    def _declared(self, name: str, statements: tuple[Statement, ...]) -> TableName:
        """The table that a bound name means: one that the script creates, or one of the current database."""
        from airflow_provider_mlfeat.sql.statements import CreateTable

        qualifier, table = split_name(name)
        for statement in statements:
            if isinstance(statement, CreateTable) and statement.table.name.lower() == table.lower():
                if not qualifier or statement.table.database.lower() == qualifier.lower():
                    return statement.table.database or self.database, statement.table.name
        return qualifier or self.database, table

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _input(self, name: TableName, schema: Any, time_zone: str) -> Input:
        key = _key(*name)
        if key in self._paths:
            found = self._file_input(name, schema, time_zone)
        else:
            found = self._others.get(key) or self._stored_input(name)
        self.identities[join_name(*name)] = found.identity
        return found

    def _file_input(self, name: TableName, schema: Any, time_zone: str) -> Input:
        from airflow_provider_mlfeat import files
        from airflow_provider_mlfeat.jobs.query.tables import files_of

        path = self._paths[_key(*name)]
        stored = self._files.for_plan({name: schema}, time_zone)[name]
        digests = [[file, files.digest_file(_local(file))] for file in files_of(path)]
        identity = files.digest_text(files.canonical_json(digests))
        if isinstance(stored, str):
            return Input(identity, _dataset(stored), (stored,))
        return Input(identity, stored, tuple(getattr(stored, "files", ())))

    def _stored_input(self, name: TableName) -> Input:
        from airflow_provider_mlfeat.tables.versions import describe, paths, read

        (database, table), version = self._versions.get(_key(*name), (name, None))
        pinned = self.pinned.get((database, table))
        if pinned is None or (version is not None and pinned.version != version):
            pinned = describe(self._store, database, table, version)
            self.pinned[database, table] = pinned
        dataset = read(self._store, database, table, pinned.version)
        found = tuple(paths(self._store, database, table, pinned.version))
        return Input(f"{pinned.version} {pinned.fingerprint}", dataset, found)

    def _stored_definition(self, database: str, table: str, version: int | None) -> TableDefinition:
        from airflow_provider_mlfeat.tables.definitions import read_definition

        return read_definition(self._store, database, table, version)


def _versioned(text: str) -> tuple[str, int | None]:
    """``NAME@VERSION`` in its parts; None where there is no version."""
    name, separator, version = text.rpartition("@")
    if not separator:
        return text, None
    if not version.isdigit():
        raise UserError(f"'{text}': a version is a number, not '{version}'")
    return name, int(version)


def _key(database: str, table: str) -> TableName:
    return database.lower(), table.lower()


def _columns(table: TableDefinition) -> list[tuple[str, str]]:
    return [(column.name, str(column.type)) for column in table.columns]


def _fields(schema: Any, what: str) -> tuple[ColumnDefinition, ...]:
    from airflow_provider_mlfeat.jobs.query.tables import type_of

    return tuple(ColumnDefinition(field.name, type_of(field, what)) for field in schema)


def _dataset(path: str) -> Any:
    import pyarrow.dataset as ds

    return ds.dataset(path, format="parquet")


def _local(path: str) -> Any:
    from pathlib import Path

    return Path(path)


def _digest_of(table: Any) -> str:
    """Identity of an Arrow table's rows, through the bytes of its stream."""
    import hashlib

    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _spark_frame(name: str, context: JobContext, master: str, time_zone: str) -> Any:
    from airflow_provider_mlfeat.jobs.tables.engines import spark_session
    from airflow_provider_mlfeat.sql.planner import DEFAULT_TIME_ZONE

    session = spark_session(master, time_zone or DEFAULT_TIME_ZONE, context)
    if not session.catalog.tableExists(name):
        raise UserError(f"Spark has no table '{name}'")
    return session.table(name)
