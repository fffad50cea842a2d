"""The online store: the history that requests need, by key, and the documents that say what is deployed.

There are two: one in files of this machine (`embedded`) and one in a Redis (`redis`). Rows are added and never changed;
each gets the next arrival number of its table. What is kept is what the table's series ask for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.frames import first_bad_order_key
from airflow_provider_mlfeat.engine.history import HistoryStore
from airflow_provider_mlfeat.engine.request_long import SummarizedStore
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.series import Need, Series, TableName
from airflow_provider_mlfeat.online.tables import StoredTable, tables_in

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_mlfeat.online.documents import Documents
    from airflow_provider_mlfeat.sql.catalog import Catalog, TableDefinition


@dataclass(frozen=True, slots=True)
class Load:
    """A part of a load that is done once, however often it is tried.

    :param name: the load's id; unique within its table.
    :param start: how many rows of the load came before this part.
    :param last: whether this is the last part.
    :param earliest: no request will be for a time before this order value: rows that only such a request could see
        are left out. None keeps all that requests for any time can see.
    :param note: what the table remembers of its source from this part on; None leaves it as it is.
    """

    name: str
    start: int = 0
    last: bool = True
    earliest: int | None = None
    note: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class LoadState:
    """How far a load has come.

    :param rows: how many of its rows are in the store.
    :param finished: whether these are all.
    """

    rows: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """How much a store holds.

    :param stored_bytes: what its files or its memory take.
    :param tables: per table ``database.table`` the rows of each series.
    """

    stored_bytes: int
    tables: dict[str, dict[str, int]] = field(default_factory=dict)


class StoredHistory(HistoryStore, SummarizedStore, Protocol):
    """The rows of a store as the request driver reads them."""

    @property
    def is_worn(self) -> bool:
        """Whether it holds on to so much that a new one should take its place."""

    def revision(self) -> int:
        """The revision of the documents that the last look-up saw, or the one of now where there was none."""


class OnlineStore(AbstractContextManager["OnlineStore"], ABC):
    """History by key, and documents.

    :param is_local: whether reading is a matter of this process, so that an event loop may do it itself.
    """

    is_local: ClassVar[bool] = False
    documents: Documents

    # ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def tables(self) -> dict[TableName, StoredTable]:
        """All tables by (database, table) as declared."""
        return tables_in(self.documents.read())

    def catalog(self) -> Catalog:
        """The tables as the binder sees them."""
        from airflow_provider_mlfeat.sql.catalog import Catalog

        return Catalog(table.definition for table in self.tables().values())

    def table(self, database: str, name: str) -> StoredTable:
        """A table by its name in any case."""
        for (found_database, found_name), table in self.tables().items():
            if (found_database.lower(), found_name.lower()) == (database.lower(), name.lower()):
                return table
        raise UserError(f"the online store has no table '{f'{database}.' if database else ''}{name}'")

    @abstractmethod
    def create_table(self, definition: TableDefinition) -> StoredTable:
        """Create a table; one that is there with the same columns stays, one with others is an error."""

    @abstractmethod
    def keep(self, table: TableName, needs: Sequence[Need]) -> bool:
        """Keep what these needs ask for, and fill it from what is there; tells whether all of it was there.

        The needs are all that there are for this table: what none of them asks for goes away. Without needs the table
        keeps all of its rows.
        """

    @abstractmethod
    def truncate(self, table: TableName) -> None:
        """Take all rows away; loads into the table count as never done."""

    @abstractmethod
    def drop_table(self, table: TableName) -> None:
        """Forget a table with its rows."""

    @abstractmethod
    def begin_replacement(self, table: TableName, purpose: str) -> StoredTable:
        """A table without rows that is to take the place of another one; requests do not see it yet.

        Beginning with the same purpose again finds what was begun, with the rows that are in it.
        """

    @abstractmethod
    def finish_replacement(self, made: StoredTable, source: Mapping[str, Any]) -> None:
        """Let a replacement be the table from now on, in one step; the rows of before go, later puts included.

        :param made: the replacement.
        :param source: what it was loaded from.
        """

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(
        self, table: StoredTable, data: pa.Table, *, load: Load | None = None, events: Sequence[str] | None = None
    ) -> int:
        """Add rows, all or none, in their order of arrival; they are safe when this returns → how many were added.

        :param table: where to.
        :param data: rows with the table's columns.
        :param load: the part of a load that they are; one that is in the store already adds nothing.
        :param events: a name per row; a row whose name was put before is not added again.
        """
        schema = table.schema
        if data.num_rows == 0 and load is None:
            return 0
        if data.num_rows:
            columns = [Column.from_arrow(data.column(column.name), column.type) for column in schema]
        else:
            columns = [Column.from_values([], column.type) for column in schema]
        check_order_keys(table, columns)
        return self._put(table, Rows(data.num_rows, columns), load, events)

    @abstractmethod
    def _put(self, table: StoredTable, rows: Rows, load: Load | None, events: Sequence[str] | None) -> int:
        """See ``put``."""

    @abstractmethod
    def load_state(self, table: StoredTable, load: str) -> LoadState:
        """How far a load has come."""

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def history(self) -> StoredHistory:
        """The rows as the request driver reads them; for one thread."""

    @abstractmethod
    def size(self) -> Size:
        """How much there is."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is open."""

    def __exit__(self, *details: Any) -> None:
        self.close()


def check_order_keys(table: StoredTable, columns: Sequence[Column]) -> None:
    """A row that a window orders by a time it does not have is refused before anything is written."""
    names = [column.name for column in table.definition.columns]
    ordered = {series.order for series in table.series if series.order}
    ordered |= {index.ts for index in table.definition.indexes if index.ts}
    for name in sorted(ordered):
        column = columns[names.index(name)]
        row = first_bad_order_key(column)
        if row is not None:
            message = f"row {row} of '{table.qualified_name}': column '{name}' orders a window and must not be NULL or"
            raise UserError(f"{message} negative, but is {column.value(row)}")


def series_text(series: Series) -> str:
    """A series for people: ``pair_id, sku_id by time``."""
    if series.is_log:
        return "all rows"
    return f"{', '.join(series.keys) or 'all rows'} by {series.order or 'arrival'}"


def is_served(table: StoredTable, needs: Sequence[Need]) -> bool:
    """Whether the series of a table keep what these needs ask for."""
    return all(_covered(table, need) for need in needs)


def _covered(table: StoredTable, need: Need) -> bool:
    """Whether a series keeps what a need asks for."""
    series = table.find_series(need.keys, need.order)
    return series is not None and series.retention.covers(need.retention)
