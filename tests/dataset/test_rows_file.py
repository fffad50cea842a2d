"""The file of a split's rows: its bytes come of the rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.dataset import writing
from airflow_provider_mlfeat.dataset.writing import RowsFile


def test_blocks_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are long enough for several pages, which Parquet's writer may end where a piece of its input ends."""
    monkeypatch.setattr(writing, "_GROUP_ROWS", 50_000)
    generator, rows = np.random.default_rng(1), 120_000
    texts = [f"user-{one}-{'y' * (one % 40)}" for one in generator.integers(0, rows, rows).tolist()]
    table = pa.table({"value": generator.random(rows), "text": texts})
    written = set()
    for block in (rows, 30_001, 777):
        path = tmp_path / f"{block}.parquet"
        file = RowsFile(path, table.schema)
        for batch in table.to_batches(max_chunksize=block):
            file.write(batch)
        file.close()
        written.add(path.read_bytes())
    assert len(written) == 1
