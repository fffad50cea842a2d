"""What the formats have in common: a file that says its columns and hands out its rows part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.conform import Chunk, Conformer
from airflow_provider_mlfeat.tables.source_files import SourceFile
from airflow_provider_mlfeat.tables.store import storage_errors

# Rows that are in memory at once, of formats that say how many rows they read.
BATCH_ROWS = 128 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file that one worker reads.

    :param begin: the first byte, row group or stripe.
    :param end: the one after the last.
    :param size: bytes, about.
    :param cuts: of a text file, the ends of its blocks; the last is `end`.
    """

    begin: int
    end: int
    size: int
    cuts: tuple[int, ...] = ()


class Reader(ABC):
    """An opened file.

    It says its columns' names and, unless it is text, their types; where it has no names, they are numbers.
    """

    file: SourceFile
    names: Sequence[str]
    types: Sequence[pa.DataType] | None = None
    has_names: bool = True

    @abstractmethod
    def estimate_rows(self) -> int:
        """How many rows there are, about."""

    @abstractmethod
    def parts(self, workers: int) -> Iterable[Part]:
        """Pieces for some workers, in order, found while they are asked for."""

    @abstractmethod
    def chunks(self, part: Part, conform: Conformer) -> Iterator[Chunk]:
        """The rows of a piece, in order."""


@contextmanager
def unreadable(file: str, what: str, place: str = "") -> Iterator[None]:
    """What Arrow says about a broken file, as a sentence.

    :param file: the file.
    :param what: what it should be: ``a Parquet file``.
    :param place: which rows were read.
    """
    where = f"reading '{file}'{place}"
    try:
        with storage_errors(where):
            try:
                yield
            except OSError as error:
                # An error of the system has a number; without one it is Arrow's word for broken bytes.
                if error.errno is not None or "[Errno" in str(error):
                    raise
                raise UserError(f"'{file}'{place} is not {what}, or it is broken: {_first_line(error)}") from error
    except pa.ArrowException as error:
        raise UserError(f"'{file}'{place} is not {what}, or it is broken: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]


def groups(sizes: Sequence[int], least: int) -> list[Part]:
    """Neighbouring pieces put together to parts of at least so many bytes."""
    parts, begin, total = [], 0, 0
    for place, size in enumerate(sizes):
        total += size
        if total >= least or place == len(sizes) - 1:
            parts.append(Part(begin, place + 1, total))
            begin, total = place + 1, 0
    return parts
