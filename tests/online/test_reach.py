"""How far back a look-up reaches: rows that no frame of a request sees need not travel, and answers do not change."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlfeat.engine.history import MemoryHistory, Reach, widest
from airflow_provider_mlfeat.engine.request import RequestProgram
from airflow_provider_mlfeat.online.embedded import reader
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.store import Load, OnlineStore
from tests.online import shop
from tests.online.shop import create, deployed, plan, put, table

FRAMES = {
    "rows": "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW",
    "earlier rows": "ROWS BETWEEN 6 PRECEDING AND 2 PRECEDING",
    "open rows": "ROWS BETWEEN 3 OPEN PRECEDING AND CURRENT ROW",
    "unbounded rows": "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "range": "ROWS_RANGE BETWEEN 4s PRECEDING AND CURRENT ROW",
    "open range": "ROWS_RANGE BETWEEN 4s OPEN PRECEDING AND 0s OPEN PRECEDING",
    "earlier range": "ROWS_RANGE BETWEEN 5s PRECEDING AND 2s PRECEDING MAXSIZE 2",
    "newest of a range": "ROWS_RANGE BETWEEN 10s PRECEDING AND CURRENT ROW MAXSIZE 3",
    "newest of all": "ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW MAXSIZE 2",
    "no current row": "ROWS_RANGE BETWEEN 10s PRECEDING AND CURRENT ROW MAXSIZE 3 EXCLUDE CURRENT_ROW",
    "no current time": "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE CURRENT_TIME",
    "no current time in a range": "ROWS_RANGE BETWEEN 9s PRECEDING AND CURRENT ROW MAXSIZE 2 EXCLUDE CURRENT_TIME",
    "itself": "ROWS_RANGE BETWEEN 9s PRECEDING AND CURRENT ROW MAXSIZE 1",
}


def query(*frames: str) -> str:
    """Features over frames of one stream."""
    windows = [f"w{number} AS (UNION (SELECT who, at, price, kind FROM purchase) PARTITION BY who ORDER BY at {frame} "
               "INSTANCE_NOT_IN_WINDOW)" for number, frame in enumerate(frames)]  # fmt: skip
    features = [
        f"sum(price) OVER w{number} AS sum{number}, count(price) OVER w{number} AS count{number}, "
        f"first_value(kind) OVER w{number} AS first{number}"
        for number in range(len(frames))
    ]
    source = "(SELECT who, at, 0.0 AS price, '' AS kind FROM visit)"
    return f"SELECT who, {', '.join(features)} FROM {source} WINDOW {', '.join(windows)}"


def _same_as_in_memory(store: OnlineStore, sql: str) -> None:
    chance = random.Random(1)
    create(store)
    deployed(store, "query", sql)
    memory = MemoryHistory({("", name): store.table("", name).schema for name in shop.COLUMNS})
    rows = [
        (chance.choice(("ann", "bob")), 1_000 * chance.randrange(20), float(place), str(place)) for place in range(120)
    ]
    put(store, "purchase", *rows, load=Load("all"))
    memory.load(("", "purchase"), table("purchase", rows))
    service, expected = FeatureService(store), RequestProgram(plan(sql), memory)
    for who in ("ann", "bob", "eve"):
        for second in (0, 3, 10, 19, 25, 10**13):
            row = (who, 1_000 * second, 1)
            assert service.features("query", row) == expected.answer(row)[0], row


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
def test_one_frame(store: OnlineStore, frame: str) -> None:
    _same_as_in_memory(store, query(frame))


@pytest.mark.parametrize("pair", [("rows", "range"), ("newest of a range", "rows"), ("range", "newest of all")])
def test_frames_that_share_a_look_up(store: OnlineStore, pair: tuple[str, str]) -> None:
    _same_as_in_memory(store, query(*(FRAMES[name] for name in pair)))


@pytest.mark.parametrize(
    ("frame", "reach"),
    [
        ("rows", Reach(3, None)),
        ("unbounded rows", Reach(None, None)),
        ("earlier range", Reach(None, 5_000)),
        ("newest of a range", Reach(2, 10_000)),
        ("newest of all", Reach(1, None)),
        ("no current time", Reach(None, None)),
    ],
)
def test_how_far_a_frame_reaches(frame: str, reach: Reach) -> None:
    sql = query(FRAMES[frame])
    memory = MemoryHistory({("", name): tuple(shop.plan(f"SELECT * FROM {name}").schema) for name in shop.COLUMNS})
    lookup = (RequestProgram(plan(sql), memory).lookups(("ann", 5, 1)) or [])[0]
    assert (lookup.time, lookup.reach) == (5, (reach,))


def test_reaches_are_put_together() -> None:
    limited, long, both = Reach(3, 50), Reach(None, 10), Reach(9, None)
    assert widest([limited]) == (limited,)
    assert widest([limited, both]) == (Reach(9, None),)
    assert widest([limited, long]) == (long, limited)
    assert widest([Reach(3, 5), long]) == (long,)
    assert widest([both, Reach(None, None)]) == (Reach(None, None),)


def test_rows_beyond_the_reach_do_not_travel(store: OnlineStore) -> None:
    create(store)
    deployed(store, "query", query(FRAMES["newest of a range"]))
    put(store, "purchase", *(("ann", 10 * number, 1.0, "hat") for number in range(500)), load=Load("all"))
    seen = FeatureService(store).explain("query", ("ann", 4_000, 1))["history"]
    assert [one["rows"] for one in seen] == [500 if store.is_local else 2]


def test_a_service_keeps_nothing_of_requests_that_went_the_general_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_MOST_OBJECTS", 4)
    with EmbeddedStore(tmp_path / "online") as store:
        create(store)
        sql = "SELECT who, sum(price * 2) OVER w AS s FROM purchase WINDOW w AS (PARTITION BY who ORDER BY at "
        deployed(store, "doubled", sql + "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)")
        put(store, "purchase", ("ann", 1_000, 2.5, "hat"))
        history: Any = store.history()
        program = RequestProgram(plan(sql + "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"), history)
        for _ in range(20):
            assert program.answer(("ann", 2_000, 1.0, "cap")) == [("ann", 7.0)]
        assert 0 < len(history._by_object) <= 4
