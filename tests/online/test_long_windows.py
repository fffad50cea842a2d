"""LONG_WINDOWS: answers put together from partial aggregates are those of the rows, bit for bit."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_mlfeat.errors import TransientError
from airflow_provider_mlfeat.online.deploying import Deployed, deploy, drop
from airflow_provider_mlfeat.online.embedded import writer
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from airflow_provider_mlfeat.online.redis import buckets
from airflow_provider_mlfeat.online.redis import store as redis_store
from airflow_provider_mlfeat.online.rows import RowReader
from airflow_provider_mlfeat.online.store import Load, OnlineStore
from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition, TableDefinition
from airflow_provider_mlfeat.sql.planner import plan_query
from airflow_provider_mlfeat.sql.types import parse_type

HOUR = 3_600_000
COLUMNS = {
    "who": "string",
    "at": "timestamp",
    "small": "smallint",
    "amount": "bigint",
    "price": "double",
    "rate": "float",
    "kind": "string",
    "day": "date",
}
EVENT = TableDefinition("", "event", tuple(ColumnDefinition(name, parse_type(kind)) for name, kind in COLUMNS.items()))
FEATURES = """
SELECT who, sum(small) OVER {w} AS a, sum(amount) OVER {w} AS b, avg(small) OVER {w} AS c, count(*) OVER {w} AS d,
    count(kind) OVER {w} AS e, min(price) OVER {w} AS f, max(rate) OVER {w} AS g, min(day) OVER {w} AS h,
    count_where(kind, kind = 'hat') OVER {w} AS i, sum_where(amount, small > 0) OVER {w} AS j,
    avg_where(small, price <= 2.5) OVER {w} AS k, max_where(amount, kind != 'cap') OVER {w} AS l,
    avg(amount) OVER {w} AS m, sum(price) OVER {w} AS n, count(kind) OVER short AS o
FROM event WINDOW short AS (PARTITION BY who ORDER BY at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW),
    {w} AS (PARTITION BY who ORDER BY at {frame})
"""
FRAMES = {
    "a day": "ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW",
    "open": "ROWS_RANGE BETWEEN 30h OPEN PRECEDING AND 0s OPEN PRECEDING",
    "before": "ROWS_RANGE BETWEEN 50h PRECEDING AND 5h PRECEDING",
    "all": "ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW",
    "no current time": "ROWS_RANGE BETWEEN 2d PRECEDING AND CURRENT ROW EXCLUDE CURRENT_TIME",
}

SHORT = {"_RECORD_ROWS": 6, "_OPEN_ROWS": 2, "_CHUNK_ROWS": 5, "_FEW_LATE_ROWS": 3}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows, so that a few rows are a long history."""
    for name, value in SHORT.items():
        monkeypatch.setattr(writer, name, value)


def deploy_event(store: OnlineStore, name: str, frame: str, window: str = "w", **options: Any) -> Deployed:
    store.create_table(EVENT)
    long = {"w": 7 * HOUR} if options.pop("is_long", True) else {}
    sql = FEATURES.format(w=window, frame=frame)
    plan = plan_query(sql, Catalog([EVENT]), mode="request", long_windows=long)
    assert len(plan.long_windows) == len(long)
    return deploy(store, name, sql, plan, options={"long_windows": "w:7h"} if long else {}, **options)


def random_row(chance: random.Random, hour: int) -> tuple[Any, ...]:
    def maybe(value: Any) -> Any:
        return None if chance.random() < 0.1 else value

    return (
        *(chance.choice(("ann", "bob")), hour * HOUR + chance.choice((0, 1)), maybe(chance.randint(-30_000, 30_000))),
        *(maybe(chance.choice((1, 2**40, -(2**62), 2**63 - 1))), maybe(chance.choice((0.1, -0.0, 2.5, 1e300)))),
        *(maybe(chance.choice((0.5, -1.25))), maybe(chance.choice(("hat", "cap", ""))), maybe("2024-02-03")),
    )


def put(store: OnlineStore, *rows: tuple[Any, ...], **options: Any) -> None:
    store.put(store.table("", "event"), RowReader.of_table(EVENT).table(rows), **options)


