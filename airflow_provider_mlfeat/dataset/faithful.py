"""The layout of the original pipeline: every column hashed and looked up, and `data_info.txt` with its numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.counting import DistinctKeys
from airflow_provider_mlfeat.dataset.encoder import Encoder, Field
from airflow_provider_mlfeat.dataset.encoder.columns import Column, counted_keys
from airflow_provider_mlfeat.dataset.fitting import MOST_KEYS
from airflow_provider_mlfeat.dataset.splits import SPLITS
from airflow_provider_mlfeat.dataset.writing import RowsFile

DATA_INFO_FILE = "data_info.txt"
_NUMBERED = re.compile(r"([IC])(\d+)")


def in_training_order(columns: Sequence[str]) -> list[str]:
    """Columns named I1, I2, … and C1, C2, … in the order of the trainer: numbers first; others as they are."""
    found = [_NUMBERED.fullmatch(name) for name in columns]
    if not all(found):
        return list(columns)
    return sorted(columns, key=lambda name: ("IC".index(name[0]), int(name[1:])))


class TableSizes:
    """How many different keys each field has over all splits: what `table_size_array` says.

    :param fields: the fields, with their types.
    :param seed: of the hashes.
    """

    def __init__(self, fields: Sequence[Field], seed: int) -> None:
        self._seed = seed
        self._fields = tuple(fields)
        self.counts = [DistinctKeys(MOST_KEYS) for _ in fields]

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the keys of rows."""
        for field, seen in zip(self._fields, self.counts, strict=True):
            column = Column(field.column, batch.column(field.column), field.type)
            seen.add(counted_keys(field, column, self._seed)[0])

    def finish(self) -> list[int]:
        """The number of keys of each field; NULL is one."""
        return [keys.finish() for keys in self.counts]


def key_rows(encoder: Encoder, batch: pa.RecordBatch, labels: NDArray[np.float32]) -> pa.RecordBatch:
    """Rows as the original trainer reads them: label and 64-bit keys."""
    columns = [pa.array(one) for one in (labels, *np.ascontiguousarray(encoder.keys(batch).T))]
    return pa.RecordBatch.from_arrays(columns, schema=key_schema(encoder))


def key_schema(encoder: Encoder) -> pa.Schema:
    """Of `key_rows`."""
    names = [field.name for field in encoder.id_fields]
    return pa.schema({"Label": pa.float32(), **dict.fromkeys(names, pa.int64())})


class KeyFiles:
    """The files that the original trainer reads: ``train/train.parquet`` and so on.

    :param folder: the dataset's, with a folder for each split.
    :param encoder: whose keys they hold.
    """

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        schema = key_schema(encoder)
        self._files = [RowsFile(folder / name / f"{name}.parquet", schema) for name in SPLITS]

    def write(self, rows: pa.RecordBatch, split: int) -> None:
        """Add rows to the file of a split."""
        if rows.num_rows:
            self._files[split].write(rows)

    def close(self) -> None:
        """Complete the files."""
        for file in self._files:
            file.close()


def write_data_info(folder: Path, rows: Mapping[str, int], sizes: Sequence[int]) -> None:
    """Four lines: rows of train, test and valid, and the table sizes."""
    lines = [str(rows[name]) for name in ("train", "test", "valid")] + [",".join(map(str, sizes))]
    (folder / DATA_INFO_FILE).write_text("\n".join(lines), encoding="ascii")
