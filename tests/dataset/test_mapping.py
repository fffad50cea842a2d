"""Mapped files on a disk that is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from airflow_provider_mlfeat.dataset.mapping import new_matrix, new_scratch
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from tests.dataset.tables import visits


def test_they_take_their_room_at_once(tmp_path: Path) -> None:
    matrix = new_matrix(tmp_path / "matrix.npy", np.int32, (100_000, 3))
    scratch = new_scratch(tmp_path / "scratch", np.uint64, 100_000)
    matrix[-1], scratch[-1] = (1, 2, 3), 4
    assert np.load(tmp_path / "matrix.npy")[-1].tolist() == [1, 2, 3]
    for path, size in ((tmp_path / "matrix.npy", 1_200_000), (tmp_path / "scratch", 800_000)):
        assert path.stat().st_blocks * 512 >= size
    assert new_matrix(tmp_path / "none.npy", np.float32, (5, 0)).shape == (5, 0)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    pq.write_table(visits(), tmp_path / "visits.parquet")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    spec = {"kind": "build_dataset", "path": str(tmp_path / "visits.parquet"), "label_column": "bought"}
    with pytest.raises(UserError, match="the disk is full; the dataset was not written"):
        run(parse_spec({**spec, "root": str(tmp_path)}))
    assert list((tmp_path / ".datasets" / "visits").iterdir()) == []
