"""The statements that define a table, as SHOW CREATE TABLE gives them."""

from __future__ import annotations

import re

from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, IndexDefinition, TableDefinition, TtlType
from airflow_provider_mlfeat.sql.dialect.words import CLAUSE_WORDS, RESERVED
from airflow_provider_mlfeat.sql.history import describe_offset

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")
_DEFAULT_INDEX = "index{number}"


def create_table_text(table: TableDefinition) -> str:
    """The script that creates `table`: carried out again it gives an equal definition."""
    inside = [_column(column) for column in table.columns]
    outside: list[str] = []
    for number, index in enumerate(table.indexes):
        if index.name == _DEFAULT_INDEX.format(number=number) and not outside:
            inside.append(f"INDEX ({', '.join([f'KEY = {_keys(index)}', *_index_options(index)])})")
        else:
            outside.append(_create_index(table, index))
    body = ",\n".join(f"    {line}" for line in inside)
    options = ", ".join(f"{name} = {_option(value)}" for name, value in table.options.items())
    create = f"CREATE TABLE {_qualified(table)} (\n{body}\n){f' OPTIONS ({options})' if options else ''}"
    return "".join(f"{statement};\n" for statement in (create, *outside))


def _column(column: ColumnDefinition) -> str:
    words = [_name(column.name), str(column.type)]
    if column.not_null:
        words.append("NOT NULL")
    if column.has_default:
        words.append(f"DEFAULT {_constant(column.default)}")
    return " ".join(words)


def _create_index(table: TableDefinition, index: IndexDefinition) -> str:
    options = ", ".join(_index_options(index))
    keys = ", ".join(map(_name, index.keys))
    statement = f"CREATE INDEX {_name(index.name)} ON {_qualified(table)} ({keys})"
    return f"{statement} OPTIONS ({options})" if options else statement


def _keys(index: IndexDefinition) -> str:
    keys = ", ".join(map(_name, index.keys))
    return keys if len(index.keys) == 1 else f"({keys})"


def _index_options(index: IndexDefinition) -> list[str]:
    options = [] if index.ts is None else [f"TS = {_name(index.ts)}"]
    if index.ttl_type is not TtlType.ABSOLUTE:
        options.append(f"TTL_TYPE = {index.ttl_type}")
    limits = [describe_offset(index.ttl_ms, duration=True)] if index.ttl_ms else []
    limits += [str(index.ttl_rows)] if index.ttl_rows else []
    if limits:
        options.append(f"TTL = {limits[0] if len(limits) == 1 else '({})'.format(', '.join(limits))}")
    return options


def _option(value: str | int) -> str:
    plain = isinstance(value, int) or value.startswith("[")
    return str(value) if plain else _constant(value)


def _qualified(table: TableDefinition) -> str:
    return ".".join(_name(part) for part in (table.database, table.name) if part)


def _name(name: str) -> str:
    plain = _PLAIN_NAME.fullmatch(name) and name.upper() not in RESERVED | CLAUSE_WORDS
    return name if plain else f"`{name}`"


def _constant(value: bool | int | float | str | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        return f"'{escaped}'"
    return repr(value)
