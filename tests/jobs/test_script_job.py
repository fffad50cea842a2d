"""Whole scripts on the tables."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from airflow_provider_mlfeat.jobs.tables.runner import map_path

SHARED = Path(__file__).resolve().parents[3] / "shared"
SEEDS = sorted((SHARED / "seeds").glob("000_*.txt"))
SAMPLE = SHARED / "data" / "jd_sample"


def script(root: Path, sql: str, **fields: Any) -> Any:
    return run(parse_spec({"kind": "run_script", "root": str(root), "sql": sql, **fields}))


def rows_of(root: Path, sql: str, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    caplog.set_level(logging.INFO, "mlfeat.job")
    script(root, sql)
    return caplog.messages[-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tables"


def test_insert_and_select(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    sql = (
        "CREATE TABLE t (id int, name string DEFAULT 'none', at timestamp, day date);\n"
        "INSERT INTO t VALUES (1, 'it\\'s \"so\"', 1000, '2026-01-02'), (2, NULL, '2026-01-01 08:00:00', NULL);\n"
        "INSERT INTO t (id) VALUES (3);\n"
        "SELECT * FROM t;"
    )
    caplog.set_level(logging.INFO, "mlfeat.job")
    first = script(root, sql)
    shown = next(message for message in caplog.messages if message.startswith("id"))
    assert [line.split()[0] for line in shown.splitlines()[2:]] == ["1", "2", "3"]
    assert 'it\'s "so"' in shown
    assert "none" in shown
    assert (first.statements, first.rows, first.tables) == (4, 3, {"t": 2})
    again = script(root, sql)
    assert (again.rows, again.tables) == (3, {"t": 2})
    assert script(root, sql, load_id="another run").rows == 6


def test_rows_that_were_taken_away_are_added_again(root: Path) -> None:
    sql = "CREATE TABLE t (id int); TRUNCATE TABLE t; INSERT INTO t VALUES (1); SELECT * FROM t;"
    assert [script(root, sql).rows for _ in range(3)] == [1, 1, 1]
    dropped = "DROP TABLE IF EXISTS t; CREATE TABLE t (id int); INSERT INTO t VALUES (1); SELECT * FROM t;"
    assert [script(root, dropped).rows for _ in range(2)] == [1, 1]


def test_appending_goes_by_the_files_contents(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    sql = f"CREATE TABLE t (id int); LOAD DATA INFILE '{path}' INTO TABLE t OPTIONS (mode='append'); SELECT * FROM t;"
    path.write_text("id\n1\n")
    assert [script(root, sql).rows for _ in range(2)] == [1, 1]
    path.write_text("id\n2\n")
    assert script(root, sql).rows == 2


def test_into_outfile_and_path_map(root: Path, tmp_path: Path) -> None:
    sql = (
        "CREATE DATABASE d; USE d; CREATE TABLE t (id int, x double); INSERT INTO t VALUES (1, 0.5), (2, 1.5);"
        "SELECT id, x * 2 AS y FROM t INTO OUTFILE '/far/away/out' OPTIONS (mode='overwrite', coalesce=1);"
    )
    result = script(root, sql, path_map={"/far": "/nowhere", "/far/away": str(tmp_path)})
    assert result.outputs == {f"{tmp_path}/out": 2}
    (part,) = (tmp_path / "out").glob("*.csv")
    assert pyarrow.csv.read_csv(part).to_pylist() == [{"id": 1, "y": 1.0}, {"id": 2, "y": 3.0}]


def test_the_longest_beginning_of_a_path_holds() -> None:
    paths = {"/a": "/x", "/a/b/": "s3://bucket/y"}
    assert map_path("/a/c.csv", paths) == "/x/c.csv"
    assert map_path("/a/b/*.csv", paths) == "s3://bucket/y/*.csv"
    assert map_path("/ab/c.csv", paths) == "/ab/c.csv"


def test_showing(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    script(
        root,
        "CREATE DATABASE d; USE d;"
        "CREATE TABLE t (id int NOT NULL, at timestamp, s string DEFAULT 'it\\'s', INDEX(KEY=id, TS=at, TTL=90d));",
    )
    assert "d" in rows_of(root, "SHOW DATABASES", caplog)
    assert rows_of(root, "USE d; SHOW TABLES", caplog).endswith("t")
    assert "t           d              0        0" in rows_of(root, "USE d; SHOW TABLE STATUS", caplog)
    described = rows_of(root, "DESC d.t", caplog)
    assert "1  id     int        NO" in described
    assert "129600m  absolute" in described
    created = rows_of(root, "SHOW CREATE TABLE d.t", caplog)
    assert "INDEX (KEY=(`id`), TS=`at`, TTL_TYPE=absolute, TTL=129600m)" in created
    copied = script(root, f"CREATE DATABASE e; USE e; {created}")
    assert copied.tables == {"e.t": 0}
    assert "time_zone       UTC" in rows_of(root, "SET @@time_zone='UTC'; SHOW VARIABLES", caplog)


def test_indexes_change_and_stay(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    sql = "CREATE TABLE IF NOT EXISTS t (id int, at timestamp); CREATE INDEX i ON t (id) OPTIONS (ts='at', ttl=0m);"
    assert [script(root, sql).tables for _ in range(2)] == [{"t": 1}, {"t": 1}]
    assert "i " in rows_of(root, "DESC t", caplog)
    script(root, "DROP INDEX t.i")
    assert "ttl" not in rows_of(root, "DESC t", caplog)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE TABLE t (id int);\nDEPLOY d SELECT id FROM t;", "SQL:2:1: DEPLOY D is not for offline tables"),
        (
            "SET @@execute_mode='online';\nLOAD DATA INFILE 'a' INTO TABLE t;",
            "SQL:2:1: this loads in execute_mode 'online'",
        ),
        ("CREATE TABLE t (id int);\nSELECT it FROM t;", "SQL:2:8: unknown column 'it'"),
        (
            "CREATE TABLE t (id int);\nLOAD DATA INFILE '/no/such/*.csv' INTO TABLE t;",
            "statement 2, line 2: .*/no/such",
        ),
        ("SELECT 1;\nLOAD DATA INFILE 'a' INTO TABLE t;", "SQL:2:1: unknown table 't'"),
        ("CREATE TABLE t (id int);\nINSERT INTO t VALUES ('x');", "statement 2, line 2: .*'x'"),
        ("SET @@time_zone='Mars/Base';", "unknown time zone 'Mars/Base'"),
    ],
)
def test_mistakes_name_their_place(root: Path, sql: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        script(root, sql)


def test_a_refused_statement_costs_nothing(root: Path) -> None:
    with pytest.raises(UserError):
        script(root, "CREATE TABLE t (id int); DELETE FROM t WHERE id = 1;")
    assert not root.exists() or not list(root.glob("default/*"))


@pytest.fixture
def jd(tmp_path: Path) -> dict[str, Any]:
    """The published script with the folders of the sample; its table of labels is absent there and made empty."""
    if not SEEDS or not SAMPLE.is_dir():
        pytest.skip("the published example or its data is not here (../shared)")
    blocks = re.findall(r"```sql\n(.*?)```", SEEDS[0].read_text(encoding="utf-8"), re.DOTALL)
    labels = pa.schema(
        [("reqId", pa.string()), ("eventTime", pa.timestamp("us")), ("ingestionTime", pa.timestamp("us"))]
    ).append(pa.field("actionValue", pa.int32()))
    (tmp_path / "action").mkdir()
    pq.write_table(labels.empty_table(), tmp_path / "action" / "empty.parquet")
    paths = {
        "/work/oneflow_demo/data/action": tmp_path / "action",
        "/work/oneflow_demo/data/flattenRequest_clean": SAMPLE / "flattenRequest_clean",
        "/work/oneflow_demo/data/JD_data": SAMPLE,
        "/work/oneflow_demo/out": tmp_path / "out",
    }
    return {"sql": "\n".join(blocks[:3]), "path_map": {name: str(path) for name, path in paths.items()}}


def test_the_published_script_runs_unchanged_and_twice(root: Path, tmp_path: Path, jd: dict[str, Any]) -> None:
    first, again = script(root, **jd), script(root, **jd)
    assert first.rows == 13_916
    assert first.outputs == {f"{tmp_path}/out/1": 13_916}
    assert set(first.tables.values()) == {1}
    assert (again.rows, again.tables, again.outputs) == (first.rows, first.tables, first.outputs)
    written = list((tmp_path / "out" / "1").glob("*.csv"))
    assert sum(len(part.read_text().splitlines()) - 1 for part in written) == 13_916
