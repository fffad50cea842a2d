"""Where rows for the online store come from: a version of an offline table, or files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider_mlfeat.sql.catalog import TableDefinition
    from airflow_provider_mlfeat.tables.load_options import LoadOptions
    from airflow_provider_mlfeat.tables.store import TableStore

_BATCH_ROWS = 131_072


class Source(ABC):
    """Rows in order of arrival, the same whenever they are read."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Equal for equal rows."""

    @property
    @abstractmethod
    def rows(self) -> int | None:
        """How many there are, if that is known beforehand."""

    @abstractmethod
    def batches(self, start: int = 0) -> Iterator[pa.Table]:
        """The rows from number `start` on."""


@dataclass(frozen=True)
class TableVersionSource(Source):
    """A version of an offline table.

    :param store: where the offline table is.
    :param database: its database.
    :param table: its name.
    :param version: which version.
    """

    store: TableStore
    database: str
    table: str
    version: int

    @cached_property
    def files(self) -> list[list[Any]]:
        """Path, size and rows of the version's files, in order of arrival."""
        from airflow_provider_mlfeat.tables.delta import data_files, open_table

        delta = open_table(self.store, self.database, self.table, self.version)
        return [[file.path, file.size, file.rows] for file in data_files(delta)]

    @property
    def identity(self) -> str:
        return self.identity_of(len(self.files))

    def identity_of(self, count: int) -> str:
        """The identity of the first so many files' rows."""
        uri = self.store.uri(self.database, self.table)
        return files.digest_text(files.canonical_json([uri, self.files[:count]]))

    @property
    def rows(self) -> int:
        return sum(file[2] for file in self.files)

    def batches(self, start: int = 0) -> Iterator[pa.Table]:
        import pyarrow as pa

        from airflow_provider_mlfeat.tables.store import storage_errors
        from airflow_provider_mlfeat.tables.versions import read

        dataset = read(self.store, self.database, self.table, self.version)
        before = 0
        with storage_errors(f"reading table '{self.table}'"):
            for fragment, (_, _, rows) in zip(dataset.get_fragments(), self.files, strict=True):
                if before + rows > start:
                    for batch in fragment.to_batches(schema=dataset.schema, batch_size=_BATCH_ROWS):
                        skipped = min(max(0, start - before), batch.num_rows)
                        if skipped < batch.num_rows:
                            yield pa.Table.from_batches([batch.slice(skipped)])
                        before += batch.num_rows
                else:
                    before += rows


@dataclass(frozen=True)
class FilesSource(Source):
    """Files: csv, parquet, orc or json. A bad row is found before the first row is handed out.

    :param definition: the table that they are for.
    :param paths: files, folders and patterns.
    :param options: how to read them.
    :param storage_options: access to an object store; never shown.
    """

    definition: TableDefinition
    paths: tuple[str, ...]
    options: LoadOptions
    storage_options: dict[str, str]

    @cached_property
    def _readers(self) -> list[Any]:
        from airflow_provider_mlfeat.tables.formats.opening import open_reader
        from airflow_provider_mlfeat.tables.source_files import find_files

        found = find_files(list(self.paths), self.storage_options)
        return [open_reader(file, self.options, self.definition) for file in found]

    @property
    def identity(self) -> str:
        seen = [[reader.file.name, reader.file.size] for reader in self._readers]
        return files.digest_text(files.canonical_json([seen, str(self.options)]))

    @cached_property
    def rows(self) -> int:
        """How many there are; every row is looked at."""
        return sum(chunk.num_rows for chunk in self._chunks())

    def batches(self, start: int = 0) -> Iterator[pa.Table]:
        before = 0
        assert self.rows >= 0
        for chunk in self._chunks():
            skipped = min(max(0, start - before), chunk.num_rows)
            if skipped < chunk.num_rows:
                yield chunk.slice(skipped)
            before += chunk.num_rows

    def _chunks(self) -> Iterator[pa.Table]:
        from airflow_provider_mlfeat.tables.conform import Conformer
        from airflow_provider_mlfeat.tables.matching import match_columns
        from airflow_provider_mlfeat.tables.texts import Texts

        texts = Texts(self.options.time_zone)
        for reader in self._readers:
            by_order = self.options.positional or not reader.has_names
            matching = match_columns(self.definition, reader.names, reader.file.name, by_order)
            conformer = Conformer(self.definition, matching, texts)
            if reader.types is not None:
                conformer.check_types(reader.types, reader.file.name)
            before = 0
            for part in reader.parts(1):
                for chunk in reader.chunks(part, conformer):
                    if chunk.rejected:
                        self._refuse(reader.file.name, before, chunk.rejected)
                    before += chunk.rows
                    yield chunk.good

    def _refuse(self, name: str, before: int, rejected: Sequence[Any]) -> None:
        first = rejected[0]
        where = f"'{name}' row {before + first.row + 1}" + (f", column '{first.column}'" if first.column else "")
        message = f"table '{self.definition.qualified_name}' is as it was: {where}: '{first.value}' {first.reason}"
        raise UserError(f"{message}; load the files into an offline table, which can put bad rows aside")
