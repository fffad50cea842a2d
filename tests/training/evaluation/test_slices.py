"""Every row is in one slice of each column."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.training.evaluation.slices import compute_slices


def test_slices_by_value_by_quantile_and_by_day() -> None:
    random = np.random.default_rng(0)
    count = 1_000
    features = pa.table(
        {
            "sex": pa.array([None, "", "f", "m"] * (count // 4)),
            "many": pa.array([f"v{place % 40}" for place in range(count)]),
            "price": pa.array([None if place % 10 == 0 else float(place) for place in range(count)]),
            "at": pa.array([datetime(2020, 1, 1 + place % 3) for place in range(count)], pa.timestamp("us")),
        }
    )
    labels, scores = (random.random(count) < 0.3).astype(np.float32), random.random(count).astype(np.float32)
    slices = compute_slices(features, ("sex", "many", "price", "at"), labels, scores)
    for column, parts in slices.items():
        assert sum(part["rows"] for part in parts) == count, column
        assert sum(part["positives"] for part in parts) == labels.sum(), column
    assert {part["value"] for part in slices["sex"]} == {"NULL", "''", "f", "m"}
    assert len(slices["many"]) == 11
    assert slices["many"][0]["value"] == "(others)"
    assert {part["value"] for part in slices["at"]} == {"2020-01-01", "2020-01-02", "2020-01-03"}
    assert [part["rows"] for part in slices["price"]][-1] == 100
    assert "NULL" in {part["value"] for part in slices["price"]}
    with pytest.raises(UserError, match="slice column 'age' is none of the dataset's features: sex, many, price, at"):
        compute_slices(features, ("age",), labels, scores)
