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
_CACHED = 1 << 18
_PART_BYTES = 64 << 20
_LONGEST_ROW = 64 << 20
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".br")
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Block = bytes | memoryview


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
        return bytes(next(self.blocks(Part(self.start, self.file.size, 0), 1 << 16), b""))

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
                position += self._row_end(source, position, BLOCK_BYTES, size)
                cuts.append(position)
                if position - begin >= most or position == size:
                    yield Part(begin, position, position - begin, tuple(cuts))
                    begin, cuts = position, []

    def blocks(self, part: Part, size: int = 0) -> Iterator[Block]:
        """Whole rows, some at a time; a block holds only until the next one is asked for."""
        if self._compressed:
            yield from self._stream_blocks(part.begin, size or BLOCK_BYTES)
            return
        position = part.begin
        with _Bytes(self.file) as source:
            for cut in part.cuts:
                source.fill(position, cut - position)
                yield memoryview(source.buffer)[: cut - position]
                position = cut
            while position < part.end:
                length = self._fill(source, position, size or BLOCK_BYTES, part.end)
                yield memoryview(source.buffer)[:length]
                position += length

    def _row_end(self, source: _Bytes, position: int, size: int, end: int) -> int:
        """Length of the whole rows in so many bytes from a position on, read in pieces that the processor caches."""
        last = (size - 1) // _CACHED * _CACHED
        if position + size < end:
            quotes = 0
            for start in range(0, last if self.quote else 0, _CACHED):
                source.fill(position + start, _CACHED)
                quotes += _count(source.buffer, self.quote, _CACHED)
            source.fill(position + last, size - last)
            if length := self._end_of_rows(source.buffer, size - last, quotes):
                return last + length
        return self._fill(source, position, size, end)

    def _fill(self, source: _Bytes, position: int, size: int, end: int) -> int:
        """Fill the buffer with rows from a position on, of about so many bytes; how many there are."""
        while True:
            size = min(size, end - position)
            source.fill(position, size)
            if position + size == end:
                if self.quote and _count(source.buffer, self.quote, size) % 2:
                    raise self._open_quote(source, position, size)
                return size
            if length := self._end_of_rows(source.buffer, size):
                return length
            if size >= _LONGEST_ROW:
                raise self._endless(position)
            size *= 2

    def _endless(self, position: int) -> UserError:
        hint = " (an opened quote that is never closed? quote='' takes quotes as text)" if self.quote else ""
        return UserError(f"'{self.file.name}': no row ends within {_LONGEST_ROW >> 20} MiB after byte {position}{hint}")

    def _end_of_rows(self, block: bytes | bytearray, size: int, before: int = 0) -> int:
        """Length of the whole rows within the first bytes of a block; 0 when none is whole.

        :param before: how many quotes stand before the block.
        """
        end = block.rfind(b"\n", 0, size)
        if not self.quote:
            return end + 1
        quotes = before + (_count(block, self.quote, end) if end >= 0 else 0)
        while end >= 0 and quotes % 2:
            earlier = block.rfind(b"\n", 0, end)
            quotes -= block.count(self.quote, max(earlier, 0), end)
            end = earlier
        return end + 1

    def _open_quote(self, source: _Bytes, position: int, size: int) -> UserError:
        """The error of a file whose quotes do not pair, with the line of the last one that is opened."""
        lines = 1 + source.buffer.count(b"\n", 0, self._end_of_rows(source.buffer, size))
        for start in range(0, position, BLOCK_BYTES):
            length = min(BLOCK_BYTES, position - start)
            source.fill(start, length)
            lines += source.buffer.count(b"\n", 0, length)
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
                length = self._end_of_rows(block, len(block))
                if not length and len(block) > _LONGEST_ROW:
                    raise self._endless(start)
                if length:
                    yield block[:length]
                rest = block[length:]
        if self.quote and rest.count(self.quote) % 2:
            raise UserError(f"'{self.file.name}': a quote {self.quote.decode()} is opened and never closed")
        if rest:
            yield rest


def _count(block: bytes | bytearray, letter: bytes, end: int) -> int:
    """How often a letter stands before `end`; faster than bytes can count where it is frequent."""
    numbers = np.frombuffer(block, np.uint8, end)
    return sum(int(np.count_nonzero(numbers[start : start + _CACHED] == letter[0])) for start in range(0, end, _CACHED))


class _Bytes:
    """Bytes of a file at any place; a local file is read without going through Arrow."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self.buffer = bytearray()

    def __enter__(self) -> _Bytes:
        with unreadable(self._file.name, "a text file"):
            if self._file.is_local:
                self._opened: Any = Path(self._file.path).open("rb", buffering=0)
            else:
                self._opened = self._file.system.open_input_file(self._file.path)
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def fill(self, position: int, size: int) -> None:
        """Put so many bytes from a position into the buffer, which is used again and again."""
        if len(self.buffer) < size:
            self.buffer = bytearray(size)
        with memoryview(self.buffer) as room, unreadable(self._file.name, "a text file"):
            if self._file.is_local:
                read = os.preadv(self._opened.fileno(), [room[:size]], position)
            else:
                found = self._opened.read_at(size, position)
                read = len(found)
                room[:read] = found
        if read < size:
            raise UserError(f"'{self._file.name}' became shorter while it was read")


def as_buffer(block: Block) -> Any:
    """An Arrow file over a block."""
    return pa.BufferReader(pa.py_buffer(block))
