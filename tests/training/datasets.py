"""A small dataset whose label depends on its features, for tests of everything behind a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from airflow_provider_mlfeat.dataset.build import build_dataset
from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.dataset.request import Request
from airflow_provider_mlfeat.dataset.source import Source
from airflow_provider_mlfeat.dataset.splits import Split
from airflow_provider_mlfeat.training.reporting import Silence

FIELDS = (
    Field("shop", "shop", "vocabulary"),
    Field("brand", "brand", "vocabulary"),
    Field("price", "price", "value", transform="standard"),
)
CATEGORIES = FIELDS[:2]
NUMBERS = (Field("price", "price", "value", missing="nan"), Field("visits", "visits", "value", missing="nan"))


def table(rows: int, seed: int = 1) -> pa.Table:
    """Features and a label that is likelier in some shops, for some pairs of shop and brand, and for low prices."""
    random = np.random.default_rng(seed)
    shop, brand = random.integers(0, 12, rows), random.integers(0, 30, rows)
    price, visits = random.gamma(2, 20, rows), random.poisson(3, rows)
    odds = -1.5 + 1.2 * (shop % 3 == 0) + 1.5 * ((shop + brand) % 4 == 0) - (price - 40) / 40 + 0.3 * (visits - 3)
    label = (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int32)
    prices = pa.array(np.round(price, 2), pa.float64(), mask=random.random(rows) < 0.02)
    return pa.table(
        {
            "id": np.arange(rows),
            "shop": [f"s{one}" for one in shop],
            "brand": pa.array([f"b{one}" if one else None for one in brand]),
            "price": prices,
            "visits": visits,
            "label": label,
        }
    )


def make_dataset(
    folder: Path,
    *,
    rows: int = 3_000,
    seed: int = 1,
    fields: tuple[Field, ...] = FIELDS,
    plan_id: str | None = "p" * 64,
) -> Dataset:
    """Build a dataset in a folder that does not exist."""
    source = Source(rows, ds.dataset(table(rows, seed)), {"reference": "features.shop@1", "rows": rows}, plan_id)
    request = Request("label", Split("random"), fields=fields, keys=("id",))
    scratch = folder.parent / f"{folder.name}-scratch"
    scratch.mkdir(parents=True)
    build_dataset(request, source, folder, scratch, Silence())
    return Dataset.open(folder)
