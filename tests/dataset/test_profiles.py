"""Profiles: what becomes of a table when nobody declares fields."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.dataset.faithful import in_training_order
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.dataset.measuring import ColumnMeasure
from airflow_provider_mlfeat.dataset.profiles import recommended
from airflow_provider_mlfeat.dataset.request import Request
from airflow_provider_mlfeat.dataset.splits import Split
from airflow_provider_mlfeat.errors import UserError
from tests.dataset.tables import visits
from tests.dataset.test_build import build

ROWS = 4_000


def columns() -> pa.Table:
    """One column for each rule."""
    die = random.Random(0)
    return pa.table(
        {
            "id": [f"id {number}" for number in range(ROWS)],
            "copy": [f"id {number}" for number in range(ROWS)],
            "number": pa.array(range(ROWS)),
            "same": ["x"] * ROWS,
            "nothing": pa.nulls(ROWS, pa.string()),
            "when": pa.array(
                [datetime.datetime(2026, 1, 1)] * (ROWS // 2) + [datetime.datetime(2027, 1, 1)] * (ROWS // 2)
            ),
            "flag": [number % 2 == 0 for number in range(ROWS)],
            "colour": [die.choice(["red", "green", None]) for _ in range(ROWS)],
            "small": pa.array([die.randrange(5) for _ in range(ROWS)], pa.int32()),
            "large": [die.randrange(1_500) for _ in range(ROWS)],
            "ratio": pa.array([die.choice([0.0, 0.5, 1.0]) for _ in range(ROWS)], pa.float32()),
            "rate": [die.randrange(200) / 200 for _ in range(ROWS)],
            "price": [round(die.lognormvariate(3, 1), 2) for _ in range(ROWS)],
            "sku": [f"sku {die.randrange(1_200)}" for _ in range(ROWS)],
            "top": [",".join(str(die.randrange(12)) for _ in range(3)) for _ in range(ROWS)],
            "twin": [die.choice("ab") for _ in range(ROWS)],
        }
    )


@pytest.fixture(scope="module")
def chosen() -> Any:
    table = columns()
    table = table.append_column("twin of it", table.column("twin"))
    measures = [ColumnMeasure(name, type_of(table, name)) for name in table.column_names]
    for batch in table.to_batches(max_chunksize=700):
        for measure in measures:
            measure.add(batch)
    return recommended([measure.finish() for measure in measures])


def type_of(table: pa.Table, name: str) -> str:
    from airflow_provider_mlfeat.dataset.encoder.canonical import type_name

    return type_name(table.schema.field(name).type)


def test_what_nothing_can_be_learned_from_is_dropped_with_the_reason(chosen: Any) -> None:
    assert {one["column"]: one["reason"] for one in chosen.dropped} == {
        "id": "has 4000 different values in 4000 training rows: it is an id",
        "copy": "has the same values as 'id'",
        "number": "has 4000 different values in 4000 training rows: it is an id",
        "same": "has one value in all 4000 training rows",
        "nothing": "has one value in all 4000 training rows",
        "when": "is a point in time: take its parts, or how long ago it was, in the query",
        "twin of it": "has the same values as 'twin'",
    }


def test_what_is_left_becomes_fields_by_what_it_holds(chosen: Any) -> None:
    found = {field.name: (field.column, field.kind, field.position) for field in chosen.fields}
    assert found == {
        "flag": ("flag", "vocabulary", None),
        "colour": ("colour", "vocabulary", None),
        "small": ("small", "vocabulary", None),
        "large": ("large", "vocabulary", None),
        "large.range": ("large", "bucket", None),
        "ratio": ("ratio", "vocabulary", None),
        "rate": ("rate", "bucket", None),
        "price": ("price", "bucket", None),
        "sku": ("sku", "vocabulary", None),
        "top.1": ("top", "vocabulary", 0),
        "top.2": ("top", "vocabulary", 1),
        "top.3": ("top", "vocabulary", 2),
        "twin": ("twin", "vocabulary", None),
    }
    assert all(field.min_frequency == 2 for field in chosen.fields if field.kind == "vocabulary")


def recommended_dataset(tmp_path: Path, **options: Any) -> Dataset:
    asked = Request("bought", Split("time", ("at",)), "recommended", keys=("request",), time="at", **options)
    return build(tmp_path, asked, visits())


def test_the_recommended_profile_of_a_table(tmp_path: Path) -> None:
    manifest = recommended_dataset(tmp_path, drop=("items",)).manifest
    assert [field["name"] for field in manifest.fields] == ["customer", "shop", "amount", "top"]
    assert manifest.dropped == [
        {"column": "items", "reason": "asked for"},
        {"column": "request", "reason": "identifies the row"},
        {"column": "at", "reason": "is the row's time, which never comes again"},
    ]
    assert manifest.values == []


def test_a_profile_that_leaves_nothing_says_why(tmp_path: Path) -> None:
    table = visits().select(["request", "at", "bought"])
    asked = Request("bought", Split("random"), "recommended")
    with pytest.raises(UserError, match="leaves no column to learn from: 'request' has .*; 'at' is a point"):
        build(tmp_path, asked, table)
    with pytest.raises(UserError, match="there are no columns but the label"):
        build(tmp_path, Request("bought", Split("random"), "recommended", drop=("request", "at")), table)


def test_the_numeric_profile_keeps_numbers(tmp_path: Path) -> None:
    asked = Request("bought", Split("random"), "numeric", keys=("request",), time="at")
    dataset = build(tmp_path, asked, visits())
    assert [one["name"] for one in dataset.manifest.values] == ["amount", "items"]
    assert [one["name"] for one in dataset.manifest.fields] == ["customer", "shop", "top"]
    features = dataset.features("test")
    assert (dataset.split("test").values[:, 1] == np.asarray(features.column("items"))).all()
    assert (dataset.split("test").values[:, 0] == np.asarray(features.column("amount"))).all()


def test_columns_of_the_trainer_are_put_in_its_order() -> None:
    assert in_training_order(["C2", "C10", "I1", "C1", "I10", "I2"]) == ["I1", "I2", "I10", "C1", "C2", "C10"]
    assert in_training_order(["C2", "user", "C1"]) == ["C2", "user", "C1"]
