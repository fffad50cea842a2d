"""Record batches as csv text, whole columns at a time.

What a reader cannot tell apart is never written: a text that holds the delimiter, a quote or a line break, that reads
like the NULL value, or that is empty, stands in quotes, and where the writer asked for no quotes such a text is an
error. Numbers keep all their digits, dates are ``yyyy-mm-dd``, timestamps milliseconds since 1970, which every time
zone reads alike.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_mlfeat.errors import UserError

_TEXT = pa.large_string()


class CsvText:
    """Writes batches of one schema as csv.

    :param schema: the columns.
    :param delimiter: between fields.
    :param null_value: what NULL is written as.
    :param quote: around every text; None quotes with ``"`` and only where it is needed; '' never quotes.
    """

    def __init__(self, schema: pa.Schema, delimiter: str, null_value: str, quote: str | None) -> None:
        self._schema = schema
        self._delimiter, self._null, self._quote = delimiter, null_value, quote
        self._mark = '"' if quote is None else quote
        special = [re.escape(character) for character in (delimiter, self._mark, "\n", "\r") if character]
        self._special = f"{'|'.join(special)}|^{re.escape(null_value)}$|^$"
        self._rows = 0

    def header(self) -> bytes:
        """The line of names."""
        names = pa.array(self._schema.names, _TEXT)
        fields = self._texts(names, "the header", always=False)
        return (self._delimiter.join(fields.to_pylist()) + "\n").encode()

    def rows(self, batch: pa.RecordBatch) -> memoryview:
        """A batch's lines."""
        columns = [self._column(array, field.name) for array, field in zip(batch.columns, batch.schema, strict=True)]
        self._rows += batch.num_rows
        options = {"null_handling": "replace", "null_replacement": self._null}
        lines = pc.binary_join_element_wise(*columns, pa.scalar(self._delimiter, _TEXT), **options)
        ended = pc.binary_join_element_wise(lines, pa.scalar("", _TEXT), pa.scalar("\n", _TEXT))
        offsets = memoryview(ended.buffers()[1]).cast("q")
        return memoryview(ended.buffers()[2] or b"")[offsets[ended.offset] : offsets[ended.offset + len(ended)]]

    def _column(self, array: pa.Array, name: str) -> pa.Array:
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.timestamp("ms", array.type.tz), safe=False).cast(pa.int64())
        is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
        try:
            texts = array.cast(_TEXT)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise UserError(
                f"column '{name}' has type {array.type}, which csv has no text for; use OPTIONS (format='parquet')"
            ) from None
        if is_text or pa.types.is_string_view(array.type):
            return self._texts(texts, f"column '{name}'", always=bool(self._quote))
        return texts

    def _texts(self, texts: pa.Array, place: str, always: bool) -> pa.Array:
        """Texts in quotes, where they need them or `always`."""
        needy = pc.match_substring_regex(texts, self._special)
        if not always and not pc.any(needy).as_py():
            return texts
        if self._mark:
            mark = pa.scalar(self._mark, _TEXT)
            doubled = pc.replace_substring(texts, self._mark, self._mark * 2)
            quoted = pc.binary_join_element_wise(mark, doubled, mark, pa.scalar("", _TEXT))
            return quoted if always else pc.if_else(needy, quoted, texts)
        # An empty text without quotes is nothing to stumble over; everything else would be read as something else.
        wrong = pc.fill_null(pc.and_(needy, pc.not_equal(texts, "")), False)
        if pc.any(wrong).as_py():
            row = pc.index(wrong, True).as_py()
            text = texts[row].as_py()
            raise UserError(
                f"{place}, row {self._rows + row + 1}: {text[:60]!r} cannot be told apart in csv without quotes; "
                "leave the option 'quote' out, or give it a character"
            )
        return texts
