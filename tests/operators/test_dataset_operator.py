"""The operator that builds datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.jobs.run import parse_spec
from airflow_provider_mlfeat.links.report import ReportLink
from airflow_provider_mlfeat.operators.dataset import BuildDatasetOperator
from tests.dataset.tables import visits


@pytest.fixture
def here(tmp_path: Path) -> dict[str, Any]:
    pq.write_table(visits(), tmp_path / "visits.parquet")
    return {"path": str(tmp_path / "visits.parquet"), "root": str(tmp_path), "runtime": "in_process"}


def test_it_builds_what_its_arguments_say(here: dict[str, Any], context: Any) -> None:
    made = Asset("made")
    operator = BuildDatasetOperator(
        task_id="b",
        label_column="bought",
        key_columns=["request"],
        time_column="at",
        drop_columns=["top"],
        outlets=[made],
        **here,
    )
    result = operator.execute(context)
    assert (result["kind"], result["train_rows"], result["profile"]) == ("build_dataset", 1_600, "recommended")
    assert result["dropped"]["top"] == "asked for"
    assert Dataset.open(result["dataset"]).manifest.fingerprint == result["dataset_fingerprint"]
    assert context["outlet_events"][made].extra["dataset"] == result["dataset"]
    assert operator.execute(context)["already_built"]
    assert "Left out" in Path(result["artifacts"]["report"]).read_text(encoding="utf-8")


def test_its_report_is_a_click_away(here: dict[str, Any], context: Any) -> None:
    here["runtime"] = "process"
    operator = BuildDatasetOperator(task_id="b", label_column="bought", key_columns=["request"], **here)
    result = operator.execute(context)
    assert operator.report_url is not None
    assert operator.report_url.endswith(f"/jobs/{result['job_id']}/report")
    assert context["ti"].pushed[ReportLink().xcom_key] == operator.report_url
    assert ReportLink() in operator.operator_extra_links


def test_its_fields_are_the_specs(context: Any) -> None:
    field = {"name": "shop", "column": "shop", "kind": "vocabulary"}
    spec = BuildDatasetOperator(task_id="b", label_column="y", feature_set="a@1", fields=[field]).build_spec(context)
    parsed: Any = parse_spec(spec)
    assert (parsed.profile, parsed.fields, parsed.split, parsed.shuffle) == ("declared", (field,), None, None)
    split = {"kind": "key", "columns": ["user"]}
    operator = BuildDatasetOperator(task_id="b", label_column="y", feature_set="a", profile="faithful", split=split)
    parsed = parse_spec(operator.build_spec(context))
    assert (parsed.profile, parsed.split.columns, parsed.leakage) == ("faithful", ("user",), "refuse")


def test_a_mistake_fails_at_once(here: dict[str, Any], context: Any) -> None:
    with pytest.raises(AirflowFailException, match="label column 'sold' is not among the columns"):
        BuildDatasetOperator(task_id="b", label_column="sold", **here).execute(context)


def test_spark_comes_from_its_connection(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = '{"conf": {"spark.executor.memory": "3g"}}'
    document = {"conn_type": "mlfeat_spark", "host": "spark://s", "port": 7077, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", json.dumps(document))
    arguments = {"label_column": "y", "feature_set": "a", "spark_conn_id": "cluster"}
    operator = BuildDatasetOperator(task_id="b", engine="spark", **arguments)
    spec, secrets = operator.build_spec(context), operator.secrets(context)
    assert (spec["engine"], spec["master"]) == ("spark", "spark://s:7077")
    assert secrets["session.spark.executor.memory"] == "3g"
    operator = BuildDatasetOperator(task_id="b", **arguments)
    assert (operator.build_spec(context)["engine"], operator.secrets(context)) == ("batch", {})
