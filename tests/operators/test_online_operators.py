"""Operators on the online store, run as jobs in the task's process."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.errors import TransientError
from airflow_provider_mlfeat.online.features import FeatureService
from airflow_provider_mlfeat.online.opening import StoreAddress, open_store
from airflow_provider_mlfeat.operators.features import ExtractFeaturesOperator, RunScriptOperator
from airflow_provider_mlfeat.operators.online import DeployFeaturesOperator, LoadOnlineOperator

Arguments = dict[str, Any]
TABLES = """
CREATE TABLE visit (who string, at timestamp);
CREATE TABLE purchase (who string, at timestamp, price double);
INSERT INTO purchase VALUES ('ann', 1000, 1.0), ('ann', 2000, 2.0), ('bob', 2000, 4.0);
"""
QUERY = """
SELECT who, at, sum(price) OVER w AS spent FROM (SELECT who, at, 0.0 AS price FROM visit)
WINDOW w AS (UNION purchase PARTITION BY who ORDER BY at
    ROWS_RANGE BETWEEN 10s PRECEDING AND CURRENT ROW INSTANCE_NOT_IN_WINDOW)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: Any) -> Arguments:
    online = Connection(conn_id="online", conn_type="mlfeat_online", extra=json.dumps({"path": str(tmp_path / "o")}))
    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", staticmethod({"online": online}.__getitem__))
    arguments = {"root": str(tmp_path / "tables"), "runtime": "in_process"}
    RunScriptOperator(task_id="s", sql=TABLES, database="shop", load_id="first", **arguments).execute(context)
    return {**arguments, "online_conn_id": "online"}


def deploy(here: Arguments, context: Any, sql: str = QUERY, **arguments: Any) -> dict[str, Any]:
    given = {"name": "spent", "database": "shop", **arguments, **here}
    result: dict[str, Any] = DeployFeaturesOperator(task_id="d", sql=sql, **given).execute(context)
    return result


def load(here: Arguments, context: Any, **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = LoadOnlineOperator(task_id="l", **arguments, **here).execute(context)
    return result


def insert(here: Arguments, context: Any, values: str) -> None:
    arguments = {name: here[name] for name in ("root", "runtime")}
    sql = f"INSERT INTO purchase VALUES {values};"
    RunScriptOperator(task_id="i", sql=sql, database="shop", **arguments).execute(context)


def spent(tmp_path: Path, name: str = "shop.spent") -> Any:
    with open_store(StoreAddress(path=str(tmp_path / "o"))) as store:
        answer = FeatureService(store).features(name, ("ann", 9_000))
    assert answer is not None
    return answer[2]


def test_deploy_load_answer_and_load_what_is_new(here: Arguments, context: Any, tmp_path: Path) -> None:
    first = deploy(here, context)
    assert (first["deployment"], first["created"], first["live"]) == ("shop.spent@1", True, True)
    assert (first["tables"], first["lacking"]) == (["shop.purchase"], [])
    assert spent(tmp_path) == 0.0
    loaded = load(here, context, deployment=first["deployment"])
    assert (loaded["tables"], loaded["rows"], loaded["already_loaded"]) == ({"shop.purchase": 1}, 3, False)
    assert spent(tmp_path) == 3.0
    assert load(here, context, deployment=first["deployment"])["already_loaded"]
    insert(here, context, "('ann', 3000, 8.0)")
    again = load(here, context, deployment="shop.spent")
    assert (again["rows"], again["replaced"], again["tables"]) == (1, [], {"shop.purchase": 2})
    assert spent(tmp_path) == 11.0


def test_deploying_again_and_another_query(here: Arguments, context: Any, tmp_path: Path) -> None:
    deploy(here, context)
    same = deploy(here, context)
    assert (same["deployment"], same["created"]) == ("shop.spent@1", False)
    load(here, context, deployment="shop.spent")
    wider = QUERY.replace("10s", "20s")
    message = r"deployment 'shop.spent' exists with another query, options or model: write OPTIONS\(REPLACE='true'\)"
    with pytest.raises(AirflowFailException, match=message):
        deploy(here, context, wider, replace=False)
    waiting = deploy(here, context, wider, switch=False)
    assert (waiting["deployment"], waiting["live"], waiting["lacking"]) == ("shop.spent@2", False, ["shop.purchase"])
    replaced = load(here, context, deployment="shop.spent@2")
    assert (replaced["replaced"], replaced["rows"]) == (["shop.purchase"], 3)
    assert spent(tmp_path) == spent(tmp_path, "shop.spent@2") == 3.0
    assert load(here, context, deployment="shop.spent@2")["already_loaded"]


def test_the_plan_must_be_that_of_the_feature_set(here: Arguments, context: Any) -> None:
    arguments = {name: here[name] for name in ("root", "runtime")}
    made = ExtractFeaturesOperator(
        task_id="e", sql=QUERY, feature_set="shop.features", database="shop", engine="batch", **arguments
    ).execute(context)
    assert deploy(here, context, plan_id=made["plan_id"])["plan_id"] == made["plan_id"]
    with pytest.raises(AirflowFailException, match="this query has plan .*: deploy the query, database and time zone"):
        deploy(here, context, QUERY.replace("10s", "11s"), plan_id=made["plan_id"], name="other")


def test_a_model_of_another_plan_is_refused(here: Arguments, context: Any, tmp_path: Path) -> None:
    plan_id = deploy(here, context)["plan_id"]
    folder = tmp_path / "model"
    with pytest.raises(AirflowFailException, match="is no model folder"):
        deploy(here, context, model=str(folder))
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"plan_id": "f" * 64, "fingerprint": "1"}))
    message = "model 'ctr@4' was trained on features of plan ffffffffffff, but this query has plan"
    with pytest.raises(AirflowFailException, match=message):
        deploy(here, context, model=str(folder), model_name="ctr", model_version=4)
    (folder / "model.json").write_text(json.dumps({"plan_id": plan_id, "fingerprint": "1"}))
    made = deploy(here, context, model=str(folder), model_name="ctr", model_version=4)
    assert made["deployment"] == "shop.spent@2"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"range_bais": "1d"}, "unknown option of DEPLOY 'range_bais'"),
        ({"RANGE_BIAS": "much"}, "option of DEPLOY 'range_bias' takes milliseconds, a time like '10d' or 'inf', not"),
        ({"long_windows": "v:1d"}, "LONG_WINDOWS names the unknown window 'v'"),
        ({"long_windows": "w:1d"}, "the long window 'w' stands over a join, a condition or a sub-query"),
    ],
)
def test_options_that_mean_nothing(here: Arguments, context: Any, options: Arguments, sentence: str) -> None:
    with pytest.raises(AirflowFailException, match=sentence):
        deploy(here, context, options=options)


