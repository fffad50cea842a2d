"""deep_copy=false: which files can be linked, and the links of a load."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.tables.conform import Conformer
from airflow_provider_mlfeat.tables.delta import NewFile
from airflow_provider_mlfeat.tables.formats.columnar import ParquetReader
from airflow_provider_mlfeat.tables.formats.reader import Reader
from airflow_provider_mlfeat.tables.links import make_link, remove_link
from airflow_provider_mlfeat.tables.store import TableStore, storage_errors

_AS_IT_IS = {pa.timestamp(unit) for unit in ("s", "ms", "us")} | {
    pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us")
}
_INSTEAD = "load it with deep_copy=true"


def link_files(
    readers: Sequence[Reader], conformers: Sequence[Conformer], store: TableStore, table_uri: str
) -> list[NewFile]:
    """Link files into a table; all or none.

    :param readers: the files.
    :param conformers: how their columns match.
    :param store: where the table is.
    :param table_uri: the table.
    """
    if not store.is_local:
        raise UserError("deep_copy=false needs tables in a local folder: an object store has no links")
    for reader, conformer in zip(readers, conformers, strict=True):
        assert isinstance(reader, ParquetReader)
        _check(reader, conformer)
    made: list[NewFile] = []
    try:
        for number, reader in enumerate(readers):
            with storage_errors(f"linking '{reader.file.name}'"):
                link = make_link(table_uri, reader.file.path, number)
            made.append(NewFile(link, reader.file.size, reader.estimate_rows()))
    except BaseException:
        for file in made:
            remove_link(table_uri, file.path)
        raise
    return made


def _check(reader: ParquetReader, conformer: Conformer) -> None:
    """Refuse a file that is not read as the table's rows just as it is."""
    name, types = reader.file.name, reader.types
    assert types is not None
    if not reader.file.is_local:
        raise UserError(f"'{name}' is not a local file and cannot be linked; {_INSTEAD}")
    pairs = zip(conformer.matching.sources, conformer.definition.columns, conformer.schema, strict=True)
    for source, column, stored in pairs:
        if source is None:
            raise UserError(f"'{name}' has no column '{column.name}' and cannot be linked; {_INSTEAD}")
        if reader.names[source] != column.name:
            message = f"column '{reader.names[source]}' of '{name}' is called '{column.name}' in the table"
            raise UserError(f"{message}, so the file cannot be linked; {_INSTEAD}")
        type_ = types[source]
        if type_ != stored.type and not _reads_as(type_, stored.type):
            message = f"column '{column.name}' of '{name}' has type {type_}, the table {stored.type}"
            raise UserError(f"{message}, so the file cannot be linked; {_INSTEAD}")
        if column.not_null and _may_have_nulls(reader, source):
            message = f"column '{column.name}' of '{name}' may hold NULL, the table's is NOT NULL"
            raise UserError(f"{message}, so the file cannot be linked; {_INSTEAD}")


def _reads_as(type_: pa.DataType, stored: pa.DataType) -> bool:
    if pa.types.is_timestamp(stored):
        return type_ in _AS_IT_IS
    if pa.types.is_string(stored):
        return bool(pa.types.is_large_string(type_))
    if pa.types.is_floating(stored):
        return bool(type_ == pa.float32() and stored == pa.float64())
    return bool(
        pa.types.is_signed_integer(type_) and pa.types.is_integer(stored) and type_.bit_width <= stored.bit_width
    )


def _may_have_nulls(reader: ParquetReader, place: int) -> bool:
    """Whether the file's own statistics do not exclude NULL."""
    for group in range(reader.metadata.num_row_groups):
        statistics = reader.metadata.row_group(group).column(place).statistics
        if statistics is None or not statistics.has_null_count or statistics.null_count:
            return True
    return False
