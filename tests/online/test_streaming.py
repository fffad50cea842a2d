"""A Redis Stream into a store."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.online.ingest import IngestStreamResult
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.opening import StoreAddress
from airflow_provider_mlfeat.online.redis.client import open_client
from airflow_provider_mlfeat.online.store import OnlineStore
from airflow_provider_mlfeat.online.streaming import Ingested, StreamIngest
from tests.online import shop
from tests.online.shop import create, deployed

ANN = ("ann", 20_000, 1)


class Stream:
    """A stream of its own, on the tests' Redis."""

    def __init__(self, port: int, name: str) -> None:
        self.address = StoreAddress(host="127.0.0.1", port=port)
        self.client, self.name = open_client(self.address), name

    def add(self, row: Any, **fields: str) -> None:
        self.client.xadd(self.name, {"row": row if isinstance(row, str) else json.dumps(row), **fields})

    def ingest(self, store: OnlineStore, consumer: str = "1", table: str = "purchase") -> Ingested:
        ingest = StreamIngest(store, self.address, self.name, table, consumer=consumer)
        try:
            return ingest.run(lambda: False, idle_seconds=0.05)
        finally:
            ingest.close()

    def rejected(self) -> list[str]:
        return [fields[b"reason"].decode() for _, fields in self.client.xrange(f"{self.name}:rejected")]


@pytest.fixture
def stream(redis_store_port: int, request: pytest.FixtureRequest) -> Stream:
    return Stream(redis_store_port, f"events-{request.node.name}")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_mlfeat.online.streaming._WAIT_SECONDS", 0.02)


def test_entries_become_rows(store: OnlineStore, stream: Stream) -> None:
    create(store)
    deployed(store, "sums", shop.SUMS)
    stream.add(["ann", 19_000, 2.5, "hat"])
    stream.add({"who": "ann", "at": 19_001, "price": 1, "kind": "cap"}, event="e1")
    stream.add({"who": "ann", "at": 19_001, "price": 1, "kind": "cap"}, event="e1")
    stream.add(["ann", None, 3, None], table="person")
    assert stream.ingest(store) == Ingested(4, 3, 1, 0)
    assert FeatureService(store).features("sums", ANN) == ("ann", 3.5, 2, "cap,hat", 3)
    assert stream.ingest(store) == Ingested(0, 0, 0, 0)


def test_bad_entries_are_put_aside_with_the_reason(store: OnlineStore, stream: Stream) -> None:
    create(store)
    deployed(store, "sums", shop.SUMS)
    for row in ("{", [1], ["ann", "soon", 1.0, "hat"], ["ann", None, 1.0, "hat"], ["ann", 19_000, 1.0, "hat"]):
        stream.add(row)
    stream.client.xadd(stream.name, {"other": "field"})
    stream.add(["ann"], table="nowhere")
    assert stream.ingest(store) == Ingested(7, 1, 0, 6)
    reasons = stream.rejected()
    assert len(reasons) == 6
    for part in (
        "is no JSON",
        "has 1 values, not 4",
        "takes a timestamp",
        "orders a window",
        "no field 'row'",
        "nowhere",
    ):
        assert any(part in reason for reason in reasons), part
    assert FeatureService(store).features("sums", ANN) == ("ann", 1.0, 1, "hat,NULL", None)


def test_what_a_dead_consumer_had_taken_counts_once(
    store: OnlineStore, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store)
    deployed(store, "sums", shop.SUMS)
    for number in range(4):
        stream.add(["ann", 19_000 + number, 1.0, "hat"])
    dying = StreamIngest(store, stream.address, stream.name, "purchase", consumer="dying")
    dying._make_group()
    taken = dying._take(b">")
    # It dies between putting and acknowledging.
    dying._put("purchase", [(entry, dying._read("purchase", entry)) for entry in taken[:2]])
    dying.close()
    assert stream.ingest(store, "other") == Ingested(0, 0, 0, 0)
    monkeypatch.setattr("airflow_provider_mlfeat.online.streaming._ABANDONED_MILLISECONDS", 0)
    assert stream.ingest(store, "other") == Ingested(4, 2, 2, 0)
    assert FeatureService(store).features("sums", ANN) == ("ann", 4.0, 4, "hat,NULL", None)


def test_as_a_job(store: OnlineStore, stream: Stream, address: StoreAddress) -> None:
    create(store)
    stream.add(["ann", 19_000, 2.5, "hat"])
    place = {"path": address.path, "host": address.host, "port": address.port, "key_prefix": address.key_prefix}
    document = {
        "kind": "ingest_stream",
        "stream": stream.name,
        "table": "purchase",
        "idle_seconds": 0.1,
        "online": place,
    }
    source = {"host": "127.0.0.1", "port": stream.address.port}
    result = run(parse_spec({**document, "source": source}), Progress())
    assert isinstance(result, IngestStreamResult)
    assert (result.entries, result.rows, result.rejected) == (1, 1, 0)
    with pytest.raises(UserError, match="a stream is in a Redis: give its host"):
        run(parse_spec({**document, "online": {"path": "x"}}), Progress())
