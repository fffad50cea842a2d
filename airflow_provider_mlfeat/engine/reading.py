"""Reading stored tables into columns: only what a plan needs, strings as dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, overload

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_mlfeat.engine.column import Column
from airflow_provider_mlfeat.engine.pruning import references
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.timings import Timings
from airflow_provider_mlfeat.sql import plan
from airflow_provider_mlfeat.sql.errors import DataRuleError
from airflow_provider_mlfeat.sql.types import STRING

if TYPE_CHECKING:
    # Datasets bring pandas with them; who has one has imported it.
    import pyarrow.dataset as ds

TableName = tuple[str, str]
Table = Union[pa.Table, "ds.Dataset", str, Path]
Tables = Mapping[TableName, Table]


class StoredTables:
    """The stored tables of a run; each is read once, with the columns that a plan needs of it.

    :param tables: tables by (database, name): in memory, a dataset, or the path of a parquet file or folder.
    :param root: the relation that reads them.
    :param timings: where the time is added up.
    """

    def __init__(self, tables: Tables, root: plan.Relation, timings: Timings) -> None:
        self._tables, self._timings = tables, timings
        self._needed: dict[TableName, set[int]] = {}
        self._loaded: dict[TableName, pa.Table] = {}
        self._columns: dict[tuple[TableName, int], Column] = {}
        for source, columns in needed_columns(root):
            self._needed.setdefault((source.database, source.table), set()).update(columns)

    def __call__(self, source: plan.Source) -> Rows:
        """The rows of a table; columns are converted when they are asked for."""
        return Rows(self._table(source).num_rows, _StoredColumns(self, source))

    def column(self, source: plan.Source, number: int) -> Column:
        """One column of a table."""
        key = ((source.database, source.table), number)
        if key not in self._columns:
            table, column = self._table(source), source.schema[number]
            is_file = isinstance(self._tables[key[0]], str | Path)
            with self._timings.stage("encode"):
                try:
                    self._columns[key] = Column.from_arrow(table.column(column.name), column.type, clean=is_file)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
                    message = f"values are not of type {column.type}: {error}"
                    raise DataRuleError(message, source.table, column.name) from error
        return self._columns[key]

    def _table(self, source: plan.Source) -> pa.Table:
        name = (source.database, source.table)
        if name not in self._loaded:
            if name not in self._tables:
                raise DataRuleError("the plan reads a table that was not given", ".".join(filter(None, name)))
            columns = [source.schema[number] for number in sorted(self._needed.get(name, ()))]
            with self._timings.stage("read"):
                self._loaded[name] = read_table(self._tables[name], columns, source.table)
        return self._loaded[name]


class _StoredColumns(Sequence[Column]):
    """The columns of a stored table, converted when they are asked for."""

    def __init__(self, tables: StoredTables, source: plan.Source) -> None:
        self._tables, self._source = tables, source

    def __len__(self) -> int:
        return len(self._source.schema)

    @overload
    def __getitem__(self, number: int) -> Column: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Column]: ...

    def __getitem__(self, number: int | slice) -> Column | Sequence[Column]:
        if isinstance(number, slice):
            return [self[place] for place in range(*number.indices(len(self)))]
        return self._tables.column(self._source, number)


def read_table(table: Table, columns: Sequence[plan.Column], name: str) -> pa.Table:
    """The columns of a stored table; strings of files keep the file's dictionaries."""
    names = [column.name for column in columns]
    if isinstance(table, pa.Table):
        check_names(names, table.column_names, name)
        return table.select(names)
    if not isinstance(table, str | Path):
        check_names(names, table.schema.names, name)
        return table.to_table(columns=names)
    strings = [column.name for column in columns if column.type == STRING]
    parts = []
    for path in parquet_files(table):
        with pq.ParquetFile(path, read_dictionary=strings) as file:
            check_names(names, file.schema_arrow.names, name)
            parts.append(file.read(columns=names))
    return pa.concat_tables(parts)


def parquet_files(path: str | Path) -> list[Path]:
    """The files of a stored table: one file, or all parquet files of a folder in the order of their names."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*.parquet") if not file.name.startswith(("_", ".")))
    if not files:
        raise DataRuleError(f"the folder {path} holds no parquet file")
    return files


def check_names(wanted: Sequence[str], found: Sequence[str], table: str) -> None:
    """Refuse data that lacks a column that a plan reads."""
    for name in wanted:
        if name not in found:
            raise DataRuleError(f"the data has no such column, only {', '.join(found)}", table, name)


def needed_columns(relation: Any) -> Iterator[tuple[plan.Source, set[int]]]:
    """The stored tables below a relation, each with the columns that are read of it."""
    if isinstance(relation, plan.Source):
        yield relation, set(range(len(relation.schema)))
        return
    if isinstance(relation, plan.Project) and isinstance(relation.input, plan.Source):
        yield relation.input, references(*relation.expressions)
        return
    for below in inputs_of(relation):
        yield from needed_columns(below)


def inputs_of(relation: plan.Relation) -> tuple[plan.Relation, ...]:
    """The relations that a relation reads."""
    match relation:
        case plan.Join():
            return (relation.left, relation.right)
        case plan.Windows():
            return (relation.input, *(union for stream in relation.streams for union in stream.unions))
        case plan.Union():
            return relation.inputs
        case plan.Project() | plan.Filter() | plan.Aggregate() | plan.Limit():
            return (relation.input,)
    return ()
