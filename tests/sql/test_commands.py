"""check, explain and format of script files; what definitions do to a catalog."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_mlfeat.sql import commands
from airflow_provider_mlfeat.sql.catalog import Catalog, ColumnDefinition
from airflow_provider_mlfeat.sql.definitions import define
from airflow_provider_mlfeat.sql.errors import SqlError
from airflow_provider_mlfeat.sql.syntax import parse_script
from airflow_provider_mlfeat.sql.types import INT

SCRIPT = """\
CREATE DATABASE shop;
USE shop;
CREATE TABLE orders (id int, ts timestamp, INDEX(KEY=id, TS=ts));
CREATE TABLE users (id int, name string, seen timestamp);
SET @@time_zone = 'UTC';
SELECT orders.id, name FROM orders
LAST JOIN users ON orders.id = users.id;
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "features.sql"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def test_check(script: Path) -> None:
    outcome = commands.check(script)
    assert outcome.code == 0
    assert outcome.text == (
        f"{script}:7:1: warning: the join with 'users' has no condition on time: it may pick a row that is later "
        f"than the left one; compare 'seen' with the left row's time in ON\n{script}: 1 query bound, 0 errors\n"
    )


def test_check_reports_every_statement(script: Path) -> None:
    script.write_text(
        SCRIPT + "SELECT x FROM orders;\nDEPLOY d SELECT count(*) FROM users;\nSELECT 1;\nUSE shopp", encoding="utf-8"
    )
    outcome = commands.check(script)
    assert outcome.code == 1
    lines = outcome.text.splitlines()
    assert lines[0] == f"{script}:8:8: unknown column 'x'"
    assert f"{script}:9:17: an aggregate without a window is not supported in request mode" in lines
    assert f"{script}:11:1: unknown database 'shopp'" in lines
    assert lines[-1] == f"{script}: 2 queries bound, 3 errors"


def test_check_of_a_text_that_is_no_script(script: Path) -> None:
    script.write_text("SELECT 1;\nSELEC 2", encoding="utf-8")
    outcome = commands.check(script)
    assert outcome.code == 1
    assert outcome.text == (
        f"{script}:2:1: 'SELEC' begins no statement\n  SELEC 2\n  ^^^^^\n  Did you mean 'SELECT'?\n"
    )


def test_tables_may_exist_before_the_script(script: Path) -> None:
    script.write_text("SELECT a FROM t", encoding="utf-8")
    assert commands.check(script).code == 1
    assert commands.check(script, Catalog.from_columns({"t": {"a": "int"}})).code == 0
    assert commands.check(script, Catalog.from_columns({"t": {"a": "int"}}, "d"), "d").code == 0


def test_session_options_apply_to_what_follows() -> None:
    queries = list(commands.bind_script("SELECT 1; SET @@time_zone='UTC'; SET null_join_keys='never'; SELECT 1"))
    plans = [query.plan for query in queries]
    assert [(plan.time_zone, plan.null_join_keys) for plan in plans if plan] == [("+08:00", "match"), ("UTC", "never")]
    wrong = list(commands.bind_script("SET @@time_zone='Mars'"))
    assert wrong[0].error is not None
    assert wrong[0].error.message == "unknown time zone 'Mars'"
    request = list(
        commands.bind_script(
            "SET @@execute_mode='request'; SELECT count(*) FROM t", Catalog.from_columns({"t": {"a": "int"}})
        )
    )
    assert request[0].error is not None


def test_tables_like_a_file(script: Path) -> None:
    script.write_text("CREATE TABLE t LIKE PARQUET 'x'; SELECT a FROM t", encoding="utf-8")
    outcome = commands.check(script)
    assert outcome.code == 1
    assert outcome.text.startswith(f"{script}:1:1: the columns of 't' stand in 'x', which is not read here\n")
    read = commands.check(script, columns_of=lambda statement: (ColumnDefinition("a", INT),))
    assert read.code == 0


def test_explain(script: Path) -> None:
    outcome = commands.explain(script)
    assert outcome.code == 0
    assert "request table shop.orders\n" in outcome.text
    script.write_text("SELECT a FROM t", encoding="utf-8")
    assert commands.explain(script).code == 1