def compare(store: OnlineStore, chance: random.Random, hours: range, count: int = 12) -> None:
    service = FeatureService(store)
    reader = RowReader.of_table(EVENT)
    for _ in range(count):
        request = reader(random_row(chance, chance.choice(hours)))
        expected, found = service.features("plain", request), service.features("long", request)
        assert repr(found) == repr(expected), request


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
def test_answers_are_those_of_the_rows_whatever_comes_in_which_order(store: OnlineStore, frame: str) -> None:
    chance = random.Random(frame)
    deploy_event(store, "plain", frame, is_long=False)
    deploy_event(store, "long", frame)
    hours = range(20, 120)
    for step in range(12):
        if step % 3 == 0:
            rows = [random_row(chance, chance.choice(hours)) for _ in range(chance.choice((1, 40)))]
            put(store, *rows, load=Load(f"load {step}"))
        else:
            for _ in range(chance.choice((1, 8))):
                put(store, random_row(chance, 20 + 8 * step - chance.choice((0, 0, 1, 15))))
        compare(store, chance, hours)


def test_rows_that_were_there_are_filled_in(store: OnlineStore) -> None:
    chance = random.Random(3)
    deploy_event(store, "plain", FRAMES["a day"], is_long=False)
    put(store, *(random_row(chance, chance.choice(range(20, 90))) for _ in range(150)), load=Load("all"))
    assert deploy_event(store, "long", FRAMES["a day"]).lacking == ()
    compare(store, chance, range(20, 120), 40)


def test_a_deployment_that_goes_takes_its_buckets_along(store: OnlineStore) -> None:
    chance = random.Random(4)
    deploy_event(store, "plain", FRAMES["a day"], is_long=False)
    deploy_event(store, "long", FRAMES["a day"])
    assert [series.buckets is not None for series in store.table("", "event").series] == [True]
    put(store, *(random_row(chance, chance.choice(range(20, 90))) for _ in range(60)), load=Load("all"))
    drop(store, "long")
    assert [series.buckets for series in store.table("", "event").series] == [None]
    put(store, random_row(chance, 30))
    deploy_event(store, "long", FRAMES["a day"])
    compare(store, chance, range(20, 120))


def test_explaining_says_what_came_from_buckets(store: OnlineStore) -> None:
    deploy_event(store, "long", FRAMES["all"])
    put(store, *(("ann", hour * HOUR, 1, 1, 1.0, 1.0, "hat", None) for hour in range(100)), load=Load("all"))
    explained = FeatureService(store).explain("long", ("ann", 100 * HOUR, 1, 1, 1.0, 1.0, "hat", None))
    (summarized,) = [one for one in explained["history"] if "buckets" in one]
    assert 0 < summarized["rows"] < 20
    assert summarized["buckets"] > 10
    assert explained["features"]["d"] == 100


def test_what_has_no_parts_is_told(store: OnlineStore) -> None:
    told = deploy_event(store, "long", FRAMES["a day"]).from_rows
    assert told == ("sum(price): the order in which numbers of type double are added decides their sum",)
    counted = deploy_event(store, "counted", FRAMES["a day"] + " MAXSIZE 7").from_rows
    assert "count(): its window counts rows" in counted


