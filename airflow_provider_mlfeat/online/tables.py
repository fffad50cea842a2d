"""What the store knows of its tables, as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.online.documents import Draft
from airflow_provider_mlfeat.online.series import EVERYTHING, Need, Series, TableName, union
from airflow_provider_mlfeat.sql.catalog import TableDefinition
from airflow_provider_mlfeat.sql.plan import Column, Schema
from airflow_provider_mlfeat.tables.definitions import from_document, to_document

_PREFIX, _LOADING = "table/", "loading/"
_COUNTERS = "counters"


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table of the store.

    :param number: its name within the store; a number is never used again.
    :param definition: its columns.
    :param series: what is kept of it.
    :param complete: whether the series hold every row that was ever put, so that any other series can be made of them.
    :param emptied: how many arrivals there had been when it last had no rows.
    :param source: what it was last loaded from, as the loader notes it.
    :param loading: of rows that are to take the place of the table's: what they are; empty for the table itself.
    """

    number: int
    definition: TableDefinition
    series: tuple[Series, ...]
    complete: bool = True
    emptied: int = 0
    source: Mapping[str, Any] = field(default_factory=dict)
    loading: str = ""

    @property
    def name(self) -> TableName:
        """(database, table) as declared."""
        return self.definition.database, self.definition.name

    @property
    def qualified_name(self) -> str:
        """``database.table``, or only the table in the default database."""
        return self.definition.qualified_name

    @property
    def schema(self) -> Schema:
        """The columns as plans know them."""
        return tuple(Column(column.name, column.type) for column in self.definition.columns)

    def find_series(self, keys: Sequence[str], order: str | None) -> Series | None:
        """The series of these keys in this order."""
        wanted = tuple(keys), order
        return next((one for one in self.series if (one.keys, one.order) == wanted and not one.filling), None)

    def save(self, draft: Draft) -> None:
        """Write the document."""
        document = {
            "number": self.number,
            "definition": to_document(self.definition),
            "series": [series.to_document() for series in self.series],
            "complete": self.complete,
            "emptied": self.emptied,
            "source": dict(self.source),
            "loading": self.loading,
        }
        draft.put(self.document, document)

    @property
    def document(self) -> str:
        """The name of its document."""
        return document_name(self.name, bool(self.loading))


def document_name(name: TableName, loading: bool = False) -> str:
    """The name of a table's document, or of that of the rows that are to take the place of the table's."""
    return f"{_LOADING if loading else _PREFIX}{name[0].lower()}/{name[1].lower()}"


def find_table(draft: Draft, name: TableName, loading: bool = False) -> StoredTable | None:
    """The table of that name, in any case."""
    document = draft.get(document_name(name, loading))
    return None if document is None else _table(document)


def get_table(draft: Draft, name: TableName, loading: bool = False) -> StoredTable:
    """The table of that name; raises UserError when there is none."""
    table = find_table(draft, name, loading)
    if table is None:
        raise UserError(f"the online store has no table '{'.'.join(filter(None, name))}'")
    return table


def tables_in(draft: Draft) -> dict[TableName, StoredTable]:
    """All tables."""
    tables = [_table(document) for document in draft.list(_PREFIX).values()]
    return {table.name: table for table in tables}


def _table(document: Mapping[str, Any]) -> StoredTable:
    series = tuple(Series.from_document(one) for one in document["series"])
    definition = from_document(document["definition"])
    flags = {name: document[name] for name in ("complete", "emptied", "source", "loading")}
    return StoredTable(document["number"], definition, series, **flags)


def new_table(draft: Draft, definition: TableDefinition) -> StoredTable:
    """A table that keeps all of its rows, or the one that is there with the same columns."""
    found = find_table(draft, (definition.database, definition.name))
    if found is not None:
        if _columns(found.definition) != _columns(definition):
            raise UserError(f"the online store has a table '{definition.qualified_name}' with other columns")
        return found
    table = StoredTable(next_number(draft), definition, (Series(next_number(draft), (), None, EVERYTHING),))
    table.save(draft)
    return table


def with_needs(draft: Draft, table: StoredTable, needs: Sequence[Need]) -> StoredTable:
    """The table with one series per need; a series that stays keeps its number.

    A series that has to keep more than before gets a new number where rows of it may have gone, so that it is filled
    anew from what there is.
    """
    wanted = union(needs) or [Need(table.name)]
    series = []
    for need in sorted(wanted, key=lambda one: (one.keys, one.order or "")):
        old = table.find_series(need.keys, need.order)
        if old is None or not old.retention.covers(need.retention) or not _has_buckets(old, need):
            series.append(Series(next_number(draft), need.keys, need.order, need.retention, buckets=need.buckets))
        else:
            # More parts than are needed stay, because they have places in what is stored.
            series.append(replace(old, retention=need.retention, buckets=need.buckets and old.buckets))
    return replace(table, series=tuple(series))


def _has_buckets(series: Series, need: Need) -> bool:
    return need.buckets is None or (series.buckets is not None and series.buckets.covers(need.buckets))


def new_replacement(draft: Draft, table: StoredTable, purpose: str) -> tuple[StoredTable, StoredTable | None]:
    """An empty table that is to take the place of another one, or one with this purpose that somebody began.

    The second one is what was begun for another purpose, or for other series: its rows are to be forgotten.
    """
    begun = find_table(draft, table.name, loading=True)
    if begun is not None and begun.loading == purpose and same_series(begun, table):
        return begun, None
    series = tuple(replace(one, number=next_number(draft)) for one in table.series if not one.filling)
    made = StoredTable(next_number(draft), table.definition, series, loading=purpose)
    made.save(draft)
    return made, begun


def put_in_place(draft: Draft, made: StoredTable, source: Mapping[str, Any], arrivals: int) -> StoredTable:
    """Let a replacement be the table from now on → the table that it was before.

    :param draft: where both are.
    :param made: the replacement.
    :param source: what it was loaded from.
    :param arrivals: how many rows it got.
    """
    old = get_table(draft, made.name)
    if not same_series(old, made):
        message = f"what deployments need of '{made.qualified_name}' changed while it was loaded"
        raise TransientError(f"{message}: the load has to begin again")
    has_log = any(series.is_log for series in made.series)
    draft.delete(made.document)
    replace(made, loading="", source=source, complete=has_log, emptied=arrivals if not arrivals else -1).save(draft)
    return old


def same_series(one: StoredTable, other: StoredTable) -> bool:
    """Whether two tables keep the same."""
    return [(s.keys, s.order, s.retention, s.buckets) for s in one.series] == [
        (s.keys, s.order, s.retention, s.buckets) for s in other.series
    ]


def next_number(draft: Draft) -> int:
    """A number that was never used in this store."""
    number = int((draft.get(_COUNTERS) or {}).get("numbers", 0)) + 1
    draft.put(_COUNTERS, {"numbers": number})
    return number


def _columns(definition: TableDefinition) -> list[tuple[str, str]]:
    return [(column.name, str(column.type)) for column in definition.columns]
