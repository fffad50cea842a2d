"""Operators on tables: the specs that they build, run as jobs in the task's process, and their promises in Airflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, Connection
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.hooks.storage import storage_options
from airflow_provider_mlfeat.links.report import ReportLink
from airflow_provider_mlfeat.operators.checks import CheckDataOperator
from airflow_provider_mlfeat.operators.features import ExtractFeaturesOperator, RunScriptOperator
from airflow_provider_mlfeat.operators.tables import CreateTablesOperator, ExportOperator, LoadTableOperator

Arguments = dict[str, Any]
CREATE = "CREATE TABLE visit (id string, amount double);"


@pytest.fixture
def here(tmp_path: Path) -> Arguments:
    return {"root": str(tmp_path / "tables"), "runtime": "in_process"}


@pytest.fixture
def visits(tmp_path: Path) -> str:
    path = tmp_path / "visit.csv"
    path.write_text("id,amount\na,1\nb,2\n")
    return str(path)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "aws": Connection(
            conn_id="aws",
            conn_type="aws",
            login="key",
            password="hidden",
            extra=json.dumps({"region_name": "eu-central-1", "endpoint_url": "http://store:9000"}),
        ),
        "gcp": Connection(
            conn_id="gcp", conn_type="google_cloud_platform", extra=json.dumps({"keyfile_dict": {"type": "x"}})
        ),
        "azure": Connection(conn_id="azure", conn_type="wasb", login="account", password="hidden"),
        "principal": Connection(
            conn_id="principal",
            conn_type="adls",
            host="https://account.blob.core.windows.net",
            login="client",
            password="hidden",
            extra=json.dumps({"tenant_id": "tenant"}),
        ),
        "http": Connection(conn_id="http", conn_type="http"),
    }
    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", staticmethod(known.__getitem__))


def test_from_files_to_an_export(here: Arguments, visits: str, context: Any, tmp_path: Path) -> None:
    loaded, made = Asset("loaded"), Asset("made")
    CreateTablesOperator(task_id="c", sql=CREATE, database="shop", **here).execute(context)
    load = LoadTableOperator(task_id="l", table="shop.visit", paths=visits, outlets=[loaded], **here).execute(context)
    assert (load["table_version"], load["rows"], load["already_loaded"]) == (1, 2, False)
    checks = [{"check": "row_count", "minimum": 2}]
    CheckDataOperator(task_id="k", table="shop.visit", checks=checks, **here).execute(context)
    sql = "SELECT id, amount + 1 AS more FROM visit"
    extract = ExtractFeaturesOperator(
        task_id="e", sql=sql, feature_set="features.v", database="shop", outlets=[made], **here
    ).execute(context)
    assert extract["feature_set"] == "features.v@1"
    assert set(extract["artifacts"]) == {"report"}
    export = ExportOperator(
        task_id="x", table="features.v", table_version="1", path=str(tmp_path / "out"), **here
    ).execute(context)
    assert (export["rows"], export["files"]) == (2, 1)
    for asset, result in ((loaded, load), (made, extract)):
        extra = context["outlet_events"][asset].extra
        names = ("table", "table_version", "rows", "table_fingerprint")
        assert {name: extra[name] for name in names} == {name: result[name] for name in names}
    assert context["outlet_events"][made].extra["plan_id"] == extract["plan_id"]


def test_a_retry_and_a_clearing_load_once(here: Arguments, visits: str, context: Any) -> None:
    CreateTablesOperator(task_id="c", sql=CREATE, **here).execute(context)
    operator = LoadTableOperator(task_id="l", table="visit", paths=[visits], **here)
    assert operator.build_spec(context)["load_id"] == "tests/run_1/task/-1"
    assert [operator.execute(context)["rows"] for _ in range(2)] == [2, 2]
    context["ti"].map_index = 1
    assert operator.execute(context)["rows"] == 4


def test_a_broken_file_is_red_at_once_with_a_sentence(here: Arguments, tmp_path: Path, context: Any) -> None:
    CreateTablesOperator(task_id="c", sql=CREATE, **here).execute(context)
    broken = tmp_path / "broken.csv"
    broken.write_text("id,amount\na,1\nb,much\n")
    with pytest.raises(AirflowFailException, match="amount.*much") as caught:
        LoadTableOperator(task_id="l", table="visit", paths=[str(broken)], **here).execute(context)
    assert "Traceback" not in str(caught.value)


def test_a_blocking_check_is_red_and_a_warning_is_not(here: Arguments, context: Any) -> None:
    CreateTablesOperator(task_id="c", sql=CREATE, **here).execute(context)
    arguments = {"task_id": "k", "table": "visit", "checks": [{"check": "row_count", "minimum": 1}], **here}
    with pytest.raises(AirflowFailException, match="1 of 1 checks failed: row_count: 0 rows"):
        CheckDataOperator(**arguments).execute(context)
    assert CheckDataOperator(**arguments, blocking=False).execute(context)["warned"] == 1


def test_a_script(here: Arguments, visits: str, context: Any) -> None:
    sql = (
        f"{CREATE} LOAD DATA INFILE '/there/visit.csv' INTO TABLE visit OPTIONS (mode='append'); SELECT id FROM visit;"
    )
    paths = {"/there": str(Path(visits).parent)}
    operator = RunScriptOperator(task_id="s", sql=sql, path_map=paths, **here)
    results = [operator.execute(context) for _ in range(2)]
    assert [result["rows"] for result in results] == [2, 2]
    assert results[1]["tables"] == {"visit": 1}


def test_templates_may_make_texts_of_numbers(here: Arguments, context: Any) -> None:
    operator = LoadTableOperator(task_id="l", table="t", paths="p", max_bad_rows="3", max_bad_share="", **here)
    spec = operator.build_spec(context)
    assert (spec["max_bad_rows"], spec["max_bad_share"]) == (3, None)
    operator = LoadTableOperator(task_id="l", table="t", paths="p", max_bad_rows="many", **here)
    with pytest.raises(UserError, match="max_bad_rows takes a number, not 'many'"):
        operator.build_spec(context)


def test_the_root_of_the_configuration(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = CreateTablesOperator(task_id="c", sql=CREATE)
    assert operator.build_spec(context)["root"] == ""
    monkeypatch.setenv("AIRFLOW__MLFEAT__TABLES_ROOT", "s3://bucket/tables")
    assert operator.build_spec(context)["root"] == "s3://bucket/tables"


def test_sql_files_are_templates_and_sql_in_the_page(tmp_path: Path) -> None:
    for operator in (CreateTablesOperator, ExtractFeaturesOperator, RunScriptOperator):
        assert operator.template_ext == (".sql",)
        assert operator.template_fields_renderers["sql"] == "sql"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "aws",
            {
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "hidden",
                "AWS_REGION": "eu-central-1",
                "AWS_ENDPOINT_URL": "http://store:9000",
                "AWS_ALLOW_HTTP": "true",
            },
        ),
        ("gcp", {"GOOGLE_SERVICE_ACCOUNT_KEY": '{"type": "x"}'}),
        ("azure", {"AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_ACCOUNT_KEY": "hidden"}),
        (
            "principal",
            {
                "AZURE_STORAGE_ACCOUNT_NAME": "account",
                "AZURE_STORAGE_TENANT_ID": "tenant",
                "AZURE_STORAGE_CLIENT_ID": "client",
                "AZURE_STORAGE_CLIENT_SECRET": "hidden",
            },
        ),
    ],
)
def test_storage_connections(connections: None, name: str, expected: dict[str, str]) -> None:
    assert storage_options(name) == expected


def test_credentials_are_secrets_and_not_in_the_spec(connections: None, context: Any) -> None:
    operator = LoadTableOperator(task_id="l", table="t", paths="s3://b/a.csv", root="s3://b/t", storage_conn_id="aws")
    assert operator.secrets(context)["storage.AWS_SECRET_ACCESS_KEY"] == "hidden"
    assert "hidden" not in json.dumps(operator.build_spec(context))
    with pytest.raises(UserError, match="connection 'http' is of type 'http'; tables are reached through aws"):
        storage_options("http")


def test_a_spark_connection(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    given = Connection(conn_id="s", conn_type="mlfeat_spark", host="sc://spark", port=15002, password="hidden")
    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", staticmethod(lambda name: given))
    operator = ExtractFeaturesOperator(task_id="e", sql="SELECT 1", feature_set="f", spark_conn_id="s")
    assert "hidden" not in json.dumps(operator.build_spec(context))
    assert "token=hidden" in operator.secrets(context)["session.spark.remote"]


def test_the_report_is_linked_when_the_job_has_ended(visits: str, tmp_path: Path, context: Any) -> None:
    operator = ExtractFeaturesOperator(
        task_id="e",
        sql=f"{CREATE} SELECT id FROM visit",
        feature_set="f",
        tables={"visit": visits},
        root=str(tmp_path / "tables"),
        runtime="process",
    )
    result = operator.execute(context)
    url = context["ti"].pushed[ReportLink().xcom_key]
    assert url.endswith(f"/mlfeat/dags/tests/jobs/{result['job_id']}/report")
    assert ReportLink().get_link(operator, ti_key=None) == url  # type: ignore[arg-type]
