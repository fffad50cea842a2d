"""The operator that builds datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.jobs.run import parse_spec
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
