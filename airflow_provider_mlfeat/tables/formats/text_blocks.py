"""Text files cut at ends of rows: parts for workers, and blocks that fit in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
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

    def parts(self, start: int, workers: int) -> Iterator[Part]:
        """Pieces that begin and end with rows; a compressed file is one piece."""
        size = self.file.size
        if self._compressed:
            yield Part(start, size, size)
            return
        most = min(_PART_BYTES, max(BLOCK_BYTES, -(-(size - start) // workers)))
        with _Bytes(self.file) as source:
            begin, position, cuts = start, start, []
            while position < size:
                position += len(self._whole_rows(source, position, BLOCK_BYTES, size))
                cuts.append(position)
                if position - begin >= most or position == size:
                    yield Part(begin, position, position - begin, tuple(cuts))
                    begin, cuts = position, []

    def blocks(self, part: Part, size: int = 0) -> Iterator[bytes]:
        """Whole rows, some at a time."""
        if self._compressed:
            yield from self._stream_blocks(part.begin, size or BLOCK_BYTES)
            return
        position = part.begin
        with _Bytes(self.file) as source:
            for cut in part.cuts:
                yield self._read(source, position, cut - position)
                position = cut
            while position < part.end:
                block = self._whole_rows(source, position, size or BLOCK_BYTES, part.end)
                position += len(block)
                yield block

    def _whole_rows(self, source: _Bytes, position: int, size: int, end: int) -> bytes:
        """Rows from a position on, of about so many bytes."""
        while True:
            size = min(size, end - position)
            block = self._read(source, position, size)
            if position + size == end:
                if self.quote and _count(block, self.quote, len(block)) % 2:
                    raise self._open_quote(source, position, block)
                return block
            if length := self._end_of_rows(block):
                return block[:length]
            if size >= _LONGEST_ROW:
                raise self._endless(position)
            size *= 2

    def _read(self, source: _Bytes, position: int, size: int) -> bytes:
        block = source.read(position, size)
        if len(block) < size:
            raise UserError(f"'{self.file.name}' became shorter while it was read")
        return block

    def _endless(self, position: int) -> UserError:
        hint = " (an opened quote that is never closed? quote='' takes quotes as text)" if self.quote else ""
        return UserError(f"'{self.file.name}': no row ends within {_LONGEST_ROW >> 20} MiB after byte {position}{hint}")

    def _end_of_rows(self, block: bytes) -> int:
        """Length of the whole rows at the beginning of a block; 0 when none is whole."""
        end = block.rfind(b"\n")
        if not self.quote:
            return end + 1
        quotes = _count(block, self.quote, end) if end >= 0 else 0
        while end >= 0 and quotes % 2:
            before = block.rfind(b"\n", 0, end)
            quotes -= block.count(self.quote, max(before, 0), end)
            end = before
        return end + 1

    def _open_quote(self, source: _Bytes, position: int, block: bytes) -> UserError:
        """The error of a file whose quotes do not pair, with the line of the last one that is opened."""
        lines = 1 + block.count(b"\n", 0, self._end_of_rows(block))
        for start in range(0, position, BLOCK_BYTES):
            lines += source.read(start, min(BLOCK_BYTES, position - start)).count(b"\n")
        message = f"'{self.file.name}' line {lines}: a quote {self.quote.decode()} is opened and never closed"
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
        if self.quote and rest.count(self.quote) % 2:
            raise UserError(f"'{self.file.name}': a quote {self.quote.decode()} is opened and never closed")
        if rest:
            yield rest


def _count(block: bytes, letter: bytes, end: int) -> int:
    """How often a letter stands before `end`; faster than bytes can count where it is frequent."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8, end) == letter[0]))


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
