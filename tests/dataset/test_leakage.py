"""Leakage: rows in two splits, columns that know the label, columns from the future."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.errors import UserError
from tests.dataset.tables import visits
from tests.dataset.test_build import FIELDS, build, request


def with_column(values: pa.Array) -> pa.Table:
    return visits().append_column("more", values)


def built(tmp_path: Path, table: pa.Table, **options: Any) -> Dataset:
    return build(tmp_path, request("time", time="at", **options), table)


MORE = Field("more", "more", "vocabulary")
LABELS = np.asarray(visits().column("bought"))


def test_a_clean_table_gives_no_warning(tmp_path: Path) -> None:
    assert built(tmp_path, visits()).manifest.warnings == []


def test_a_key_that_comes_twice_is_refused(tmp_path: Path) -> None:
    doubled = pa.concat_tables([visits(), visits().slice(0, 3)])
    with pytest.raises(UserError, match="key 'request' does not identify a row: 3 rows repeat one$"):
        built(tmp_path, doubled)
    late = doubled.set_column(
        1, "at", pa.array([*visits().column("at").to_pylist(), *[datetime.datetime(2027, 1, 1)] * 3])
    )
    with pytest.raises(UserError, match="the dataset leaks: .* 3 rows repeat one, 3 of them in two splits"):
        built(tmp_path, late)
    assert "3 of them in two splits" in built(tmp_path, late, strict=False).manifest.warnings[0]


def test_two_columns_may_be_the_key(tmp_path: Path) -> None:
    doubled = pa.concat_tables([visits(), visits().slice(0, 3)])
    moved = doubled.set_column(
        4, "amount", pa.array([*visits().column("amount").to_pylist(), -1, -2, -3], pa.float32())
    )
    assert built(tmp_path, moved, keys=("request", "amount")).manifest.warnings == []


@pytest.mark.parametrize(
    "values",
    [
        pa.array(LABELS),
        pa.array(1 - LABELS),
        pa.array(LABELS.astype(bool)),
        pa.array(["no", "yes"]).take(pa.array(LABELS)),
    ],
    ids=["equal", "turned", "bool", "words"],
)
def test_the_label_in_other_words_is_refused(tmp_path: Path, values: pa.Array) -> None:
    with pytest.raises(UserError, match="column 'more' is the label in other words: it must not be a feature"):
        built(tmp_path, with_column(values), fields=(*FIELDS, MORE))
    # It may lie beside the features.
    assert built(tmp_path, with_column(values)).manifest.warnings == []


def test_a_column_that_determines_the_label_is_suspicious(tmp_path: Path) -> None:
    states = np.where(LABELS == 1, np.arange(2_000) % 3 + 10, np.arange(2_000) % 4)
    dataset = built(tmp_path, with_column(pa.array(states)), fields=(*FIELDS, MORE))
    assert dataset.manifest.warnings == [
        "each value of column 'more' goes with one label only: does it know the future?"
    ]


def test_a_coincidence_is_not_suspicious(tmp_path: Path) -> None:
    # Nearly every row has its own value, so each has one label.
    dataset = built(tmp_path, with_column(pa.array(np.arange(2_000) // 2 * 2 + LABELS)), fields=(*FIELDS, MORE))
    assert dataset.manifest.warnings == []


def test_a_column_newer_than_the_row_is_suspicious(tmp_path: Path) -> None:
    moments = visits().column("at").to_pylist()
    later = [moment + datetime.timedelta(days=1) if place % 4 == 0 else None for place, moment in enumerate(moments)]
    table = with_column(pa.array(later, pa.timestamp("us")))
    dataset = built(tmp_path, table, fields=(*FIELDS, MORE))
    assert dataset.manifest.warnings == ["column 'more' is later than 'at' in 500 of 2000 rows"]
    earlier = [moment - datetime.timedelta(seconds=1) for moment in moments]
    other = build(
        tmp_path,
        request("time", time="at", fields=(*FIELDS, MORE)),
        with_column(pa.array(earlier, pa.timestamp("us"))),
        "b",
    )
    assert other.manifest.warnings == []
