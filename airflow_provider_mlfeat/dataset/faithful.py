"""The layout of the original pipeline: every column hashed and looked up, and `data_info.txt` with its numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from airflow_provider_mlfeat.dataset.counting import DistinctKeys
from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.encoder.columns import Column, counted_keys
from airflow_provider_mlfeat.dataset.fitting import MOST_KEYS

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
        self._keys = [(field, DistinctKeys(MOST_KEYS)) for field in fields]

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the keys of rows."""
        for field, seen in self._keys:
            column = Column(field.column, batch.column(field.column), field.type)
            seen.add(counted_keys(field, column, self._seed)[0])

    def finish(self) -> list[int]:
        """The number of keys of each field; NULL is one."""
        return [keys.finish() for _, keys in self._keys]


def write_data_info(folder: Path, rows: Mapping[str, int], sizes: Sequence[int]) -> None:
    """Four lines: rows of train, test and valid, and the table sizes."""
    lines = [str(rows[name]) for name in ("train", "test", "valid")] + [",".join(map(str, sizes))]
    (folder / DATA_INFO_FILE).write_text("\n".join(lines), encoding="ascii")
