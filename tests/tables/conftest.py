"""A store of tables for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_mlfeat.tables.store import TableStore


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(str(tmp_path / "tables"))
