"""Names: which columns an expression can see, and what a name means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlglot import exp

from airflow_provider_mlfeat.sql.dialect.positions import position_of
from airflow_provider_mlfeat.sql.errors import SqlNameError, nearest_name
from airflow_provider_mlfeat.sql.plan import Column, ColumnReference, Relation, Schema
from airflow_provider_mlfeat.sql.types import DataType


@dataclass(frozen=True, slots=True)
class Field:
    """A column that expressions can name.

    :param name: the column's name.
    :param type: its type.
    :param relation: the table or alias that it belongs to; None for a computed column of a sub-query without alias.
    :param database: the table's database; None for an alias, which belongs to whatever database is current.
    """

    name: str
    type: DataType
    relation: str | None = None
    database: str | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound relation and the names of its columns.

    :param relation: the plan.
    :param fields: one per column of the plan's schema.
    """

    relation: Relation
    fields: tuple[Field, ...]

    def renamed(self, alias: str) -> Bound:
        """The same relation under an alias, which hides the qualifiers from inside."""
        return replace(self, fields=tuple(Field(field.name, field.type, alias) for field in self.fields))


def schema_of(fields: Iterable[Field]) -> Schema:
    """The plan's columns for `fields`."""
    return tuple(Column(field.name, field.type) for field in fields)


@dataclass(frozen=True, slots=True)
class Scope:
    """The columns that an expression can see.

    :param fields: the columns, by position.
    :param database: the current database, in which unqualified table names are looked up.
    """

    fields: tuple[Field, ...]
    database: str

    def resolve(self, column: exp.Column) -> ColumnReference:
        """The column that a name means; raises SqlNameError when there is none or more than one."""
        wanted = column.name.lower()
        found = [index for index in self._visible(column) if self.fields[index].name.lower() == wanted]
        if len(found) == 1:
            return ColumnReference(found[0], self.fields[found[0]].type)
        raise self._ambiguous(column, found) if found else self._unknown(column)

    def star(self, column: exp.Column | None = None) -> list[int]:
        """Positions of all columns, or of those of a qualifier."""
        if column is None:
            return list(range(len(self.fields)))
        found = self._visible(column)
        if not found:
            raise self._unknown_relation(column)
        return found

    def _visible(self, column: exp.Column) -> list[int]:
        return [index for index, field in enumerate(self.fields) if self._matches(field, column.table, column.db)]

    def _matches(self, field: Field, table: str, database: str) -> bool:
        if not table:
            return True
        if field.relation is None or field.relation.lower() != table.lower():
            return False
        if field.database is None:
            # The default database has no name, so that any name may stand for it.
            return not database or not self.database or database.lower() == self.database.lower()
        return field.database.lower() == (database or self.database).lower()

    # ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ambiguous(self, column: exp.Column, found: list[int]) -> SqlNameError:
        places = sorted({self._qualifier(self.fields[index]) or "a sub-query" for index in found})
        text = _written(column)
        if len(places) == 1:
            return SqlNameError(f"column '{text}' is ambiguous: {places[0]} has it more than once", position_of(column))
        return SqlNameError(f"column '{text}' is ambiguous: it is in {' and in '.join(places)}", position_of(column))

    def _unknown(self, column: exp.Column) -> SqlNameError:
        if not self.fields:
            return SqlNameError(f"column '{_written(column)}' needs a table in FROM", position_of(column))
        visible = self._visible(column)
        if column.table and not visible:
            return self._unknown_relation(column)
        place = f" in '{'.'.join(filter(None, (column.db, column.table)))}'" if column.table else ""
        known = [self.fields[index].name for index in visible]
        suggestion = nearest_name(column.name, known)
        return SqlNameError(f"unknown column '{column.name}'{place}", position_of(column), suggestion)

    def _unknown_relation(self, column: exp.Column) -> SqlNameError:
        written = ".".join(filter(None, (column.db, column.table)))
        known = sorted({self._qualifier(field) for field in self.fields} - {""})
        elsewhere = [name for name in known if name.lower().endswith(f".{column.table.lower()}")]
        suggestion = f"Did you mean '{elsewhere[0]}'?" if elsewhere else nearest_name(written, known)
        return SqlNameError(f"no table or alias '{written}' here", position_of(column), suggestion)

    def _qualifier(self, field: Field) -> str:
        if field.relation is None:
            return ""
        if field.database is None or field.database.lower() == self.database.lower():
            return field.relation
        return f"{field.database}.{field.relation}"


def _written(column: exp.Column) -> str:
    return ".".join(filter(None, (column.db, column.table, column.name)))
