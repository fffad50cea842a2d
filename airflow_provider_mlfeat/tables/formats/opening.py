"""A file's reader by its format."""

from __future__ import annotations

from airflow_provider_mlfeat.sql.catalog import TableDefinition
from airflow_provider_mlfeat.tables.formats.columnar import OrcReader, ParquetReader
from airflow_provider_mlfeat.tables.formats.delimited import CsvReader
from airflow_provider_mlfeat.tables.formats.json_lines import JsonReader
from airflow_provider_mlfeat.tables.formats.reader import Reader
from airflow_provider_mlfeat.tables.load_options import LoadOptions
from airflow_provider_mlfeat.tables.source_files import SourceFile


def open_reader(file: SourceFile, options: LoadOptions, definition: TableDefinition) -> Reader:
    """Open a file in the format that the options say."""
    match options.format:
        case "parquet":
            return ParquetReader(file)
        case "orc":
            return OrcReader(file)
        case "json":
            return JsonReader(file, [column.name for column in definition.columns])
        case _:
            return CsvReader(file, options)