def test_options_of_the_statement_and_of_the_operator(here: Arguments, context: Any, tmp_path: Path) -> None:
    sql = f"DEPLOY spent OPTIONS (ROWS_BIAS='5', SYNC='false') {QUERY}"
    deploy(here, context, sql, options={"RANGE_BIAS": "1h"})
    with open_store(StoreAddress(path=str(tmp_path / "o"))) as store:
        found = FeatureService(store).served("shop.spent").deployment
    assert dict(found.options) == {"rows_bias": "5", "range_bias": "1h"}
    (need,) = found.needs
    assert (need.retention.rows, need.retention.time) == (0, 3_610_000)


def test_files_are_loaded_once_per_task(here: Arguments, context: Any, tmp_path: Path) -> None:
    deploy(here, context)
    file = tmp_path / "purchase.csv"
    file.write_text("who,at,price\nann,4000,16\nann,oops,1\n")
    message = "table 'shop.purchase' is as it was: '.*purchase.csv' row 2, column 'at': 'oops'"
    with pytest.raises(AirflowFailException, match=message):
        load(here, context, table="shop.purchase", paths=str(file))
    file.write_text("who,at,price\nann,4000,16\n")
    assert load(here, context, table="shop.purchase", paths=str(file))["rows"] == 1
    assert load(here, context, table="shop.purchase", paths=str(file))["already_loaded"]
    assert spent(tmp_path) == 16.0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "there is nothing to load: name a deployment, tables, or a table and files"),
        ({"paths": "a.csv"}, "files are loaded into one table: give 'table' and 'paths'"),
        ({"deployment": "shop.nothing"}, "there is no deployment 'shop.nothing'"),
        ({"deployment": "shop.spent@7"}, "deployment 'shop.spent' has no version 7; there are 1"),
        ({"deployment": "shop.spent", "tables": ["visit"]}, "deployment 'shop.spent' does not need table 'visit'"),
        ({"tables": {"shop.purchase": "9"}}, "version 9"),
    ],
)
def test_mistakes(here: Arguments, context: Any, arguments: Arguments, sentence: str) -> None:
    deploy(here, context)
    with pytest.raises(AirflowFailException, match=sentence):
        load(here, context, **arguments)


@pytest.mark.parametrize(
    ("sql", "name", "sentence"),
    [
        ("SELECT 1", "one", "a query without a table cannot be deployed"),
        ("CREATE TABLE t (a int)", "one", "is one query, or one DEPLOY statement"),
        (QUERY, None, "the deployment has no name"),
        (f"DEPLOY other {QUERY}", "one", "the statement deploys 'other', but the name is 'one'"),
        (QUERY, "1-x", "'1-x' cannot name a deployment"),
        ("SELECT nothing FROM visit", "one", "nothing"),
    ],
)
def test_what_cannot_be_deployed(here: Arguments, context: Any, sql: str, name: str | None, sentence: str) -> None:
    with pytest.raises(AirflowFailException, match=sentence):
        deploy(here, context, sql, name=name)


def test_a_redis_that_is_away_fails_the_deployment_and_is_worth_a_retry(
    here: Arguments, context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = deploy(here, context)
    backend = json.dumps({"backend": "redis"})
    away = Connection(conn_id="away", conn_type="mlfeat_online", host="127.0.0.1", port=free_port(), extra=backend)
    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", staticmethod({"away": away}.__getitem__))
    with pytest.raises(TransientError, match=r"127\.0\.0\.1"):
        deploy({**here, "online_conn_id": "away"}, context)
    # Where it was deployed before, it answers as before.
    assert live["live"]
    assert spent(tmp_path) is not None


def free_port() -> int:
    """Nobody listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
