"""Text files cut at ends of rows: parts for workers, and blocks that fit in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.formats.reader import Part, unreadable
from airflow_provider_mlfeat.tables.source_files import SourceFile

BLOCK_BYTES = 16 << 20
_PART_BYTES = 64 << 20
_LONGEST_ROW = 64 << 20
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".br")
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class TextFile:
    """A text file of rows that end with a line's end outside of quotes.

    :param file: which.
    :param quote: the quote character, or b'' where none hides line ends.
    """

    def __init__(self, file: SourceFile, quote: bytes) -> None:
        self.file, self.quote = file, quote
        self._compressed = file.path.endswith(_COMPRESSED)
        head = self._read_head(4)
        for mark, encoding in _OTHER_ENCODINGS.items():
            if head.startswith(mark):
                raise UserError(f"'{file.name}' is {encoding} text; only UTF-8 can be loaded")
        self.start = len(_BYTE_ORDER_MARK) if head.startswith(_BYTE_ORDER_MARK) else 0

    def first_rows(self) -> bytes:
        """Whole rows from the beginning; empty for an empty file."""
        return next(self.blocks(Part(self.start, self.file.size, 0), 1 << 16), b"")

    def estimate_rows(self, first: bytes) -> int:
        """How many rows there are when all are like the first."""
        size = self.file.size * (4 if self._compressed else 1)
        return max(1, first.count(b"\n")) * size // max(1, len(first))

    def parts(self, start: int, workers: int) -> Sequence[Part]:
        """Pieces that begin and end with rows; a compressed file is one piece."""
        size = self.file.size
        if self._compressed or workers == 1 or size - start < BLOCK_BYTES:
            return [Part(start, size, size)]
        most = min(_PART_BYTES, max(BLOCK_BYTES, -(-(size - start) // workers)))
        parts, begin, position = [], start, start
        with _Bytes(self.file) as source:
            while begin < size:
                while position < size and position - begin < most:
                    position += len(self._whole_rows(source, position, min(BLOCK_BYTES, most), size))
                parts.append(Part(begin, position, position - begin))
                begin = position
        return parts

    def blocks(self, part: Part, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Whole rows, some at a time."""
        if self._compressed:
            yield from self._stream_blocks(part.begin, size)
            return
        position = part.begin
        with _Bytes(self.file) as source:
            while position < part.end:
                block = self._whole_rows(source, position, size, part.end)
                position += len(block)
                yield block

    def _whole_rows(self, source: _Bytes, position: int, size: int, end: int) -> bytes:
        """Rows from a position on, of about so many bytes."""
        while True:
            size = min(size, end - position)
            block = source.read(position, size)
            if len(block) < size:
                raise UserError(f"'{self.file.name}' became shorter while it was read")
            if position + size == end:
                return block
            if length := self._end_of_rows(block):
                return block[:length]
            if size >= _LONGEST_ROW:
                raise self._endless(position)
            size *= 2

    def _endless(self, position: int) -> UserError:
        hint = " (an opened quote that is never closed? quote='' takes quotes as text)" if self.quote else ""
        return UserError(f"'{self.file.name}': no row ends within {_LONGEST_ROW >> 20} MiB after byte {position}{hint}")

    def _end_of_rows(self, block: bytes) -> int:
        """Length of the whole rows at the beginning of a block; 0 when none is whole."""
        end = block.rfind(b"\n")
        if not self.quote:
            return end + 1
        quotes = block.count(self.quote, 0, end) if end >= 0 else 0
        while end >= 0 and quotes % 2:
            before = block.rfind(b"\n", 0, end)
            quotes -= block.count(self.quote, max(before, 0), end)
            end = before
        return end + 1

    def open_quote(self) -> UserError:
        """The error of a file whose quotes do not pair, with the line of the last one that is opened."""
        lines = 1
        for block in self.blocks(Part(self.start, self.file.size, 0)):
            whole = self._end_of_rows(block) if block.count(self.quote) % 2 else len(block)
            lines += block.count(b"\n", 0, whole)
        quote = self.quote.decode()
        message = f"'{self.file.name}' line {lines}: a quote {quote} is opened and never closed"
        return UserError(f"{message}; option quote='' takes quotes as text")

    def _read_head(self, size: int) -> bytes:
        with unreadable(self.file.name, "compressed text"), self._stream() as stream:
            return bytes(stream.read(size))

    def _stream(self) -> Any:
        return self.file.system.open_input_stream(self.file.path, compression="detect" if self._compressed else None)

    def _stream_blocks(self, start: int, size: int) -> Iterator[bytes]:
        rest = b""
        with unreadable(self.file.name, "compressed text"):
            stream = self._stream()
        with stream:
            with unreadable(self.file.name, "compressed text"):
                stream.read(start)
            while True:
                with unreadable(self.file.name, "compressed text"):
                    more = stream.read(size)
                if not more:
                    break
                block = rest + more
                length = self._end_of_rows(block)
                if not length and len(block) > _LONGEST_ROW:
                    raise self._endless(start)
                if length:
                    yield block[:length]
                rest = block[length:]
        if rest:
            yield rest


class _Bytes:
    """Bytes of a file at any place; a local file is read without going through Arrow."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file

    def __enter__(self) -> _Bytes:
        with unreadable(self._file.name, "a text file"):
            if self._file.is_local:
                self._opened: Any = Path(self._file.path).open("rb", buffering=0)
            else:
                self._opened = self._file.system.open_input_file(self._file.path)
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def read(self, position: int, size: int) -> bytes:
        """So many bytes from a position, fewer at the end."""
        with unreadable(self._file.name, "a text file"):
            if self._file.is_local:
                return os.pread(self._opened.fileno(), size, position)
            return bytes(self._opened.read_at(size, position))


def as_buffer(block: bytes) -> Any:
    """An Arrow file over a block."""
    return pa.BufferReader(pa.py_buffer(block))
