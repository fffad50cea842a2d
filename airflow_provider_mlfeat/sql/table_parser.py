"""CREATE TABLE and CREATE INDEX: columns, indexes and table options."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from airflow_provider_mlfeat.sql.catalog import ColumnDefinition, IndexDefinition, TableDefinition, TtlType
from airflow_provider_mlfeat.sql.constants import literal_value
from airflow_provider_mlfeat.sql.dialect.query_parser import QueryParser
from airflow_provider_mlfeat.sql.errors import Position, SqlError, SqlNameError, SqlTypeError, nearest_name
from airflow_provider_mlfeat.sql.options import TABLE_OPTIONS, Value, check_option
from airflow_provider_mlfeat.sql.statements import CreateTable, CreateTableLike, Statement, TableName
from airflow_provider_mlfeat.sql.types import FLOATING_KINDS, INTEGER_KINDS, TIMESTAMP

_MILLISECONDS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_INDEX_OPTIONS = ("key", "ts", "ttl", "ttl_type")
_DEFAULT_TIME_ZONE = "+08:00"


class TableParser(QueryParser):
    """Parses definitions of tables and indexes."""

    def stored_table(self) -> TableName:
        """``[database.]table``."""
        table = self.table_name()
        return TableName(table.name, table.db)

    def if_not_exists(self) -> bool:
        """``IF NOT EXISTS``."""
        return self.take_word("IF", "NOT", "EXISTS")

    def create_table(self) -> Statement:
        """What follows CREATE TABLE."""
        if_not_exists = self.if_not_exists()
        name = self.stored_table()
        if self.take_word("LIKE"):
            return self._like(name, if_not_exists)
        position = self.here()
        columns: list[ColumnDefinition] = []
        indexes: list[tuple[IndexDefinition, Position]] = []
        self.need(TokenType.L_PAREN, "(")
        while True:
            start = self.here()
            if self.at_word("INDEX") and self._next.token_type is TokenType.L_PAREN:
                self._advance()
                indexes.append((self._index_definition(f"index{len(indexes)}"), start))
            else:
                columns.append(self._column_definition(columns))
            if not self._match(TokenType.COMMA) or self.at(TokenType.R_PAREN):
                break
        self.need(TokenType.R_PAREN, ")")
        if not columns:
            self.fail("a table needs a column", position=position)
        options = self._table_options() if self.take_word("OPTIONS") else {}
        for index, place in indexes:
            check_index(index, tuple(columns), place)
        definitions = tuple(index for index, _ in indexes)
        table = TableDefinition(name.database, name.name, tuple(columns), definitions, options)
        return CreateTable(table, if_not_exists)

    def _like(self, name: TableName, if_not_exists: bool) -> Statement:
        if not self.at_any(("PARQUET", "HIVE")):
            self.expected("PARQUET or HIVE")
        self._advance()
        format_ = self._prev.text.lower()
        return CreateTableLike(name, format_, self.string("the source's path"), if_not_exists)

    # ── columns ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _column_definition(self, others: list[ColumnDefinition]) -> ColumnDefinition:
        start = self.here()
        name = self.name("a column").name
        if any(other.name.lower() == name.lower() for other in others):
            raise SqlNameError(f"column '{name}' is defined twice", start)
        place = self.here()
        type_ = self.data_type()
        if type_.is_nested or str(type_) == "null":
            raise SqlTypeError(f"column '{name}' cannot have type {type_}", place)
        not_null, has_default, default = False, False, None
        while True:
            if self.take_word("NOT", "NULL"):
                not_null = True
            elif self.take_word("DEFAULT"):
                place, node = self.here(), self.scalar()
                has_default, default = True, literal_value(node, type_, _DEFAULT_TIME_ZONE)
                if default is None and not isinstance(node, exp.Null):
                    raise SqlTypeError(f"the default of '{name}' must be a constant of type {type_}", place)
            elif not self.take_word("NULL"):
                return ColumnDefinition(name, type_, not_null, default, has_default)

    # ── indexes ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _index_definition(self, name: str) -> IndexDefinition:
        """``(KEY = …, TS = …, TTL = …, TTL_TYPE = …)`` in any order."""
        position = self.here()
        keys: tuple[str, ...] = ()
        options = self.index_options(("key",))
        if isinstance(options.get("key"), tuple):
            keys = options["key"]  # type: ignore[assignment]
        if not keys:
            self.fail("an INDEX needs KEY", position=position)
        return self.index(name, keys, options)

    def index_options(self, extra: tuple[str, ...] = ()) -> dict[str, object]:
        """``(name = value, …)`` of an index."""
        options: dict[str, object] = {}
        known = tuple(option for option in _INDEX_OPTIONS if option != "key" or "key" in extra)
        self.need(TokenType.L_PAREN, "(")
        while not self.at(TokenType.R_PAREN):
            start = self.here()
            name = self.name("the name of an index option").name.lower()
            if name not in known:
                raise SqlNameError(f"unknown index option '{name}'", start, nearest_name(name, known))
            self.need(TokenType.EQ, "=")
            options[name] = getattr(self, f"_index_{name}")()
            if not self._match(TokenType.COMMA):
                break
        self.need(TokenType.R_PAREN, ")")
        return options

    def _index_key(self) -> tuple[str, ...]:
        if self.at(TokenType.L_PAREN):
            return tuple(name.name for name in self.parenthesised(lambda: self.name("a column")))
        return (self.name("a column").name,)

    def _index_ts(self) -> str:
        if self.at(TokenType.STRING):
            return self.string("a column")
        return str(self.name("a column").name)

    def _index_ttl_type(self) -> TtlType:
        position = self.here()
        text = self.string("") if self.at(TokenType.STRING) else self.name("a TTL type").name
        try:
            return TtlType(text.lower())
        except ValueError:
            known = [ttl_type.value for ttl_type in TtlType]
            raise SqlNameError(f"unknown TTL type '{text}'", position, nearest_name(text, known)) from None

    def _index_ttl(self) -> list[int | str]:
        """``1d``, ``10`` or ``(1d, 10)``; a time is kept in milliseconds after the letter t."""
        if self.at(TokenType.L_PAREN):
            return self.parenthesised(self._time_to_live)
        return [self._time_to_live()]

    def _time_to_live(self) -> int | str:
        token = self._curr
        if token.token_type is TokenType.STRING:
            self._advance()
            text = token.text.lower()
            if text.isdigit():
                return int(text)
            if text[:-1].isdigit() and text[-1] in _MILLISECONDS:
                return f"t{int(text[:-1]) * _MILLISECONDS[text[-1]]}"
            self.fail("a TTL is a number of rows or a time like 12h", position=self.position(token, token))
        if token.token_type is not TokenType.NUMBER or not token.text.isdigit():
            self.expected("a number of rows or a time like 12h")
        self._advance()
        if self._is_connected() and self.at(TokenType.VAR):
            unit = self._curr.text.lower()
            if unit not in _MILLISECONDS:
                self.fail(f"unknown time unit '{self._curr.text}'", "Units are s, m, h and d.")
            self._advance()
            return f"t{int(token.text) * _MILLISECONDS[unit]}"
        return int(token.text)

    def index(self, name: str, keys: tuple[str, ...], options: dict[str, object]) -> IndexDefinition:
        """The index of the options read so far."""
        ts, ttl_type = options.get("ts"), options.get("ttl_type", TtlType.ABSOLUTE)
        assert isinstance(ttl_type, TtlType)
        assert ts is None or isinstance(ts, str)
        parts = options.get("ttl", [])
        assert isinstance(parts, list)
        milliseconds = [int(part[1:]) for part in parts if isinstance(part, str)]
        rows = [part for part in parts if isinstance(part, int) and part > 0]
        wanted = {TtlType.ABSOLUTE: (1, 0), TtlType.LATEST: (0, 1)}.get(ttl_type, (1, 1))
        if len(milliseconds) > wanted[0] or len(rows) > wanted[1] or len(parts) > 2:
            what = {TtlType.ABSOLUTE: "a time like 12h", TtlType.LATEST: "a number of rows"}
            words = what.get(ttl_type, "(a time, a number of rows)")
            raise SqlError(f"TTL of type {ttl_type} takes {words}", self.here())
        return IndexDefinition(name, keys, ts, ttl_type, sum(milliseconds), sum(rows))

    # ── options ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _table_options(self) -> dict[str, str | int]:
        options: dict[str, str | int] = {}
        self.need(TokenType.L_PAREN, "(")
        while not self.at(TokenType.R_PAREN):
            position = self.here()
            name = self.name("the name of a table option").name
            self.need(TokenType.EQ, "=")
            key, value = check_option(TABLE_OPTIONS, name, self._table_option_value(), "table option", position)
            options[key] = value
            if not self._match(TokenType.COMMA):
                break
        self.need(TokenType.R_PAREN, ")")
        return options

    def _table_option_value(self) -> Value:
        """A word, a string, a number or, for DISTRIBUTION, a list in brackets, which is kept as text."""
        first = self._curr
        if first.token_type is TokenType.L_BRACKET:
            depth = 0
            while self._curr:
                depth += self.at(TokenType.L_BRACKET)
                depth -= self.at(TokenType.R_BRACKET)
                self._advance()
                if depth == 0:
                    return str(self.sql[first.start : self._prev.end + 1])
            self.expected("']'")
        if first.token_type in (TokenType.STRING, TokenType.VAR):
            self.marks.names.add(first.start)
            self._advance()
            return str(first.text)
        return self.whole_number("a value")


def check_index(index: IndexDefinition, columns: tuple[ColumnDefinition, ...], position: Position | None) -> None:
    """Raise unless the index's columns exist and have types that an index takes."""
    by_name = {column.name.lower(): column for column in columns}
    for name in (*index.keys, *filter(None, (index.ts,))):
        if name.lower() not in by_name:
            known = [column.name for column in columns]
            raise SqlNameError(f"unknown column '{name}' in INDEX", position, nearest_name(name, known))
    for name in index.keys:
        if by_name[name.lower()].type.kind in FLOATING_KINDS:
            raise SqlTypeError(f"column '{name}' of type {by_name[name.lower()].type} is no index key", position)
    ts = by_name[index.ts.lower()] if index.ts is not None else None
    if ts is not None and ts.type.kind not in INTEGER_KINDS and ts.type != TIMESTAMP:
        raise SqlTypeError(
            f"column '{ts.name}' of type {ts.type} cannot be the TS of an index",
            position,
            "TS is a column of type timestamp, bigint, int or smallint.",
        )
