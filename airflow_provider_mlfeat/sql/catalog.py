"""What the binder knows about stored tables: names, columns, indexes and options, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_mlfeat.sql.errors import SqlNameError, nearest_name
from airflow_provider_mlfeat.sql.types import DataType, parse_type

DEFAULT_DATABASE = ""


class TtlType(StrEnum):
    """When an index forgets a row: by age, by number of newer rows, by either, or only by both."""

    ABSOLUTE = "absolute"
    LATEST = "latest"
    ABSORLAT = "absorlat"
    ABSANDLAT = "absandlat"


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column of a stored table.

    :param name: the name as declared.
    :param type: its type.
    :param not_null: whether NULL is refused.
    :param default: the value of a missing column (a date is ``yyyy-mm-dd``, a timestamp is milliseconds).
    :param has_default: whether a DEFAULT was declared; it may be NULL.
    """

    name: str
    type: DataType
    not_null: bool = False
    default: bool | int | float | str | None = None
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """A declared access path: rows by key, in time order.

    :param name: the index's name.
    :param keys: key columns.
    :param ts: the time column; None is the order of arrival.
    :param ttl_type: what `ttl_ms` and `ttl_rows` mean together.
    :param ttl_ms: the age limit; 0 is none.
    :param ttl_rows: the row limit; 0 is none.
    """

    name: str
    keys: tuple[str, ...]
    ts: str | None = None
    ttl_type: TtlType = TtlType.ABSOLUTE
    ttl_ms: int = 0
    ttl_rows: int = 0


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A stored table.

    :param database: the database; '' is the session's default.
    :param name: the name as declared.
    :param columns: columns in order.
    :param indexes: indexes that the user declared, in order; those that a deployment adds never stand here.
    :param options: storage options as declared, keys in lower case.
    """

    database: str
    name: str
    columns: tuple[ColumnDefinition, ...]
    indexes: tuple[IndexDefinition, ...] = ()
    options: Mapping[str, str | int] = field(default_factory=dict)

    def find_column(self, name: str) -> ColumnDefinition | None:
        """The column called `name`, in any case."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)

    @property
    def qualified_name(self) -> str:
        """``database.table``, or only the table in the default database."""
        return f"{self.database}.{self.name}" if self.database else self.name


class Catalog:
    """Databases and their tables; names are looked up in any case and kept as declared.

    :param tables: tables to begin with; their databases are created.
    """

    def __init__(self, tables: Iterable[TableDefinition] = ()) -> None:
        self._databases: dict[str, str] = {DEFAULT_DATABASE: DEFAULT_DATABASE}
        self._tables: dict[tuple[str, str], TableDefinition] = {}
        for table in tables:
            self.add_table(table)

    @classmethod
    def from_columns(cls, tables: Mapping[str, Mapping[str, str]], database: str = DEFAULT_DATABASE) -> Catalog:
        """A catalog of tables without indexes, from ``{table: {column: type text}}``."""
        return cls(
            TableDefinition(
                database, name, tuple(ColumnDefinition(column, parse_type(text)) for column, text in columns.items())
            )
            for name, columns in tables.items()
        )

    @property
    def databases(self) -> list[str]:
        """Names of the databases; the default one is ''."""
        return list(self._databases.values())

    def tables(self, database: str | None = None) -> list[TableDefinition]:
        """All tables, or those of one database, in the order in which they were added."""
        return [t for t in self._tables.values() if database is None or t.database.lower() == database.lower()]

    def add_database(self, name: str) -> None:
        """Create a database; nothing happens when it exists."""
        self._databases.setdefault(name.lower(), name)

    def drop_database(self, name: str) -> None:
        """Forget a database and its tables."""
        self._databases.pop(self.resolve_database(name).lower())
        for table in self.tables(name):
            self.drop_table(table.database, table.name)

    def resolve_database(self, name: str) -> str:
        """The database's name as declared; raises SqlNameError when there is none."""
        try:
            return self._databases[name.lower()]
        except KeyError:
            raise SqlNameError(
                f"unknown database '{name}'", suggestion=nearest_name(name, filter(None, self.databases))
            ) from None

    def add_table(self, table: TableDefinition) -> None:
        """Add a table, or replace the one of that name; its database is created."""
        self.add_database(table.database)
        self._tables[table.database.lower(), table.name.lower()] = table

    def drop_table(self, database: str, name: str) -> None:
        """Forget a table; raises SqlNameError when there is none."""
        table = self.get_table(database, name)
        del self._tables[table.database.lower(), table.name.lower()]

    def find_table(self, database: str, name: str) -> TableDefinition | None:
        """The table of that name, or None."""
        return self._tables.get((database.lower(), name.lower()))

    def get_table(self, database: str, name: str) -> TableDefinition:
        """The table of that name; raises SqlNameError, with the nearest known name, when there is none."""
        found = self.find_table(database, name)
        if found is not None:
            return found
        place = f" in database '{self.resolve_database(database)}'" if database else ""
        elsewhere = [table for table in self.tables() if table.name.lower() == name.lower()]
        known = [table.name for table in self.tables(database)]
        suggestion = f"Did you mean '{elsewhere[0].qualified_name}'?" if elsewhere else nearest_name(name, known)
        raise SqlNameError(f"unknown table '{name}'{place}", suggestion=suggestion)
