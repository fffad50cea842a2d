"""Rows with a label that depends on single ids, on pairs of ids and on a value."""

from __future__ import annotations

import numpy as np

from airflow_provider_mlfeat.training.examples import Examples, TrainingData
from airflow_provider_mlfeat.training.fields import FieldLayout

LAYOUT = FieldLayout(("shop", "brand", "city", "day"), (30, 50, 7, 7), ("price", "visits"))
IDS_ALONE = FieldLayout(LAYOUT.names, LAYOUT.sizes)


def examples(rows: int, seed: int, layout: FieldLayout = LAYOUT) -> Examples:
    random = np.random.default_rng(seed)
    ids = np.stack([random.zipf(1.3, rows) % size for size in layout.sizes], 1).astype(np.int32)
    values = random.gamma(2.0, 30.0, (rows, len(layout.value_names))).astype(np.float32)
    odds = 1.5 * (ids[:, 0] % 3 == 0) + 2.0 * ((ids[:, 1] + ids[:, 2]) % 2) - 1.5
    if values.shape[1]:
        odds = odds - (values[:, 0] - 60) / 50
    return Examples(ids, values, (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float32))


def data(rows: int = 1500, layout: FieldLayout = LAYOUT, fingerprint: str = "d" * 64) -> TrainingData:
    return TrainingData(layout, examples(rows, 1, layout), examples(rows // 3, 2, layout), fingerprint)
