"""The encoder inside Spark's Python workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_mlfeat.dataset.encoder import Field
from airflow_provider_mlfeat.dataset.fitting import EncoderFitter
from tests.dataset.tables import visits

pytestmark = pytest.mark.spark

FIELDS = (
    Field("shop", "shop", "vocabulary", min_frequency=2),
    Field("amount", "amount", "bucket", buckets=10),
    Field("hour", "at", "part", part="hour", zone="+08:00"),
    Field("first", "top", "vocabulary", position=0),
    Field("items", "items", "value", transform="standard"),
)


def test_rows_have_the_numbers_that_they_have_here(spark: Any) -> None:
    # Without the clock's zone, as every table of ours is read.
    table = visits(1_000).set_column(1, "at", visits(1_000).column("at").cast(pa.timestamp("us", "UTC")))
    fitter = EncoderFitter(FIELDS, table.schema)
    fitter.add(table)
    encoder = fitter.finish()

    def encode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ids, values = encoder.encode(batch)
            columns = [
                batch.column("request"),
                pa.array(ids.tolist()),
                pa.array(values.tolist(), pa.list_(pa.float32())),
            ]
            yield pa.RecordBatch.from_arrays(columns, names=["request", "ids", "floats"])

    frame = spark.createDataFrame(table.to_pandas()).repartition(3)
    found = frame.mapInArrow(encode, "request string, ids array<bigint>, floats array<float>").toArrow()
    expected = encoder.encode(table)
    place = {name: row for row, name in enumerate(table.column("request").to_pylist())}
    order = [place[name] for name in found.column("request").to_pylist()]
    assert sorted(order) == list(range(1_000))
    assert (np.array(found.column("ids").to_pylist()) == expected.ids[order]).all()
    assert (np.array(found.column("floats").to_pylist(), np.float32) == expected.values[order]).all()