def test_format(script: Path) -> None:
    script.write_text("select  1", encoding="utf-8")
    assert commands.format(script) == commands.Outcome("SELECT 1\n")
    assert commands.format(script, check_only=True) == commands.Outcome(f"{script} would be formatted\n", 1)
    assert script.read_text(encoding="utf-8") == "select  1"
    assert commands.format(script, write=True) == commands.Outcome(f"{script} formatted\n")
    assert script.read_text(encoding="utf-8") == "SELECT 1\n"
    assert commands.format(script, check_only=True) == commands.Outcome("")
    script.write_text("select ", encoding="utf-8")
    assert commands.format(script, write=True).code == 1
    assert script.read_text(encoding="utf-8") == "select "


def test_the_command_loads_the_language_only(script: Path) -> None:
    program = (
        "import sys; from airflow_provider_mlfeat.jobs.command import main; "
        "code = main(['sql', 'check', sys.argv[1]]); "
        "heavy = {'numba', 'numpy', 'pyarrow', 'pandas', 'pydantic', 'pyspark', 'airflow'} & set(sys.modules); "
        "print(code, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


# ── definitions ─────────────────────────────────────────────────────────────────────────────────────────────────────


def run(text: str) -> tuple[Catalog, str]:
    """The catalog and the current database after a script."""
    catalog, database = Catalog(), ""
    for statement in parse_script(text):
        database = define(statement, catalog, database)
    return catalog, database


def test_definitions() -> None:
    catalog, database = run(
        "CREATE DATABASE d; CREATE DATABASE IF NOT EXISTS D; USE D; CREATE TABLE T (a int, b timestamp); "
        "CREATE TABLE IF NOT EXISTS t (x int); CREATE INDEX i ON t (a) OPTIONS (ts=b); CREATE TABLE gone (a int); "
        "DROP TABLE gone; DROP TABLE IF EXISTS gone; CREATE INDEX j ON t (a); DROP INDEX t.j; "
        "DROP DATABASE IF EXISTS none"
    )
    assert (catalog.databases, database) == (["", "d"], "d")
    table = catalog.get_table("D", "t")
    assert (table.name, [column.name for column in table.columns]) == ("T", ["a", "b"])
    assert [(index.name, index.keys, index.ts) for index in table.indexes] == [("i", ("a",), "b")]
    assert [found.qualified_name for found in catalog.tables()] == ["d.T"]
    assert run("CREATE DATABASE d; USE d; CREATE TABLE t (a int); DROP DATABASE d")[0].tables() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("USE d", "unknown database 'd'"),
        ("CREATE DATABASE d; CREATE DATABASE D", "database 'D' exists already"),
        ("DROP DATABASE d", "unknown database 'd'"),
        ("CREATE TABLE d.t (a int)", "unknown database 'd'"),
        ("CREATE TABLE t (a int); CREATE TABLE T (b int)", "table 'T' exists already"),
        ("DROP TABLE t", "unknown table 't'"),
        ("CREATE INDEX i ON t (a)", "unknown table 't'"),
        ("CREATE TABLE t (a int); CREATE INDEX i ON t (b)", "unknown column 'b' in INDEX"),
        (
            "CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE INDEX I ON t (a)",
            "index 'I' of table 't' exists already",
        ),
        ("CREATE TABLE t (a int); DROP INDEX t.i", "table 't' has no index 'i'"),
        ("LOAD DATA INFILE 'x' INTO TABLE t", "unknown table 't'"),
        ("CREATE TABLE t (a int); INSERT INTO t (b) VALUES (1)", "unknown column 'b' in table 't'"),
        ("CREATE TABLE t (a int); INSERT INTO t VALUES (1, 2)", "2 values are given for 1 columns of 't'"),
        (
            "CREATE TABLE t (a int NOT NULL, b int); INSERT INTO t (b) VALUES (1)",
            "column 'a' is NOT NULL and is given no value",
        ),
        ("CREATE TABLE t (a int); DELETE FROM t WHERE b = 1", "unknown column 'b' in table 't'"),
    ],
)
def test_refused_definitions(text: str, message: str) -> None:
    with pytest.raises(SqlError) as caught:
        run(text)
    assert caught.value.message == message
    assert caught.value.position is not None
