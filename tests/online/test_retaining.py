"""What a store lets go is never seen by a request that is still to come."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from airflow_provider_mlfeat.engine.history import MemoryHistory
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from airflow_provider_mlfeat.online.series import EVERYTHING, Need, Retention, union
from airflow_provider_mlfeat.online.store import Load, OnlineStore
from airflow_provider_mlfeat.sql.plan import Column
from airflow_provider_mlfeat.sql.types import parse_type
from tests.online import shop

WINDOW = """
SELECT visit.who, spent, seen, level
FROM (SELECT who, sum(price) OVER near AS spent, count(price) OVER last AS seen
    FROM (SELECT who, at, 0.0 AS price, '' AS kind FROM visit)
    WINDOW near AS (UNION (SELECT who, at, price, kind FROM purchase) PARTITION BY who ORDER BY at
        ROWS_RANGE BETWEEN {seconds}s PRECEDING AND CURRENT ROW {maxsize} INSTANCE_NOT_IN_WINDOW),
    last AS (UNION (SELECT who, at, price, kind FROM purchase) PARTITION BY who ORDER BY at
        ROWS BETWEEN {rows} PRECEDING AND 1 PRECEDING INSTANCE_NOT_IN_WINDOW)) AS visit
LAST JOIN person ORDER BY person.since {descending} ON visit.who = person.who
"""
WHO = st.sampled_from(["ann", "bob", None])
TIMES = st.integers(0, 40).map(lambda second: 1_000 * second)
PURCHASES = st.tuples(st.just("purchase"), st.tuples(WHO, TIMES, st.integers(1, 9).map(float), st.just("hat")))
PEOPLE = st.tuples(st.just("person"), st.tuples(WHO, st.none(), st.integers(1, 99), st.none() | TIMES))
QUERIES = st.builds(
    lambda seconds, rows, maxsize, descending: WINDOW.format(
        seconds=seconds, rows=rows, maxsize=maxsize, descending=descending
    ),
    st.integers(1, 20), st.integers(1, 4), st.sampled_from(["", "MAXSIZE 2"]), st.sampled_from(["", "DESC"]),
)  # fmt: skip


@pytest.fixture(scope="module", params=["embedded", "redis"])
def shared_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "embedded":
        address = StoreAddress(path=str(tmp_path_factory.mktemp("online")))
    else:
        port = request.getfixturevalue("redis_store_port")
        address = StoreAddress(host="127.0.0.1", port=port, key_prefix="retaining")
    with open_store(address) as store:
        yield store


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    query=QUERIES, puts=st.lists(PURCHASES | PEOPLE, max_size=30), loaded=st.integers(0, 10), later=st.integers(0, 9)
)
def test_live_requests(
    shared_store: OnlineStore, query: str, puts: list[tuple[str, tuple[Any, ...]]], loaded: int, later: int
) -> None:
    """Requests from the newest row of their key on see what they would if nothing had been let go."""
    store = shared_store
    for name in store.tables():
        store.drop_table(name)
    store.documents.change(
        lambda draft: [draft.delete(name) for name in draft.list("deployment/") | draft.list("live/")]
    )
    shop.create(store)
    schemas = {
        ("", name): tuple(Column(column, parse_type(text)) for column, text in columns.items())
        for name, columns in shop.COLUMNS.items()
    }
    memory = MemoryHistory(schemas)
    shop.deployed(store, "one", query)
    for number, (table, row) in enumerate(puts):
        load = Load(f"load {number}") if number < loaded else None
        shop.put(store, table, row, load=load)
        memory.insert(("", table), row)
    program, service = RequestProgram(shop.plan(query), memory), FeatureService(store)
    for who in ("ann", "bob", None, "eve"):
        newest = max([row[1] for table, row in puts if table == "purchase" and row[0] == who], default=0)
        request = (who, newest + 500 * later, 1)
        assert service.features("one", request) == program.answer(request)[0]


def test_retentions_join_to_what_keeps_all_that_either_keeps() -> None:
    rows, time = Retention(rows=3), Retention(time=10)
    assert (rows | time) == Retention(rows=3, time=10)
    assert (rows | Retention(rows=5)) == Retention(rows=5)
    assert (rows | EVERYTHING) == EVERYTHING
    assert (rows | time).covers(rows)
    assert not rows.covers(rows | time)
    best = Retention(best=(("a", False),)) | Retention(best=(("b", True), ("a", False)))
    assert best.best == (("a", False), ("b", True))
    needs = [Need(("", "t"), ("k",), "o", rows), Need(("", "t"), ("k",), "o", time), Need(("", "t"))]
    assert union(needs) == [Need(("", "t"), ("k",), "o", rows | time), Need(("", "t"))]
    assert [Need.from_document(need.to_document()) for need in union(needs)] == union(needs)
