"""Which column of a file becomes which column of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.catalog import TableDefinition
from airflow_provider_mlfeat.sql.errors import nearest_name


@dataclass(frozen=True, slots=True)
class Matching:
    """A file's columns and a table's.

    :param names: the file's column names, or numbers as text where it has none.
    :param sources: for each column of the table, the place of the file's column; None gets the DEFAULT.
    """

    names: tuple[str, ...]
    sources: tuple[int | None, ...]

    def report(self, definition: TableDefinition) -> dict[str, str]:
        """The file's columns with those of the table that they fill."""
        pairs = zip(self.sources, definition.columns, strict=True)
        return {self.names[source]: column.name for source, column in pairs if source is not None}

    def defaulted(self, definition: TableDefinition) -> tuple[str, ...]:
        """The table's columns that the file does not have."""
        pairs = zip(self.sources, definition.columns, strict=True)
        return tuple(column.name for source, column in pairs if source is None)


def match_columns(definition: TableDefinition, names: Sequence[str], file: str, by_order: bool) -> Matching:
    """Match by name in any case, or by order; one sentence says all that does not fit.

    :param definition: the table.
    :param names: the file's columns.
    :param file: for the message.
    :param by_order: the first column of the file is the first of the table, and so on.
    """
    where = f"'{file}' does not fit table '{definition.qualified_name}'"
    if by_order:
        if len(names) != len(definition.columns):
            message = f"{where}: it has {len(names)} columns, the table {len(definition.columns)}"
            raise UserError(f"{message} ({', '.join(column.name for column in definition.columns)})")
        return Matching(tuple(names), tuple(range(len(names))))
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if name.lower() in places:
            raise UserError(f"{where}: it has two columns '{name}'")
        places[name.lower()] = place
    sources = tuple(places.get(column.name.lower()) for column in definition.columns)
    pairs = list(zip(definition.columns, sources, strict=True))
    missing = [column.name for column, source in pairs if source is None and not column.has_default]
    known = {column.name.lower() for column in definition.columns}
    extra = [name for name in names if name.lower() not in known]
    problems = []
    if missing:
        problems.append(f"it has no column {_list(missing)}")
    if extra:
        problems.append(f"the table has no column {_list(extra)}")
    if problems:
        hint = next((near for name in missing if (near := nearest_name(name, extra or names))), None)
        raise UserError(". ".join(filter(None, (f"{where}: {' and '.join(problems)}", hint))))
    return Matching(tuple(names), sources)


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
