"""Where the encoded rows of a dataset go: a writer for each split, and what is counted on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_provider_mlfeat.dataset.encoder import Encoded, Encoder
from airflow_provider_mlfeat.dataset.encoder.vocabulary import NULL, UNKNOWN
from airflow_provider_mlfeat.dataset.faithful import KeyFiles
from airflow_provider_mlfeat.dataset.passes import Rows, SplitCounts
from airflow_provider_mlfeat.dataset.splits import SPLITS, TRAIN
from airflow_provider_mlfeat.dataset.writing import SplitWriter

FieldCounts = dict[str, NDArray[np.int64]]


class DatasetSink:
    """Writes the splits of a dataset.

    :param folder: the dataset's.
    :param rows: the rows.
    :param encoder: that made their numbers.
    :param counts: how many rows each split and part has.
    """

    def __init__(self, folder: Path, rows: Rows, encoder: Encoder, counts: SplitCounts) -> None:
        widths = len(encoder.id_fields), len(encoder.value_fields)
        self._writers = [
            SplitWriter(
                folder / name,
                counts.shards.tolist() if number == TRAIN else [counts.rows[name]],
                widths,
                None if number == TRAIN else rows.schema,
            )
            for number, name in enumerate(SPLITS)
        ]
        self.keys = KeyFiles(folder, encoder) if rows.request.profile == "faithful" else None
        self.unknown: FieldCounts = {name: np.zeros(widths[0], np.int64) for name in SPLITS}
        self.nulls: FieldCounts = {name: np.zeros(widths[0], np.int64) for name in SPLITS}

    def add(
        self,
        split: int,
        rows: Encoded,
        labels: NDArray[np.float32],
        shards: NDArray[np.int64],
        features: pa.RecordBatch | None,
    ) -> None:
        """Add rows of a split.

        :param split: its number.
        :param rows: ids and values.
        :param labels: 0 or 1.
        :param shards: the part of each row.
        :param features: the columns that the rows were encoded from, where the split keeps them.
        """
        name, writer = SPLITS[split], self._writers[split]
        self.unknown[name] += (rows.ids == UNKNOWN).sum(0)
        self.nulls[name] += (rows.ids == NULL).sum(0)
        writer.write(rows, labels, shards)
        if features is not None:
            writer.write_features(features)

    def shuffle(self, seed: int, advance: Callable[[float], None]) -> None:
        """Bring the training rows of each part into a random order; `advance` counts rows."""
        self._writers[TRAIN].shuffle(seed, advance)

    def close(self) -> list[tuple[int, int]]:
        """Complete the files; the first row and the number of rows of each part of the training split."""
        for writer in self._writers:
            writer.close()
        if self.keys is not None:
            self.keys.close()
        return self._writers[TRAIN].shards