def test_partial_aggregates_are_what_answers(store: OnlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rows in the middle of a window the answer stays, because it is not computed from them."""
    deploy_event(store, "long", FRAMES["all"])
    rows = [("ann", hour * HOUR, 1, 1, 1.0, 1.0, "hat", None) for hour in range(100)]
    put(store, *rows, load=Load("all"))
    service = FeatureService(store)
    seen: list[int] = []
    kind: Any = type(store.history())
    fetch = kind.fetch_partials

    def counting(self: Any, *arguments: Any) -> Any:
        found = fetch(self, *arguments)
        seen.append(0 if found.rows is None else found.rows.count)
        return found

    monkeypatch.setattr(kind, "fetch_partials", counting)
    answer = service.features("long", ("ann", 100 * HOUR, None, None, None, None, None, None))
    assert answer is not None
    assert answer[4] == 100
    assert 0 < max(seen) < 20


def test_writers_at_once(redis_store_port: int) -> None:
    """What one writer settles while another one writes is never what answers."""
    address = StoreAddress(host="127.0.0.1", port=redis_store_port, key_prefix=uuid4().hex)
    with open_store(address) as store:
        deploy_event(store, "plain", FRAMES["a day"], is_long=False)
        deploy_event(store, "long", FRAMES["a day"])

        def write(seed: int) -> None:
            chance = random.Random(seed)
            with open_store(address) as own:
                for _ in range(40):
                    put(own, *(random_row(chance, chance.choice(range(20, 60))) for _ in range(3)))

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(write, range(3)))
        compare(store, random.Random(5), range(20, 90), 60)


def test_a_writer_that_dies_before_it_settles(redis_store_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    address = StoreAddress(host="127.0.0.1", port=redis_store_port, key_prefix=uuid4().hex)
    chance = random.Random(6)
    with open_store(address) as store:
        deploy_event(store, "plain", FRAMES["all"], is_long=False)
        deploy_event(store, "long", FRAMES["all"])
        put(store, *(random_row(chance, chance.choice(range(20, 60))) for _ in range(50)), load=Load("first"))

        def die(*arguments: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(redis_store, "settle", die)
            with pytest.raises(KeyboardInterrupt):
                put(store, *(random_row(chance, chance.choice(range(20, 60))) for _ in range(20)), load=Load("second"))
        compare(store, chance, range(20, 90))
        put(store, *(random_row(chance, 59) for _ in range(9)))
        compare(store, chance, range(20, 90))


def test_a_put_that_fails_is_taken_back(redis_store_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    address = StoreAddress(host="127.0.0.1", port=redis_store_port, key_prefix=uuid4().hex)
    chance = random.Random(7)
    with open_store(address) as store:
        deploy_event(store, "plain", FRAMES["all"], is_long=False)
        deploy_event(store, "long", FRAMES["all"])
        put(store, *(random_row(chance, chance.choice(range(20, 60))) for _ in range(50)), load=Load("first"))
        before, rows = store.size().tables, [random_row(chance, chance.choice(range(20, 60))) for _ in range(20)]

        def fail(*arguments: Any) -> None:
            buckets.settle(*arguments)
            raise TransientError("Redis is away")

        with monkeypatch.context() as patch:
            patch.setattr(redis_store, "settle", fail)
            with pytest.raises(TransientError, match="is away"):
                put(store, *rows)
        assert store.size().tables == before
        compare(store, chance, range(20, 90))
        put(store, *rows)
        assert [*store.size().tables["event"].values()] == [70]
        compare(store, chance, range(20, 90))


def test_another_window_of_the_same_rows_computes_what_has_no_parts(store: OnlineStore) -> None:
    store.create_table(EVENT)
    window = f"(PARTITION BY who ORDER BY at {FRAMES['a day']})"
    sql = (
        "SELECT sum(small) OVER w AS a, sum(small + amount) OVER v AS b, count_where(small, date(at) = day) OVER v AS c"
        f" FROM event WINDOW w AS {window}, v AS {window}"
    )
    for name, long in (("plain", {}), ("long", {"w": 7 * HOUR})):
        plan = plan_query(sql, Catalog([EVENT]), mode="request", long_windows=long)
        deploy(store, name, sql, plan, options={"long_windows": "w:7h"} if long else {})
    chance = random.Random(8)
    put(store, *(random_row(chance, chance.choice(range(20, 60))) for _ in range(80)))
    compare(store, chance, range(20, 90))


@pytest.mark.parametrize("start", [10**18, 2**53 - 50_000, 2**62])
def test_times_so_large_that_doubles_do_not_tell_them_apart(store: OnlineStore, start: int) -> None:
    columns = {"who": "string", "at": "bigint", "amount": "bigint"}
    definition = TableDefinition(
        "", "tick", tuple(ColumnDefinition(name, parse_type(kind)) for name, kind in columns.items())
    )
    store.create_table(definition)
    window = "(PARTITION BY who ORDER BY at ROWS_RANGE BETWEEN 30000 PRECEDING AND CURRENT ROW)"
    sql = (
        f"SELECT sum(amount) OVER w AS a, avg(amount) OVER w AS b, count(*) OVER w AS c FROM tick WINDOW w AS {window}"
    )
    for name, long in (("plain", {}), ("long", {"w": 1_000})):
        plan = plan_query(sql, Catalog([definition]), mode="request", long_windows=long)
        deploy(store, name, sql, plan, options={"long_windows": "w:1s"} if long else {})
    table, rows = store.table("", "tick"), [("ann", start + 370 * number, number) for number in range(300)]
    store.put(table, RowReader.of_table(definition).table(rows[:-3]), load=Load("all"))
    for row in rows[-3:]:
        store.put(table, RowReader.of_table(definition).table([row]))
    service = FeatureService(store)
    for time in (start + 370 * 300, start + 100_001):
        assert service.features("long", ("ann", time, 1)) == service.features("plain", ("ann", time, 1))
