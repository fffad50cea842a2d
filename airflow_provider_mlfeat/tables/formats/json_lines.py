"""JSON lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.types import Kind
from airflow_provider_mlfeat.tables.conform import Chunk, Conformer, Rejection
from airflow_provider_mlfeat.tables.formats.reader import Part, Reader
from airflow_provider_mlfeat.tables.formats.text_blocks import TextFile, as_buffer
from airflow_provider_mlfeat.tables.source_files import SourceFile

_BLOCK_BYTES = 8 << 20


class JsonReader(Reader):
    """A file of JSON objects.

    A name that an object does not have gets the column's DEFAULT, or NULL; one that the table does not have is refused.

    :param file: which.
    :param columns: names of the table's columns.
    """

    def __init__(self, file: SourceFile, columns: Sequence[str]) -> None:
        self.file = file
        self._text = TextFile(file, b"")
        self._first = self._text.first_rows()
        names: dict[str, None] = {}
        for line in self._first.splitlines()[:100]:
            with suppress(UserError):
                names.update(dict.fromkeys(_object(line, "")))
        if not names and self._first.strip():
            raise UserError(f"'{file.name}' holds no JSON objects, one a line")
        given = {name.lower() for name in names}
        self.names = [*names, *(name for name in columns if name.lower() not in given)]

    def estimate_rows(self) -> int:
        """How many rows there are, about."""
        return self._text.estimate_rows(self._first)

    def parts(self, workers: int) -> Iterable[Part]:
        """Pieces between line ends."""
        return self._text.parts(self._text.start, workers)

    def chunks(self, part: Part, conform: Conformer) -> Iterator[Chunk]:
        """The rows of a piece."""
        for rows in self._text.blocks(part, _BLOCK_BYTES):
            block = bytes(rows)
            yield self._fast(block, conform) or self._line_by_line(block, conform)

    def _fast(self, block: bytes, conform: Conformer) -> Chunk | None:
        """The rows of a block in which every value has the table's type; None when one has not."""
        from pyarrow import json as arrow_json

        texts = (Kind.TIMESTAMP, Kind.DATE)
        fields = {
            self.names[source]: pa.string() if column.type.kind in texts else stored.type
            for source, column, stored in zip(
                conform.matching.sources, conform.definition.columns, conform.schema, strict=True
            )
            if source is not None
        }
        moments = {
            self.names[source]: pa.int64()
            for source, column in zip(conform.matching.sources, conform.definition.columns, strict=True)
            if source is not None and column.type.kind is Kind.TIMESTAMP
        }
        for types in (fields | moments, fields):
            try:
                table = arrow_json.read_json(
                    as_buffer(block),
                    arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
                    arrow_json.ParseOptions(
                        explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior="error"
                    ),
                )
            except pa.ArrowInvalid:
                continue
            columns = [table.column(name) if name in types else None for name in self.names]
            if self._may_need_defaults(columns, conform):
                return None
            return conform(columns, table.num_rows)
        return None

    def _may_need_defaults(self, columns: Sequence[Any], conform: Conformer) -> bool:
        """Whether a column with a DEFAULT has NULLs: only the text knows which of them stand there and which miss."""
        pairs = zip(conform.matching.sources, conform.definition.columns, strict=True)
        return any(
            source is not None and column.default is not None and columns[source].null_count for source, column in pairs
        )

    def _line_by_line(self, block: bytes, conform: Conformer) -> Chunk:
        refused: list[Rejection] = []
        kept: list[int] = []
        rows: list[dict[str, str | None]] = []
        lines = [line for line in block.splitlines() if line.strip()]
        known = set(self.names)
        for number, line in enumerate(lines):
            try:
                values = _object(line, "the line")
            except UserError as error:
                refused.append(Rejection(number, "", line[:200].decode("utf-8", "backslashreplace"), str(error)))
                continue
            other = sorted(values.keys() - known)
            if other:
                refused.append(Rejection(number, other[0], _text(values[other[0]]) or "", "is no column of the table"))
                continue
            rows.append({name: _text(value) for name, value in values.items()})
            kept.append(number)
        columns: list[Any] = [pa.array([row.get(name) for row in rows], pa.string()) for name in self.names]
        absent = {place: np.array([name not in row for row in rows], np.bool_) for place, name in enumerate(self.names)}
        return conform(columns, len(rows), refused, np.array(kept, np.int64), absent)


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{where} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{where} is no JSON object")
    return found


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
