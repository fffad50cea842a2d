"""Adding rows to the sorted sets of a series.

Every command may be sent twice, and several writers may send theirs between one another: rows are added under names
that follow from the rows, and what is removed is what is older than a bound that never moves back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from airflow_provider_mlfeat.engine.encoding import Bits
from airflow_provider_mlfeat.engine.rows import Rows
from airflow_provider_mlfeat.engine.strings import StringPool
from airflow_provider_mlfeat.online.redis.buckets import EXACT, put_rows, take_rows, trim_rows
from airflow_provider_mlfeat.online.redis.packing import Packing
from airflow_provider_mlfeat.online.redis.reader import record_key
from airflow_provider_mlfeat.online.retaining import Horizon, kept_places
from airflow_provider_mlfeat.online.series import Retention, Series
from airflow_provider_mlfeat.sql.plan import Schema
from airflow_provider_mlfeat.sql.types import Kind


def write_series(
    client: Any, prefix: bytes, series: Series, schema: Schema, rows: Rows, arrivals: Bits, horizon: Horizon
) -> list[bytes]:
    """Add rows to one series, and take away what its retention no longer keeps → the keys of these rows.

    :param client: of the Redis.
    :param prefix: of the series' keys.
    :param series: the series.
    :param schema: the table's columns.
    :param rows: the rows.
    :param arrivals: their numbers.
    :param horizon: which requests are still to come.
    """
    names = [column.name for column in schema]
    order_column = None if series.order is None else names.index(series.order)
    packing = Packing(schema, order_column)
    by_key = _by_key(prefix, series, names, packing, rows, arrivals)
    pipeline = client.pipeline(transaction=False)
    for key, scores in by_key.items():
        if series.buckets is None:
            pipeline.zadd(key, scores)
        else:
            put_rows(pipeline, key, scores, series.buckets)
    pipeline.execute()
    retention = series.retention
    if retention.everything or (order_column is not None and not (horizon.is_live or horizon.earliest is not None)):
        return list(by_key)
    if order_column is None:
        _trim_by_arrival(client, series, packing, names, list(by_key))
    else:
        is_time = schema[order_column].type.kind is Kind.TIMESTAMP
        _trim_by_order(client, series, list(by_key), horizon, is_time)
    return list(by_key)


def remove_rows(client: Any, prefix: bytes, series: Series, schema: Schema, rows: Rows, arrivals: Bits) -> None:
    """Take rows away again, those of them that are there; see ``write_series``."""
    names = [column.name for column in schema]
    packing = Packing(schema, None if series.order is None else names.index(series.order))
    pipeline = client.pipeline(transaction=False)
    for key, scores in _by_key(prefix, series, names, packing, rows, arrivals).items():
        if series.buckets is None:
            pipeline.zrem(key, *scores)
        else:
            take_rows(pipeline, key, scores, series.buckets)
    pipeline.execute()


def _by_key(
    prefix: bytes, series: Series, names: list[str], packing: Packing, rows: Rows, arrivals: Bits
) -> dict[bytes, dict[bytes, int]]:
    """The members of rows with their scores, by the keys of Redis that they go to."""
    members, order = packing.pack(rows, arrivals)
    found: dict[bytes, dict[bytes, int]] = {}
    values = [rows.columns[names.index(name)].to_values() for name in series.keys]
    keys = [record_key(prefix, value) for value in zip(*values, strict=True)] if values else [record_key(prefix, ())]
    for place, member in enumerate(members):
        key = keys[place] if values else keys[0]
        found.setdefault(key, {})[member] = int(order[place]) if series.order is not None else 0
    return found


def _trim_by_arrival(client: Any, series: Series, packing: Packing, names: list[str], keys: list[bytes]) -> None:
    retention = series.retention
    pipeline = client.pipeline(transaction=False)
    if not retention.best:
        for key in keys:
            pipeline.zremrangebyrank(key, 0, -retention.rows - 1)
        pipeline.execute()
        return
    for key in keys:
        pipeline.zrange(key, 0, -1)
    found = pipeline.execute()
    pipeline = client.pipeline(transaction=False)
    for key, members in zip(keys, found, strict=True):
        gone = _worse(packing, retention, names, members)
        if gone:
            pipeline.zrem(key, *gone)
    pipeline.execute()


def _worse(packing: Packing, retention: Retention, names: list[str], members: list[bytes]) -> list[bytes]:
    """The members that are not among the best ones."""
    block = packing.block(members, StringPool(), {b"": 0})

    def column(place: int) -> tuple[Any, Any]:
        # What decides is a number: the language orders a LAST JOIN by no other.
        return block.bits[place], block.kept[1 + place]

    everything = np.arange(len(members))
    gone = np.setdiff1d(everything, everything[kept_places(retention, block.order, column, names, None)])
    return [members[place] for place in gone.tolist()]


def _trim_by_order(client: Any, series: Series, keys: list[bytes], horizon: Horizon, is_time: bool) -> None:
    retention = series.retention
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.zrange(key, -1, -1, withscores=True)
    newest = [int(one[0][1]) if one else 0 for one in pipeline.execute()]
    since = [horizon.since(value, is_time) for value in newest]
    oldest: list[Any] = [None] * len(keys)
    if retention.rows:
        # The row that as many rows before the earliest request as the retention wants begin with.
        pipeline = client.pipeline(transaction=False)
        for key, value in zip(keys, since, strict=True):
            pipeline.zrevrangebyscore(key, value, "-inf", start=retention.rows - 1, num=1, withscores=True)
        oldest = pipeline.execute()
    pipeline = client.pipeline(transaction=False)
    for key, value, row in zip(keys, since, oldest, strict=True):
        assert value is not None
        bounds = [value - retention.time] if retention.time is not None else []
        if retention.rows:
            if not row:
                continue
            bounds.append(int(row[0][1]))
        bound = min(bounds, default=value)
        if bound >= EXACT:
            bound -= 1 << (bound.bit_length() - 52)
        if series.buckets is None:
            pipeline.zremrangebyscore(key, "-inf", f"({bound}")
        elif bound > 0:
            trim_rows(pipeline, key, bound, series.buckets)
    pipeline.execute()
