"""The rows that a dataset is made of, read as often as needed, in their order, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder.canonical import type_name
from airflow_provider_mlfeat.errors import UserError

_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Source:
    """Rows of features with a label.

    :param rows: of the table.
    :param table: the rows, which must come in the same order each time.
    :param description: where they come from: name, version, location and fingerprint.
    :param plan_id: of the feature query; None where there is none.
    """

    rows: int
    table: ds.Dataset
    description: dict[str, Any]
    plan_id: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.table.schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of some columns, or of all, in their order."""
        # A whole row group as it lies in the file, and a few of them read ahead, are many times the size of a block.
        sparing = ds.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
        for batch in self.table.to_batches(
            columns=None if columns is None else list(columns),
            batch_size=_BLOCK_ROWS,
            batch_readahead=1,
            fragment_readahead=1,
            fragment_scan_options=sparing if isinstance(self.table, ds.FileSystemDataset) else None,
        ):
            if batch.num_rows:
                yield batch

    def type_of(self, column: str, role: str) -> str:
        """Logical type of a column; raises UserError when it is missing.

        :param column: its name.
        :param role: what it is wanted for, as the subject of a message: ``label column``.
        """
        place = self.schema.get_field_index(column)
        if place < 0:
            there = ", ".join(self.schema.names[:12]) + (", …" if len(self.schema.names) > 12 else "")
            raise UserError(f"{role} '{column}' is not among the columns: {there}")
        try:
            return type_name(self.schema.field(place).type)
        except ValueError as error:
            raise UserError(f"{role} '{column}': {error}") from None


def labels_of(batch: pa.RecordBatch, column: str, first_row: int) -> NDArray[np.float32]:
    """The labels of a batch as 0 and 1; raises UserError for anything else.

    :param batch: the rows.
    :param column: the label's.
    :param first_row: number of the batch's first row, for messages.
    """
    values = batch.column(column)
    if values.null_count:
        row = first_row + int(np.flatnonzero(np.asarray(values.is_null()))[0])
        raise UserError(
            f"label column '{column}' is NULL in row {row} ({values.null_count} such rows near it): "
            "join the label so that every row has one, or leave those rows out"
        )
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        raise UserError(f"label column '{column}' is string; it must be 0 or 1: CAST it in the query")
    labels = np.asarray(pc.cast(values, pa.float64(), safe=False))
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if len(wrong):
        raise UserError(f"label column '{column}' is {labels[wrong[0]]:g} in row {first_row + wrong[0]}, not 0 or 1")
    found: NDArray[np.float32] = labels.astype(np.float32)
    return found
