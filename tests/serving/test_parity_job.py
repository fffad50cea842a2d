"""The parity check as a job: from tables to the replay; each way to part the two sides is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset.encoder import Encoder, Field, rows
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.online.embedded.store import EmbeddedStore
from airflow_provider_mlfeat.serving.parity import replay
from tests.places import ROOT
from tests.serving import shops

SAMPLE = ROOT.parent / "shared" / "data" / "jd_sample"
TABLES = """
CREATE TABLE visit (id string, who string, at timestamp, shop int);
CREATE TABLE purchase (who string, at timestamp, price float, kind string);
"""
SQL = """
SELECT a.id, a.who, a.at, visits, spent, bought, kinds
FROM (SELECT id, who, at, count(who) OVER v AS visits FROM visit
    WINDOW v AS (PARTITION BY who ORDER BY at ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)) AS a
LAST JOIN (SELECT id, max(price) OVER w AS spent, count(price) OVER w AS bought, topn_frequency(kind, 2) OVER w AS kinds
    FROM (SELECT id, who, at, float(NULL) AS price, '' AS kind FROM visit)
    WINDOW w AS (UNION (SELECT '' AS id, who, at, price, kind FROM purchase) PARTITION BY who ORDER BY at
        ROWS_RANGE BETWEEN 10s PRECEDING AND CURRENT ROW MAXSIZE 5 INSTANCE_NOT_IN_WINDOW)) AS b
    ON a.id = b.id
"""
Check = Callable[..., Any]


class Place:
    """A tables root, an online store and a model, made by jobs.

    :param folder: where all of it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.online = {"path": str(folder / "online")}
        self.feature_set = self.deployment = self.model = ""

    def do(self, kind: str, **fields: Any) -> Any:
        return run(parse_spec({"kind": kind, "root": str(self.folder / "tables"), **fields}))

    def load(self, table: str, rows: pa.Table, **options: Any) -> None:
        file = self.folder / f"{table}.parquet"
        pq.write_table(rows, file)
        self.do("load_table", table=table, paths=[str(file)], **options)

    def check(self, **options: Any) -> Any:
        given = {"feature_set": self.feature_set, "deployment": self.deployment, "model": self.model}
        places = {"online": self.online, "report": str(self.folder / "report")}
        return self.do("check_parity", **{**places, **given, **options})


def visit_rows(count: int = 300) -> pa.Table:
    random = np.random.default_rng(1)
    moments = np.sort(random.choice(60_000, count, replace=False)) + 1_000
    return pa.table(
        {
            "id": [f"v{number}" for number in range(count)],
            "who": random.choice(["ann", "bob", "eve", "zoe"], count),
            "at": pa.array(moments, pa.timestamp("ms")),
            "shop": pa.array(random.integers(0, 5, count), pa.int32()),
        }
    )


def purchase_rows(count: int = 400) -> pa.Table:
    random = np.random.default_rng(2)
    return pa.table(
        {
            # Nobody sells to zoe: her features are NULL and empty.
            "who": random.choice(["ann", "bob", "eve"], count),
            "at": pa.array(random.integers(0, 60_000, count), pa.timestamp("ms")),
            "price": pa.array(random.normal(1, 1, count), pa.float32()),
            "kind": random.choice(["a", "b", "c"], count),
        }
    )


def encoder(plan_id: str) -> Encoder:
    return Encoder(
        (
            Field("who", "who", "hash", type="string", rows=32, size=34),
            Field("at", "at", "hash", type="timestamp", rows=64, size=66),
            Field("visits", "visits", "hash", type="int", rows=16, size=18),
            Field("spent", "spent", "hash", type="float32", rows=64, size=66),
            Field("bought", "bought", "value", type="int", transform="none"),
        ),
        {},
        plan_id,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        made = Place(tmp_path_factory.mktemp("parity"))
        patch.setenv("MLFEAT_STATE", str(made.folder / "state"))
        made.do("create_tables", sql=TABLES)
        made.load("visit", visit_rows())
        made.load("purchase", purchase_rows())
        extracted = made.do("extract_features", sql=SQL, feature_set="features.visits")
        made.feature_set = extracted.feature_set
        deployed = made.do("deploy_features", sql=SQL, name="visits", online=made.online)
        made.deployment = deployed.deployment
        assert deployed.plan_id == extracted.plan_id
        made.model = str(shops.write_model(made.folder / "model", encoder(extracted.plan_id), golden()))
        yield made


def golden() -> pa.Table:
    return pa.table(
        {
            "who": ["ann", "bob", None],
            "at": pa.array([1, 2_000, None], pa.timestamp("ms")),
            "visits": pa.array([1, None, 3], pa.int64()),
            "spent": pa.array([0.0328, None, 2.0], pa.float32()),
            "bought": pa.array([0, 2, None], pa.int64()),
        }
    )


def test_all_requests_give_what_training_saw(place: Place) -> None:
    result = place.check()
    assert (result.requests, result.cells, result.mismatches) == (300, 2_100, 0)
    assert result.largest_difference < 1e-6
    assert "All 2,100 cells of 300 replayed requests are equal" in Path(result.report).read_text()
    document = json.loads((place.folder / "report" / "parity.json").read_text())
    assert document["facts"]["Feature set"] == place.feature_set == result.feature_set
    assert not result.already_checked
    again = place.check()
    assert (again.already_checked, again.requests, again.mismatches) == (True, 300, 0)
    fewer = place.check(requests=50, model="")
    assert (fewer.requests, fewer.already_checked) == (50, False)


def test_the_tables_of_training_are_those_of_the_replay(place: Place) -> None:
    # Newer rows of a table do not come in: the feature set says which versions it was made of.
    place.load("purchase", purchase_rows().slice(0, 5), mode="append", load_id="later")
    assert place.check(model="").mismatches == 0


# ── faults of the encoder ───────────────────────────────────────────────────────────────────────────────────────────


def text_with(kind: str, change: Callable[[Any, bytes], bytes]) -> Callable[[Field], Any]:
    """Rows are written as text with a fault that fields of one type have; columns are not."""
    right = rows.text_function

    def text_function(field: Field) -> Any:
        write = right(field)
        return (lambda value: change(value, write(value))) if field.type == kind else write

    return text_function


@pytest.mark.parametrize(
    ("kind", "change", "column"),
    [
        # A whole number that went through a float column.
        ("int", lambda value, text: text + b".0", "visits"),
        # A moment as ISO text instead of milliseconds.
        ("timestamp", lambda value, text: str(np.datetime64(value, "ms")).encode(), "at"),
        # A 32-bit float in the digits of a double.
        ("float32", lambda value, text: repr(float(np.float32(value))).encode(), "spent"),
        ("string", lambda value, text: text.strip() + b" ", "who"),
    ],
)
def test_other_text_in_serving_is_found(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str, change: Any, column: str
) -> None:
    monkeypatch.setattr(rows, "text_function", text_with(kind, change))
    with pytest.raises(UserError, match=rf"key of '{column}' in \d+") as caught:
        place.check()
    assert "the report is" in str(caught.value)
    found = json.loads((place.folder / "report" / "parity.json").read_text())
    assert {name for name, count in found["keys"].items() if count} == {column}
    assert sum(found["columns"].values()) == 0


def test_null_as_text_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "NULL_BYTES", b"None")
    with pytest.raises(UserError, match="key of 'spent'"):
        place.check()


