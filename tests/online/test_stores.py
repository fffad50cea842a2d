"""What every online store does."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.store import Load, LoadState, OnlineStore
from airflow_provider_mlfeat.sql.catalog import TableDefinition
from tests.online import shop
from tests.online.conftest import OpenStore
from tests.online.shop import create, deployed, put

ANN = ("ann", 20_000, 1)


def rows_of(store: OnlineStore, table: str) -> int:
    """Rows in the longest series of a table."""
    return max(store.size().tables[table].values())


def test_a_row_is_seen_by_the_next_request(open_same: OpenStore) -> None:
    writer, reader = open_same(), open_same()
    create(writer)
    deployed(writer, "sums", shop.SUMS)
    service = FeatureService(reader)
    assert service.features("sums", ANN) == ("ann", None, 0, "", None)
    put(writer, "purchase", ("ann", 19_000, 2.5, "hat"), ("bob", 19_000, 9.0, "hat"))
    assert service.features("sums", ANN) == ("ann", 2.5, 1, "hat,NULL", None)
    put(writer, "purchase", ("ann", 19_500, None, "cap"), ("ann", 20_001, 7.0, "hat"), ("ann", 9_999, 7.0, "hat"))
    put(writer, "person", ("ann", "2001-02-03", 4, None))
    assert service.features("sums", ANN) == ("ann", 2.5, 1, "cap,hat", 4)


def test_deploying_fills_series_from_rows_that_are_there(store: OnlineStore) -> None:
    create(store)
    put(store, "purchase", ("ann", 12_000, 1.0, "hat"), ("ann", 11_000, 2.0, "cap"), (None, 11_000, 4.0, "cap"))
    assert deployed(store, "sums", shop.SUMS).lacking == ()
    service = FeatureService(store)
    assert service.features("sums", ANN) == ("ann", 3.0, 2, "cap,hat", None)
    assert service.features("sums", (None, 20_000, 1)) == (None, 4.0, 1, "cap,NULL", None)


def test_a_series_that_was_cut_is_reported_as_lacking(store: OnlineStore) -> None:
    create(store)
    assert deployed(store, "three", shop.LAST_THREE).lacking == ()
    for second in range(8):
        put(store, "purchase", ("ann", 11_000 + second, 1.0, "hat"))
    assert FeatureService(store).features("three", ANN) == ("ann", 3.0)
    assert deployed(store, "sums", shop.SUMS).lacking == ("purchase",)


def test_live_puts_keep_only_what_requests_to_come_can_see(store: OnlineStore) -> None:
    create(store)
    deployed(store, "three", shop.LAST_THREE)
    for second in range(50):
        put(store, "purchase", ("ann", 1_000 * second, float(second), "hat"))
    assert rows_of(store, "purchase") == 3
    deployed(store, "sums", shop.SUMS)
    for second in range(50, 100):
        put(store, "purchase", ("ann", 1_000 * second, float(second), "hat"))
    assert store.size().tables["purchase"] == {"who by at": 11}


def test_biases_keep_more(store: OnlineStore) -> None:
    create(store)
    deployed(store, "three", shop.LAST_THREE, options={"rows_bias": "2"})
    for second in range(50):
        put(store, "purchase", ("ann", 1_000 * second, float(second), "hat"))
    assert rows_of(store, "purchase") == 5
    deployed(store, "sums", shop.SUMS, options={"range_bias": "inf"})
    for second in range(50, 100):
        put(store, "purchase", ("ann", 1_000 * second, float(second), "hat"))
    assert rows_of(store, "purchase") == 55


def test_a_load_keeps_what_requests_for_any_time_can_see(store: OnlineStore) -> None:
    create(store)
    deployed(store, "three", shop.LAST_THREE)
    rows = [("ann", 1_000 * second, 1.0, "hat") for second in range(50)]
    put(store, "purchase", *rows, load=Load("one"))
    assert rows_of(store, "purchase") == 50
    put(store, "purchase", *[("bob", *row[1:]) for row in rows], load=Load("two", earliest=10_000))
    # 10 000 … 49 000, and the three before a request at 10 000, which sees the row of that time too
    assert rows_of(store, "purchase") == 50 + 39 + 3


def test_a_row_in_the_future_does_not_take_history_away(store: OnlineStore) -> None:
    create(store)
    deployed(store, "sums", shop.SUMS)
    put(store, "purchase", ("ann", 19_000, 2.5, "hat"))
    put(store, "purchase", ("ann", 4_000_000_000_000, 2.5, "hat"))
    assert FeatureService(store).features("sums", ("ann", 4_000_000_000_000, 1)) == ("ann", 2.5, 1, "hat,NULL", None)


def test_late_rows_take_their_place(store: OnlineStore) -> None:
    create(store)
    deployed(store, "three", shop.LAST_THREE)
    put(store, "purchase", ("ann", 15_000, 1.0, "a"), ("ann", 17_000, 2.0, "a"))
    put(store, "purchase", ("ann", 16_000, 4.0, "a"), ("ann", 15_000, 8.0, "a"))
    assert FeatureService(store).features("three", ANN) == ("ann", 14.0)


def test_long_histories(store: OnlineStore) -> None:
    """More rows than one record holds, in order and late ones."""
    create(store)
    deployed(store, "sums", shop.SUMS, options={"range_bias": "inf"})
    service = FeatureService(store)
    rows = [("ann", 10_000 + 2 * number, 1.0, "hat") for number in range(4_000)]
    put(store, "purchase", *rows[:3_000], load=Load("begin"))
    assert service.features("sums", ANN) == ("ann", 3_000.0, 3_000, "hat,NULL", None)
    for start in range(3_000, 4_000, 125):
        put(store, "purchase", *rows[start : start + 125])
    assert service.features("sums", ANN) == ("ann", 4_000.0, 4_000, "hat,NULL", None)
    put(store, "purchase", *[("ann", 10_001 + 20 * number, 1.0, "cap") for number in range(100)])
    assert service.features("sums", ANN) == ("ann", 4_100.0, 4_100, "hat,cap", None)
    assert service.features("sums", ("ann", 10_099, 1)) == ("ann", 55.0, 55, "hat,cap", None)
    assert rows_of(store, "purchase") == 4_100


def test_last_join_by_time_keeps_the_best_row(store: OnlineStore) -> None:
    create(store)
    deployed(store, "latest", shop.LATEST)
    put(store, "person", ("ann", None, 1, 5_000), ("ann", None, 2, 9_000), ("ann", None, 3, 9_000))
    put(store, "person", ("ann", None, 4, 8_000), ("ann", None, 5, None))
    assert FeatureService(store).features("latest", ANN) == ("ann", 3)
    assert rows_of(store, "person") == 1


def test_a_query_that_reads_a_whole_table(store: OnlineStore) -> None:
    create(store)
    put(store, "purchase", ("ann", 1, 5.0, "hat"))
    deployed(store, "cross", shop.CROSS)
    service = FeatureService(store)
    assert service.features("cross", ANN) == ("ann", "hat")
    put(store, "purchase", ("bob", 1, 6.0, "cap"), ("bob", 1, 0.5, "bag"))
    assert service.features("cross", ANN) == ("ann", "cap")


def test_a_load_is_done_once_and_goes_on(store: OnlineStore) -> None:
    create(store)
    purchase = store.table("", "purchase")
    rows = [("ann", 10_000 + number, 1.0, "hat") for number in range(10)]
    assert store.load_state(purchase, "day") == LoadState()
    assert put(store, "purchase", *rows[:4], load=Load("day", 0, last=False)) == 4
    assert put(store, "purchase", *rows[:4], load=Load("day", 0, last=False)) == 0
    assert store.load_state(purchase, "day") == LoadState(4, False)
    assert put(store, "purchase", *rows[2:8], load=Load("day", 2, last=False)) == 4
    assert put(store, "purchase", *rows[8:], load=Load("day", 8)) == 2
    assert store.load_state(purchase, "day") == LoadState(10, True)
    assert put(store, "purchase", *rows, load=Load("day")) == 0
    with pytest.raises(UserError, match="load 'other' of 'purchase' has 0 rows in the store, so it cannot go on at"):
        put(store, "purchase", *rows, load=Load("other", 5))
    assert rows_of(store, "purchase") == 10
    store.truncate(("", "purchase"))
    assert rows_of(store, "purchase") == 0
    assert put(store, "purchase", *rows, load=Load("day")) == 10


def test_events_count_once(store: OnlineStore) -> None:
    create(store)
    rows = [("ann", 10_000 + number, 1.0, "hat") for number in range(3)]
    assert put(store, "purchase", *rows, events=["a", "b", "a"]) == 2
    assert put(store, "purchase", *rows, events=["b", "c", "d"]) == 2
    assert put(store, "purchase", *rows, events=["b", "c", "d"]) == 0
    assert put(store, "visit", ANN, events=["a"]) == 1
    assert rows_of(store, "purchase") == 4
    with pytest.raises(UserError, match="3 rows have 1 event ids: each needs one"):
        put(store, "purchase", *rows, events=["x"])
    with pytest.raises(UserError, match="row 1 has an empty event id"):
        put(store, "purchase", *rows, events=["x", "", "y"])


def test_a_row_without_a_time_is_refused_whole(store: OnlineStore) -> None:
    create(store)
    deployed(store, "sums", shop.SUMS)
    message = "row 1 of 'purchase': column 'at' orders a window and must not be NULL or negative, but is None"
    with pytest.raises(UserError, match=message):
        put(store, "purchase", ("ann", 1, 1.0, "hat"), ("ann", None, 1.0, "hat"))
    assert rows_of(store, "purchase") == 0


def test_rows_without_a_time_stand_in_the_way_of_a_deployment(store: OnlineStore) -> None:
    create(store)
    put(store, "purchase", ("ann", None, 1.0, "hat"))
    with pytest.raises(UserError, match="row 0 of 'purchase': column 'at' orders a window"):
        deployed(store, "sums", shop.SUMS)
    assert store.size().tables["purchase"] == {"all rows": 1}


def test_tables(store: OnlineStore) -> None:
    create(store)
    create(store)
    assert sorted(store.tables()) == [("", "person"), ("", "purchase"), ("", "visit")]
    assert store.table("", "PERSON").name == ("", "person")
    other = TableDefinition("", "visit", shop.definition("person").columns)
    with pytest.raises(UserError, match="the online store has a table 'visit' with other columns"):
        store.create_table(other)
    put(store, "visit", ANN)
    store.drop_table(("", "visit"))
    with pytest.raises(UserError, match="the online store has no table 'visit'"):
        store.table("", "visit")
    create(store)
    assert rows_of(store, "visit") == 0


def test_values_come_back_as_they_were(store: OnlineStore) -> None:
    create(store)
    deployed(store, "all", "SELECT person.* FROM visit LAST JOIN person ON visit.who = person.who")
    service = FeatureService(store)
    long = "ü" * 400_000
    for row in (
        ("ann", None, None, None),
        ("ann", "1900-01-01", -32_768, 253_402_300_799_999),
        (long, None, 32_767, 0),
    ):
        put(store, "person", row)
        answer = service.features("all", (row[0], 1, 1))
        assert answer is not None
        assert [None if value is None else str(value) for value in answer] == [
            None if value is None else str(value) for value in row
        ]
