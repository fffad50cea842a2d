"""CSV: rows of delimited text, parsed block by block into the table's types."""

from __future__ import annotations

import csv as plain_csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.sql.types import Kind
from airflow_provider_mlfeat.tables.conform import Chunk, Conformer, Rejection
from airflow_provider_mlfeat.tables.formats.reader import Part, Reader
from airflow_provider_mlfeat.tables.formats.text_blocks import Block, TextFile, as_buffer
from airflow_provider_mlfeat.tables.load_options import LoadOptions
from airflow_provider_mlfeat.tables.source_files import SourceFile
from airflow_provider_mlfeat.tables.texts import FALSE, TRUE

_CONVERSION = re.compile(r"In CSV column #(\d+): ")
_LOCAL_TIME = pa.timestamp("us")


class CsvReader(Reader):
    """A csv file.

    :param file: which.
    :param options: how it is written.
    """

    def __init__(self, file: SourceFile, options: LoadOptions) -> None:
        self.file, self._options = file, options
        self._text = TextFile(file, options.quote.encode())
        self._first = self._text.first_rows()
        self._start = self._text.start
        self.has_names = options.header
        row, length = self._first_row()
        if options.header:
            if not row:
                raise UserError(f"'{file.name}' is empty; with header=true its first line holds the names")
            self._start += length
        self.names = row if options.header else [str(number + 1) for number in range(len(row))]
        # How each column was read the last time: what worked for one block most likely works for the next.
        self._read_as: dict[int, pa.DataType] = {}

    def _first_row(self) -> tuple[list[str], int]:
        """The fields of the first row that is not empty, and where it ends."""
        begin = len(self._first) - len(self._first.lstrip(b"\r\n"))
        end = begin
        while True:
            found = self._first.find(b"\n", end)
            end = len(self._first) if found < 0 else found + 1
            quote = self._options.quote.encode()
            if found < 0 or not quote or self._first.count(quote, begin, end) % 2 == 0:
                break
        try:
            text = self._first[begin:end].decode()
        except UnicodeDecodeError:
            raise UserError(f"'{self.file.name}' is not UTF-8: its first line has other bytes") from None
        lines = plain_csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self._options.delimiter,
            quotechar=self._options.quote or None,
            quoting=plain_csv.QUOTE_MINIMAL if self._options.quote else plain_csv.QUOTE_NONE,
        )
        return next(lines, []), end

    def estimate_rows(self) -> int:
        """How many rows there are, about."""
        return self._text.estimate_rows(self._first)

    def parts(self, workers: int) -> Iterable[Part]:
        """Pieces between row ends."""
        return self._text.parts(self._start, workers)

    def chunks(self, part: Part, conform: Conformer) -> Iterator[Chunk]:
        """The rows of a piece."""
        for block in self._text.blocks(part):
            yield self._chunk(block, conform)

    def _chunk(self, block: Block, conform: Conformer) -> Chunk:
        targets = {
            source: _LOCAL_TIME if column.type.kind is Kind.TIMESTAMP else stored.type
            for source, column, stored in zip(
                conform.matching.sources, conform.definition.columns, conform.schema, strict=True
            )
            if source is not None
        }
        types = targets | {place: type_ for place, type_ in self._read_as.items() if place in targets}
        while True:
            ragged: list[Rejection] = []
            try:
                table = self._parse(block, types, ragged)
                break
            except pa.ArrowInvalid as error:
                place = _CONVERSION.match(str(error))
                if place is None:
                    raise UserError(f"'{self.file.name}' is not csv: {str(error).splitlines()[0]}") from error
                number = int(place[1])
                types[number] = self._other_type(types[number])
                if types[number] == pa.int64():
                    self._read_as[number] = pa.int64()
        columns: list[Any] = [None] * len(self.names)
        for source in targets:
            column = table.column(str(source))
            local = column.type == _LOCAL_TIME
            columns[source] = conform.texts.to_utc(column) if local else column
        positions = None
        if ragged:
            positions = np.delete(np.arange(table.num_rows + len(ragged)), [refused.row for refused in ragged])
        return conform(columns, table.num_rows, ragged, positions)

    @staticmethod
    def _other_type(type_: pa.DataType) -> pa.DataType:
        """How to read a column when a value of it is not of this type."""
        if type_ == _LOCAL_TIME:
            return pa.int64()
        return pa.binary() if type_ in (pa.string(), pa.large_string()) else pa.string()

    def _parse(self, block: Block, types: dict[int, pa.DataType], ragged: list[Rejection]) -> pa.Table:
        options = self._options

        def refuse(row: csv.InvalidRow) -> str:
            reason = f"has {row.actual_columns} fields, not {row.expected_columns}"
            ragged.append(Rejection(row.number - 1, "", row.text[:200], reason))
            return "skip"

        return csv.read_csv(
            as_buffer(block),
            csv.ReadOptions(
                use_threads=False,
                block_size=len(block) + 1,
                column_names=[str(number) for number in range(len(self.names))],
            ),
            csv.ParseOptions(
                delimiter=options.delimiter,
                quote_char=options.quote or False,
                newlines_in_values=bool(options.quote),
                invalid_row_handler=refuse,
            ),
            csv.ConvertOptions(
                column_types={str(place): type_ for place, type_ in types.items()},
                include_columns=[str(place) for place in types],
                null_values=[options.null_value, ""],
                true_values=TRUE,
                false_values=FALSE,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