# ── faults of the store ─────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_that_come_twice_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    right = EmbeddedStore._put

    def twice(self: Any, table: Any, data: Any, load: Any, events: Any) -> int:
        if table.name[1] == "purchase":
            right(self, table, data, None, events)
        return right(self, table, data, load, events)

    monkeypatch.setattr(EmbeddedStore, "_put", twice)
    with pytest.raises(UserError, match="column 'kinds' in"):
        place.check()


def test_a_request_that_sees_itself_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request's own row must not be part of its history: counting it again is one visit too many."""
    right = replay._Requests.before

    def early(self: Any, row: Any, program: Any) -> None:
        right(self, row, program)
        self._store.put(self._table, self._data.slice(self._done + len(self._rows), 1))

    monkeypatch.setattr(replay._Requests, "before", early)
    with pytest.raises(UserError, match="column 'visits' in"):
        place.check(model="", requests=40)


def test_rows_that_are_late_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    right = replay._Feed.advance
    monkeypatch.setattr(
        replay._Feed, "advance", lambda self, store, moment, earliest: right(self, store, moment - 5_000, earliest)
    )
    monkeypatch.setattr(replay, "_STEP", 10)
    with pytest.raises(UserError, match="column 'spent' in"):
        place.check(model="")


def test_what_does_not_block_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "NULL_BYTES", b"nan")
    result = place.check(blocking=False)
    assert result.mismatches == result.key_mismatches > 0
    assert result.cell_mismatches == 0


# ── what cannot be compared ─────────────────────────────────────────────────────────────────────────────────────────


def test_another_plan(place: Place) -> None:
    other = place.do("deploy_features", sql="SELECT who FROM visit", name="other", online=place.online).deployment
    with pytest.raises(UserError, match="training and serving do not ask the same"):
        place.check(deployment=other)


def test_nothing_to_ask(place: Place) -> None:
    with pytest.raises(UserError, match="there is no deployment 'nothing'"):
        place.check(deployment="nothing@1")


# ── the JD sample ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not SAMPLE.exists(), reason="the JD sample is not beside this checkout")
def test_every_request_of_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFEAT_STATE", str(tmp_path / "state"))
    made = Place(tmp_path)
    queries = ROOT / "dags" / "sql"
    made.do("create_tables", sql=(queries / "jd_tables.sql").read_text(), database="jd")
    requests = pq.read_table(SAMPLE / "flattenRequest_clean", columns=["reqId", "eventTime"])
    labels = pa.array([number % 7 == 0 for number in range(requests.num_rows)]).cast(pa.int32())
    action = requests.append_column("ingestionTime", requests.column("eventTime")).append_column("actionValue", labels)
    made.load("jd.action", action)
    for table in ("bo_user", "bo_action", "bo_product", "bo_comment", "flattenRequest"):
        place = SAMPLE / ("flattenRequest_clean" if table == "flattenRequest" else table)
        made.do("load_table", table=f"jd.{table}", paths=[str(place)])
    sql = (queries / "jd_features.sql").read_text()
    made.feature_set = made.do("extract_features", sql=sql, feature_set="features.jd", database="jd").feature_set
    faithful = {"label_column": "label", "profile": "faithful", "leakage": "warn"}
    dataset = made.do("build_dataset", feature_set=made.feature_set, **faithful).dataset
    made.model = made.do("train_model", dataset=dataset, model="lr", settings={"epochs": 1}).model
    made.deployment = made.do("deploy_features", sql=sql, name="jd", database="jd", online=made.online).deployment
    result = made.check(label="label", key="request_1")
    assert (result.requests, result.mismatches, result.key_mismatches) == (13_916, 0, 0)
    assert result.cells == 13_916 * 41
    assert result.largest_difference <= 1e-6
