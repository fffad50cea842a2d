"""The jobs on tables, through the same door as every runtime uses."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.jobs.spec import JobResult

CREATE = "CREATE TABLE visit (id string NOT NULL, at timestamp, amount double);"
ROWS = "id,at,amount\na,2026-01-01 10:00:00,1.5\nb,2026-01-01 11:00:00,2.5\na,2026-01-02 10:00:00,4\n"
QUERY = (
    "SELECT id, sum(amount) OVER w AS total FROM visit "
    "WINDOW w AS (PARTITION BY id ORDER BY at ROWS_RANGE BETWEEN 7d PRECEDING AND CURRENT ROW);"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tables"


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    path = tmp_path / "visit.csv"
    path.write_text(ROWS)
    return path


def do(kind: str, root: Path, **fields: Any) -> Any:
    result: JobResult = run(parse_spec({"kind": kind, "root": str(root), **fields}))
    return result


@pytest.fixture
def loaded(root: Path, visits: Path) -> Path:
    do("create_tables", root, sql=CREATE, database="shop")
    do("load_table", root, table="shop.visit", paths=[str(visits)], mode="overwrite", load_id="first")
    return root


def test_creating_again_changes_nothing(root: Path) -> None:
    sql = f"CREATE DATABASE shop; USE shop; {CREATE}"
    assert do("create_tables", root, sql=sql).created == ("shop.visit",)
    again = do("create_tables", root, sql=sql)
    assert (again.created, again.existing) == ((), ("shop.visit",))


def test_another_definition_is_an_error(root: Path) -> None:
    do("create_tables", root, sql=CREATE)
    with pytest.raises(UserError, match="its column 'amount' is double, not int; drop it"):
        do("create_tables", root, sql=CREATE.replace("double", "int"))
    with pytest.raises(UserError, match="takes CREATE and USE statements only, not: DROP TABLE visit"):
        do("create_tables", root, sql="DROP TABLE visit")


def test_create_like_a_file(root: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "at": pa.array([0], pa.timestamp("us"))}), tmp_path / "a.parquet")
    do("create_tables", root, sql=f"CREATE TABLE copied LIKE PARQUET '{tmp_path}/a.parquet'")
    assert do("load_table", root, table="copied", paths=[f"{tmp_path}/a.parquet"]).rows == 1


def test_loading_twice_doubles_nothing(root: Path, visits: Path) -> None:
    do("create_tables", root, sql=CREATE)
    load = {"table": "visit", "paths": [str(visits)], "mode": "append", "load_id": "run 1"}
    first, again = do("load_table", root, **load), do("load_table", root, **load)
    assert (first.rows, first.already_loaded) == (3, False)
    assert (again.rows, again.already_loaded) == (3, True)
    assert (again.table_version, again.table_fingerprint) == (first.table_version, first.table_fingerprint)
    assert do("load_table", root, **{**load, "load_id": "run 2"}).rows == 6


def test_overwriting_with_the_same_files_makes_no_version(loaded: Path, visits: Path) -> None:
    load = {"table": "shop.visit", "paths": [str(visits)], "mode": "overwrite"}
    again = do("load_table", loaded, **load, load_id="second")
    assert (again.table_version, again.already_loaded) == (1, True)
    visits.write_text(ROWS + "c,2026-01-03 10:00:00,1\n")
    changed = do("load_table", loaded, **load, load_id="second")
    assert (changed.table_version, changed.rows) == (2, 4)
    visits.write_text(ROWS)
    # The first contents again, but others stood in between.
    assert do("load_table", loaded, **load, load_id="first").table_version == 3


def test_bad_rows(root: Path, visits: Path) -> None:
    visits.write_text(ROWS + "d,2026-01-03 10:00:00,much\n")
    do("create_tables", root, sql=CREATE)
    with pytest.raises(UserError, match="much"):
        do("load_table", root, table="visit", paths=[str(visits)])
    result = do("load_table", root, table="visit", paths=[str(visits)], max_bad_rows=1)
    assert (result.rows, result.rows_rejected) == (3, 1)
    assert "much" in Path(result.quarantine).read_text()
    assert [artifact.name for artifact in result.artifacts] == ["quarantine"]


def test_the_format_goes_by_the_names(root: Path, visits: Path) -> None:
    other = visits.with_suffix(".parquet")
    with pytest.raises(UserError, match="csv and parquet: load them one by one"):
        do("load_table", root, table="visit", paths=[str(visits), str(other)])


def test_checks(loaded: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlfeat.job")
    checks = [
        {"check": "row_count", "minimum": 3},
        {"check": "unique", "columns": ["id"], "severity": "warning"},
        {"check": "drift", "column": "amount"},
    ]
    result = do("check_data", loaded, table="shop.visit", checks=checks)
    assert (result.passed, result.warned, result.failed, result.skipped) == (1, 1, 0, 1)
    assert [one["state"] for one in result.results] == ["ok", "warning"]
    assert "row_count" in caplog.text
    assert "no rows before version 1: drift is not checked yet" in caplog.text


def test_a_blocking_check_fails_the_job(loaded: Path) -> None:
    checks = [{"check": "row_count", "minimum": 4}]
    with pytest.raises(UserError, match="1 of 1 checks failed: row_count: 3 rows"):
        do("check_data", loaded, table="shop.visit", checks=checks)
    assert do("check_data", loaded, table="shop.visit", checks=checks, blocking=False).warned == 1


def test_drift_between_versions(loaded: Path, visits: Path) -> None:
    lines = "".join(f"x{number},2026-01-01 10:00:00,{number + 1000}\n" for number in range(200))
    visits.write_text("id,at,amount\n" + lines)
    do("load_table", loaded, table="shop.visit", paths=[str(visits)], mode="overwrite")
    with pytest.raises(UserError, match="drift"):
        do("check_data", loaded, table="shop.visit", checks=[{"check": "drift", "column": "amount"}])


def test_extraction_is_a_version_that_knows_its_inputs(loaded: Path, visits: Path) -> None:
    extract = {"sql": QUERY, "feature_set": "features.visits", "database": "shop"}
    first, again = do("extract_features", loaded, **extract), do("extract_features", loaded, **extract)
    assert (first.rows, first.columns, first.feature_set) == (3, 2, "features.visits@1")
    assert (first.engine, first.already_extracted, again.already_extracted) == ("batch", False, True)
    assert "works in about" in first.engine_reason
    assert list(first.inputs) == ["shop.visit"]
    assert first.inputs["shop.visit"].startswith("1 ")
    assert again.table_fingerprint == first.table_fingerprint
    assert "visits" in Path(first.artifacts[0].path).read_text()
    visits.write_text(ROWS + "c,2026-01-03 10:00:00,1\n")
    do("load_table", loaded, table="shop.visit", paths=[str(visits)], mode="overwrite")
    assert do("extract_features", loaded, **extract).feature_set == "features.visits@2"
    pinned = do("extract_features", loaded, **extract, tables={"visit": "table:shop.visit@1"})
    assert pinned.rows == 3


def test_tables_may_be_bound_to_files(root: Path, visits: Path) -> None:
    bound = {"tables": {"visit": str(visits)}, "feature_set": "visits"}
    result = do("extract_features", root, sql=CREATE + QUERY, **bound)
    assert result.rows == 3
    output = root.parent / "out"
    exported = do("export", root, table="visits", output=str(output), format="csv", options={"coalesce": 1})
    assert (exported.rows, exported.files) == (3, 1)
    assert (output / "_SUCCESS").exists()
    with pytest.raises(UserError, match="exists; mode='overwrite' replaces it"):
        do("export", root, table="visits", output=str(output))


def test_what_an_extraction_refuses(loaded: Path) -> None:
    extract = {"feature_set": "f", "database": "shop"}
    with pytest.raises(UserError, match="a script with one query, and this one holds 2"):
        do("extract_features", loaded, sql=QUERY + QUERY, **extract)
    with pytest.raises(UserError, match="may only CREATE TABLE, USE and SET"):
        do("extract_features", loaded, sql="DROP TABLE visit;" + QUERY, **extract)
    with pytest.raises(UserError, match="has other columns than this statement"):
        do("extract_features", loaded, sql="CREATE TABLE visit (id int);" + QUERY, **extract)
    with pytest.raises(UserError, match="is bound to nothing"):
        do("extract_features", loaded, sql="CREATE TABLE other (id int);" + QUERY, **extract)
    with pytest.raises(UserError, match="plain Spark SQL, which engine 'batch' does not run"):
        do("extract_features", loaded, sql="SELECT 1", dialect="spark", engine="batch", **extract)


@pytest.mark.spark
def test_both_engines_see_the_rows_in_order_of_arrival(root: Path, tmp_path: Path) -> None:
    """Without an ORDER BY the last row that arrived joins; the loads' files have random names."""
    do("create_tables", root, sql="CREATE TABLE a (id int); CREATE TABLE b (id int, part int);")
    pq.write_table(pa.table({"id": pa.array(range(50), pa.int32())}), tmp_path / "a.parquet")
    do("load_table", root, table="a", paths=[f"{tmp_path}/a.parquet"])
    for part in range(8):
        rows = {"id": pa.array(range(50), pa.int32()), "part": pa.array([part] * 50, pa.int32())}
        pq.write_table(pa.table(rows), tmp_path / "b.parquet")
        do("load_table", root, table="b", paths=[f"{tmp_path}/b.parquet"], mode="append")
    sql = "SELECT a.id, b.part FROM a LAST JOIN b ON a.id = b.id"
    for engine in ("batch", "spark"):
        do("extract_features", root, sql=sql, feature_set=f"f_{engine}", engine=engine)
        exported = do("export", root, table=f"f_{engine}", output=str(tmp_path / engine))
        assert set(pq.read_table(exported.output).column("part").to_pylist()) == {7}


@pytest.mark.spark
def test_plain_spark_sql(loaded: Path) -> None:
    extract = {"feature_set": "plain", "database": "shop", "dialect": "spark"}
    sql = "SELECT id, count(*) AS visits, sum(amount) AS total FROM visit GROUP BY id ORDER BY id"
    first, again = (
        do("extract_features", loaded, sql=sql, **extract),
        do("extract_features", loaded, sql=sql, **extract),
    )
    assert (first.rows, first.columns, first.engine, again.already_extracted) == (2, 3, "spark", True)
    exported = do("export", loaded, table="plain", output=str(loaded.parent / "out"))
    rows = pq.read_table(exported.output).to_pylist()
    assert rows == [{"id": "a", "visits": 2, "total": 5.5}, {"id": "b", "visits": 1, "total": 2.5}]
    with pytest.raises(UserError, match="Spark refuses the query"):
        do("extract_features", loaded, sql="SELECT nothing FROM visit", **extract)
