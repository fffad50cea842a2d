"""The job that builds datasets, through the same door as every runtime uses, and its command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.command import main
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from tests.dataset.tables import visits

QUERY = "SELECT request, at, shop, amount, count(request) OVER w AS times, bought FROM visit WINDOW w AS (PARTITION BY "
QUERY += "customer ORDER BY at ROWS_RANGE BETWEEN 7d PRECEDING AND CURRENT ROW);"
ROLES = {"label_column": "bought", "key_columns": ["request"], "time_column": "at"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pq.write_table(visits(), tmp_path / "visits.parquet")
    return tmp_path / "visits.parquet"


def do(kind: str, root: Path, **fields: Any) -> Any:
    return run(parse_spec({"kind": kind, "root": str(root), **fields}))


def test_a_feature_set_becomes_a_dataset(tmp_path: Path, path: Path) -> None:
    root = tmp_path / "tables"
    extracted = do("extract_features", root, sql=QUERY, feature_set="shop.visits", tables={"visit": str(path)})
    result = do("build_dataset", root, feature_set=extracted.feature_set, **ROLES)
    assert (result.plan_id, result.feature_set) == (extracted.plan_id, "shop.visits@1")
    assert (result.rows, result.train_rows, result.valid_rows, result.test_rows) == (2_000, 1_600, 200, 200)
    assert (result.fields, result.values, result.already_built) == (3, 0, False)
    assert result.dropped == {
        "request": "identifies the row",
        "at": "is the row's time, which never comes again",
    }
    dataset = Dataset.open(result.dataset)
    assert dataset.folder.parent == root / ".datasets" / "shop.visits"
    assert dataset.encoder.plan_id == extracted.plan_id
    assert dataset.manifest.feature_set["version"] == extracted.table_version
    assert result.positives == sum(dataset.manifest.positives.values()) == int(np.sum(visits().column("bought")))
    # Folders of datasets are no databases.
    assert main(["tables", "list", "--root", str(root)]) == 0

    again = do("build_dataset", root, feature_set="shop.visits", **ROLES)
    assert again.already_built
    assert (again.dataset, again.dataset_fingerprint) == (result.dataset, result.dataset_fingerprint)
    other = do("build_dataset", root, feature_set="shop.visits", **ROLES, drop_columns=["shop"])
    assert other.dataset != result.dataset


def test_a_file_becomes_a_dataset(tmp_path: Path, path: Path) -> None:
    fields = [{"name": "shop", "column": "shop", "kind": "vocabulary"}]
    asked = {"path": str(path), "fields": fields, "output": str(tmp_path / "out"), **ROLES}
    result = do("build_dataset", tmp_path, **asked)
    assert (result.profile, result.fields, result.plan_id) == ("declared", 1, None)
    assert Path(result.dataset).parent == tmp_path / "out" / "visits"
    # Other contents under the same name are another dataset.
    pq.write_table(visits(1_000), path)
    assert do("build_dataset", tmp_path, **asked).dataset != result.dataset


def test_boundaries_are_moments(tmp_path: Path, path: Path) -> None:
    split = {"kind": "time", "boundaries": ["2026-01-20", "2026-01-25T00:00:00+00:00"]}
    result = do("build_dataset", tmp_path, path=str(path), split=split, **ROLES)
    moments = np.asarray(visits().column("at"))
    assert result.train_rows == int((moments < np.datetime64("2026-01-20")).sum())
    assert result.test_rows == int((moments >= np.datetime64("2026-01-25")).sum())
    with pytest.raises(UserError, match="boundary 'soon' is no time"):
        do("build_dataset", tmp_path, path=str(path), split={"kind": "time", "boundaries": ["soon", "later"]}, **ROLES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_set": "a"}, "from a feature_set or from a path: give one of them"),
        ({"path": ""}, "from a feature_set or from a path: give one of them"),
        ({"path": "/nowhere.parquet"}, "there is no file or folder /nowhere.parquet"),
        ({"split": {"kind": "time"}, "time_column": ""}, "split 'time' needs the column with the row's time"),
        ({"split": {"kind": "month"}}, "field 'split.kind'"),
        ({"fields": [{"name": "x", "kind": "value"}]}, "field 'x': option 'column' is missing"),
        ({"output": "s3://bucket/datasets"}, "need a local or mounted folder"),
        ({"label_colum": "bought"}, "unknown field 'label_colum'; did you mean 'label_column'"),
        ({"label_column": "none"}, "label column 'none' is not among the columns"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    tmp_path: Path, path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        do("build_dataset", tmp_path / "tables", **{"path": str(path), **ROLES, **change})


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("a,b")
    with pytest.raises(UserError, match="a.parquet cannot be read as parquet"):
        do("build_dataset", tmp_path, path=str(tmp_path / "a.parquet"), **ROLES)


def test_the_command(tmp_path: Path, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--path", str(path), "--label", "bought", "--key", "request", "--time", "at", "--root", str(tmp_path)]
    assert main(["dataset", "build", *arguments]) == 0
    folder = json.loads(capsys.readouterr().out)["dataset"]
    assert main(["dataset", "show", folder, "--check"]) == 0
    shown = capsys.readouterr().out
    assert f"of {path}, profile recommended" in shown
    assert re.search(r"train +1600 +\d+", shown)
    assert "left out: column 'request' identifies the row" in shown
    assert main(["dataset", "build", *arguments, "--split", "key", "--split-column", "customer"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"] != folder
    declared = tmp_path / "fields.json"
    declared.write_text(json.dumps([{"name": "shop", "column": "shop", "kind": "hash", "rows": 8}]))
    assert main(["dataset", "build", *arguments, "--fields", str(declared)]) == 0
    assert json.loads(capsys.readouterr().out)["table_rows"] == 10
    declared.write_text("{}")
    assert main(["dataset", "build", *arguments, "--fields", str(declared)]) == 2
    assert "must hold a list of fields" in capsys.readouterr().err
    assert main(["dataset", "show", str(tmp_path / "nowhere")]) == 2
